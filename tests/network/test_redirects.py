"""Redirects are never followed: nobody but the gateway is called, whoever is named (F45; P29)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from behind import DEFAULTS, behind
from evening import Case, Evening, Fate, Way, spend
from loops import ResolvingLoop, resolving
from proxy import Exchange, Request, Script, Toxic
import pytest
from running import hourly
from scripted import http
from strange_replies import HTML, PAGE
from test_tls import certified, trust
from toxics import always, instead, passed, reset_after
from trap import Trap, trap

from bulk_trigger.settings import OnUnknown

REDIRECTS = (301, 302, 303, 307, 308)
NOT_APPLIED = {307, 308, 403, 407, 501, 505, 511}
STOPPING = sorted({*range(300, 400), *NOT_APPLIED})
PATH = "/dataflow-batch-service/v2.0/flows"

#: Where a redirect points to, given where nobody may go.
TARGETS: dict[str, Callable[[Exchange, Trap], str]] = {
    "another host": lambda _, there: there.origin + PATH,
    "another host, without a scheme": lambda _, there: f"//127.0.0.1:{there.port}{PATH}",
    "the metadata service": lambda *_: "http://169.254.169.254/latest/meta-data/",
    "itself": lambda exchange, _: exchange.proxy.origin + exchange.request.head.split()[1],
}


class Spent(NamedTuple):
    """A run, where it must not go, and whom it called."""

    evening: Evening
    there: Trap
    loop: ResolvingLoop
    cases: list[Case]


def redirect(status: int, target: str, there: Trap, *, applied: bool = False) -> Toxic:
    def reply(exchange: Exchange) -> bytes:
        return http(b"", status, f"Location: {TARGETS[target](exchange, there)}")

    return instead(reply, applied=applied)


def case_of(status: int, target: str, there: Trap) -> Case:
    applied = status not in NOT_APPLIED and status % 2 == 0
    fate = Fate.RETRIED if status in NOT_APPLIED else Fate.FOUND if applied else Fate.SENT_AGAIN
    return Case(f"F45 {status} to {target}", redirect(status, target, there, applied=applied), fate)


@pytest.fixture(scope="module")
def there() -> Iterator[Trap]:
    with trap() as there:
        yield there


@pytest.fixture(scope="module", params=["direct", "aiohttp"])
def spent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, there: Trap) -> Spent:
    cases = [case_of(status, target, there) for status in REDIRECTS for target in TARGETS]
    others = STOPPING if request.param == "direct" else NOT_APPLIED
    cases += [case_of(status, "another host", there) for status in others if status not in REDIRECTS]
    loop = ResolvingLoop()
    way = Way(request.param, lambda: loop)
    evening = spend(way, tmp_path_factory.mktemp("evening"), cases, rows_each=1, in_flight=1)
    return Spent(evening, there, loop, cases)


def test_each_redirect_stops_the_run_and_none_is_followed(spent: Spent) -> None:
    """F45, F35, P29: everybody's trouble is exit 4, each time, and each row still runs once."""
    evening, there, loop, cases = spent
    proxy = evening.rig.proxy
    assert proxy.did["other reply"] == len(evening.stops) == len(cases) >= 25
    for case in cases:
        evening.assert_as_it_must(case)
    evening.assert_the_rest_is_well()
    assert {(each.host, each.port) for each in loop.dialled} == {
        ("127.0.0.1", proxy.port),
        ("127.0.0.1", proxy.sandbox_port),
    }
    assert there.knocks == 0


def test_the_reason_to_stop_names_the_host_and_nothing_that_could_be_a_secret(spent: Spent) -> None:
    """F45, P28."""
    for case, reason in zip(spent.cases, spent.evening.stops, strict=True):
        status = int(case.name.split()[1])
        assert f"http-{status}" in reason
        if 300 <= status < 400:
            host = "169.254.169.254" if "metadata" in case.name else "127.0.0.1"
            assert f"redirects to {host}, which is not followed: check --gateway" in reason
        assert "flows" not in reason
        assert "userId" not in reason


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_of_the_token_service_stops_the_run_before_anything_is_sent(
    tmp_path: Path, there: Trap, status: int
) -> None:
    """F45, P29: the proof of who we are is not carried elsewhere either."""
    jobs = hourly(10)

    async def main(_: ResolvingLoop) -> None:
        async with behind(tmp_path, always(redirect(status, "another host", there))) as rig:
            ending = await rig.send(jobs, **DEFAULTS)

            assert ending.exit_code == 4
            assert "redirects to 127.0.0.1" in ending.reason
            assert [each.api for each in rig.proxy.seen] == ["token"]
            rig.proxy.script = always(passed)
            assert (await rig.go_on()).exit_code == 0
            rig.assert_proven(jobs).assert_each_once()

    resolving(main)
    assert there.knocks == 0


def redirected(api: str, status: int, there: Trap) -> Script:
    """Every call of that API is redirected. Of the triggers, the first of flow 3300 needs a look-up."""

    def script(request: Request) -> Toxic:
        if request.api == api:
            return redirect(status, "another host", there)
        return reset_after if request.job == hourly(1)[0] and request.attempt == 1 else passed

    return script


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirected_look_up_proves_nothing_and_is_not_followed(
    tmp_path: Path, there: Trap, status: int
) -> None:
    """F45, P6: where Get is redirected, the list finds the row; where both are, it stays unknown."""
    jobs = hourly(12, flows=4)

    async def main(_: ResolvingLoop) -> None:
        async with behind(tmp_path, redirected("get", status, there)) as rig:
            assert (await rig.send(jobs, **DEFAULTS)).exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            assert rig.results()[0]["via"] == "reconciled"

    async def blind(_: ResolvingLoop) -> None:
        def script(request: Request) -> Toxic:
            api = "list" if request.api == "list" else "get"
            return redirected(api, status, there)(request)

        async with behind(tmp_path / "blind", script) as rig:
            ending = await rig.send(jobs, **DEFAULTS, on_unknown=OnUnknown.CONTINUE)
            assert ending.exit_code == 5
            rig.assert_proven(jobs).assert_each_once()
            assert [row["row"] for row in rig.results() if row["status"] == "unknown"] == ["1"]
            assert len(rig.proxy.about(3300, "get", "list")) > 2

    resolving(main)
    (tmp_path / "blind").mkdir()
    resolving(blind)
    assert there.knocks == 0


def test_a_redirected_probe_is_no_sign_of_life_and_is_not_followed(tmp_path: Path, there: Trap) -> None:
    """F45: during an outage the clock of the gateway is asked for; somebody else's does not count."""
    jobs = hourly(30)
    bad, moved = iter(range(4)), iter(range(4))

    def script(request: Request) -> Toxic:
        if request.api == "time" and next(moved, None) is not None:
            return redirect(302, "another host", there)
        if request.api == "trigger" and next(bad, None) is not None:
            return instead(http(PAGE, 200, HTML), applied=False)
        return passed

    async def main(loop: ResolvingLoop) -> None:
        async with behind(tmp_path, script) as rig:
            ending = await rig.send(jobs, **{**DEFAULTS, "in_flight": 4})

            assert ending.exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            probes = [each.at for each in rig.proxy.seen if each.api == "time"]
            assert len(probes) >= 5
            sends = [each.at for each in rig.proxy.seen if each.api == "trigger"]
            assert not [at for at in sends if probes[0] < at < probes[4]]

    resolving(main)
    assert there.knocks == 0


async def test_the_real_program_follows_no_redirect_from_https_to_http(tmp_path: Path, there: Trap) -> None:
    """F45, P28, P29: exit 4, the host is named, nobody is called, and `resume` does the work."""
    jobs = hourly(10)

    def script(request: Request) -> Toxic:
        return redirect(307, "another host", there) if request.api == "trigger" else passed

    async with behind(tmp_path, script, tls=certified("127.0.0.1")) as rig:
        program = rig.program(trust(tmp_path))
        ended = await program.send(jobs)

        assert ended.exit_code == 4
        assert "redirects to 127.0.0.1, which is not followed: check --gateway" in ended.told
        assert there.knocks == 0
        rig.proxy.script = always(passed)
        assert (await program.go_on()).exit_code == 0
        rig.assert_proven(jobs).assert_each_once()
