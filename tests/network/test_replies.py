"""Any reply is safe to receive: the worst that one can do is a doubt, and a look-up settles it (1.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from behind import DEFAULTS, behind
from evening import WAYS, Case, Evening, Fate, both, spend
from loops import freely
from proxy import Request, Toxic
import pytest
from running import hourly
from scripted import http
from strange_replies import (
    ANOMALOUS,
    BABBLE,
    BOMBS,
    BROKEN,
    DOUBTFUL,
    ENCODED,
    ENDLESS,
    HTML,
    PAGE,
    babbling,
    bomb,
    broken,
    encoded,
    for_any_call,
    said,
    without_end,
)
from toxics import closed_before, delayed, instead, passed, reset_after, reset_before


def either(toxics: Mapping[str, Callable[[bool], Toxic]]) -> Iterator[Case]:
    """Dear ones: every other of them applied."""
    for place, (name, make) in enumerate(toxics.items()):
        yield both(name, make)[place % 2]


CASES = [
    *both("F36 a page to log in", said(PAGE, HTML)),
    *(case for name, body in DOUBTFUL.items() for case in both(name, said(body))),
    *(case for name in ENCODED for case in both(name, encoded(name))),
    *either({name: bomb(name) for name in BOMBS}),
    *either({name: broken(name) for name in BROKEN}),
    *either({name: without_end(name) for name in ENDLESS}),
    *either({name: babbling(name) for name in BABBLE}),
    *(
        Case(f"{name}, as a look-up", reset_after, Fate.FOUND, looked_up=toxic)
        for name, toxic in for_any_call(applied=True).items()
    ),
    *(Case(f"{name}, applied", said(body)(True), Fate.FOUND, "anomaly") for name, body in ANOMALOUS.items()),
    *(
        Case(f"{name}, not applied", said(body)(False), Fate.LIED_TO, "anomaly")
        for name, body in ANOMALOUS.items()
    ),
]


@pytest.fixture(scope="module", params=["direct", "aiohttp"])
def evening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evening:
    return spend(WAYS[request.param], tmp_path_factory.mktemp("evening"), CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_strange_reply_is_a_doubt_and_no_more(evening: Evening, case: Case) -> None:
    evening.assert_as_it_must(case)


def test_strange_replies_to_some_rows_do_no_harm_to_others(evening: Evening) -> None:
    evening.assert_the_rest_is_well()


# --- replies to everybody's calls

PATIENT = {**DEFAULTS, "patience_s": 36_000.0, "in_flight": 4}
both_wires = pytest.mark.parametrize("wire", ["direct", "aiohttp"])


@freely
async def test_a_token_service_that_says_strange_things_is_asked_again(tmp_path: Path) -> None:
    """F36-F43, P30: none of that is a token; nothing is sent before there is one, and then all of it."""
    jobs, strange = hourly(20), for_any_call(applied=False)

    def script(request: Request) -> Toxic:
        return next(replies, passed) if request.api == "token" else passed

    replies = iter(strange.values())
    async with behind(tmp_path, script) as rig:
        ending = await rig.send(jobs, **PATIENT)

        assert ending.exit_code == 0
        rig.assert_proven(jobs).assert_each_once()
        asked = [each.api for each in rig.proxy.seen[: len(strange) + 1]]
        assert asked == ["token"] * (len(strange) + 1)
        assert {row["attempts"] for row in rig.results()} == {"1"}


@freely
async def test_a_probe_that_is_answered_strangely_is_no_sign_of_life(tmp_path: Path) -> None:
    """F36-F43, P18, P30: nothing but probes is sent until one of them is answered as it should be."""
    jobs, strange = hourly(20), for_any_call(applied=False)
    page, replies = instead(http(PAGE, 200, HTML), applied=False), iter(strange.values())

    def script(request: Request) -> Toxic:
        if request.api == "time":
            return next(replies, passed)
        first = all(each.api != "time" for each in rig.proxy.seen)
        return page if request.api == "trigger" and first else passed

    async with behind(tmp_path, script) as rig:
        ending = await rig.send(jobs, **PATIENT)

        assert ending.exit_code == 0
        rig.assert_proven(jobs).assert_each_once()
        probes = [place for place, each in enumerate(rig.proxy.seen) if each.api == "time"]
        assert len(probes) >= len(strange) + 1
        between = rig.proxy.seen[probes[0] : probes[len(strange)]]
        assert not [each for each in between if each.api == "trigger"]


@both_wires
@pytest.mark.parametrize("applied", [True, False])
@freely
async def test_a_gateway_that_only_shows_a_page_is_left_alone_until_it_is_itself_again(
    tmp_path: Path, wire: str, applied: bool
) -> None:
    """F36, P6, P18: for 10 minutes. After 3 of them there is a pause: 3 more sends than fit in flight."""
    jobs = hourly(60, flows=30)
    page = instead(http(PAGE, 200, HTML), applied=applied)

    def script(request: Request) -> Toxic:
        return page if request.at < 600 and request.api in {"trigger", "time"} else passed

    async with behind(tmp_path, script) as rig:
        rig.wire = wire
        ending = await rig.send(jobs, **{**DEFAULTS, "in_flight": 8})

        assert ending.exit_code == 0
        rig.assert_proven(jobs).assert_each_once()
        sends = [each for each in rig.proxy.seen if each.api == "trigger" and each.at < 600]
        assert 3 <= len(sends) <= 3 + 8
        assert sum(each.api == "time" for each in rig.proxy.seen) >= 20
        assert rig.proxy.seen[-1].at > 600


@both_wires
@freely
async def test_a_lost_reply_does_not_cost_the_run_its_short_look_ups(tmp_path: Path, wire: str) -> None:
    """F29: what Get says of a missing instance is asked until it is known; from then on no list is read."""
    jobs = hourly(40, flows=8)
    lost = iter((reset_before, reset_after, closed_before, instead(http(PAGE, 200, HTML), applied=False)))

    def script(request: Request) -> Toxic:
        if "-99991231" in request.head:
            return next(lost, passed)
        doubted = request.job in jobs[20:] and request.attempt == 1
        return steady if request.api == "trigger" and not doubted else reset_before if doubted else passed

    steady = delayed(0.5, 0.5)
    async with behind(tmp_path, script) as rig:
        rig.wire = wire
        ending = await rig.send(jobs, **DEFAULTS)

        assert ending.exit_code == 0
        rig.assert_proven(jobs).assert_each_once()
        assert next(lost, None) is None
        assert sum(row["attempts"] == "2" for row in rig.results()) == 20
        assert not [each for each in rig.proxy.seen if each.api == "list"]
