"""What goes wrong once the request has left: nobody knows then, and still each job runs once (1.2)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from behind import Behind, behind
from evening import WAYS, Case, Evening, Fate, Way, spend
from proxy import Exchange, Request, Script, Toxic
import pytest
from running import hourly
from scripted import http
from strange_replies import instance_id, success
from toxics import (
    closed_after,
    closed_before,
    for_triggers,
    instead,
    narrow,
    passed,
    passed_and_closed,
    replayed,
    reset_after,
    reset_before,
    rewritten,
    sliced,
    slow_close,
    toxic,
)
import uvloop

from bulk_trigger import Rate

REFUSAL = http({"status": 62104, "msg": "of another call"})
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

CASES = [
    Case("F14 applied, then reset before the reply", reset_after, Fate.FOUND),
    Case("F15 read whole, then reset", reset_before, Fate.SENT_AGAIN),
    Case("F16 applied, then closed without a reply", closed_after, Fate.FOUND),
    Case("F16 read whole, then closed without a reply", closed_before, Fate.SENT_AGAIN),
    Case("F24 a reply in slices of three bytes", sliced(3, 0), Fate.AT_ONCE),
    Case("F26 the connection stays open after a reply that ends it", slow_close, Fate.AT_ONCE),
    Case("F28 a line of 20 KB/s", narrow(20_000), Fate.AT_ONCE),
    Case("F33 100 and 103 before the reply", rewritten(lambda reply: INTERIM + reply), Fate.AT_ONCE),
    Case("F33 413 before the body was read", instead(http(b"", 413), applied=False), Fate.REFUSED),
    Case("F34 another reply behind the reply", rewritten(lambda reply: reply + REFUSAL), Fate.AT_ONCE),
    Case("F34 the same reply twice", rewritten(lambda reply: reply * 2), Fate.AT_ONCE),
]


@pytest.fixture(scope="module", params=WAYS)
def evening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evening:
    return spend(WAYS[request.param], tmp_path_factory.mktemp("evening"), CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_row_runs_once_whatever_became_of_its_reply(evening: Evening, case: Case) -> None:
    evening.assert_as_it_must(case)


def test_what_became_of_some_replies_does_no_harm_to_other_rows(evening: Evening) -> None:
    evening.assert_the_rest_is_well()


# --- the same, seen from the connection


def run_on(way: Way, folder: Path, script: Script, **changes: object) -> Behind:
    """A run of 60 jobs over 6 flows that must end well, each job once."""
    jobs = hourly(60, flows=6)

    async def main() -> Behind:
        async with behind(folder, script) as rig:
            rig.wire = way.wire
            ending = await rig.send(jobs, **{**way.settings, "in_flight": 4, **changes})
            assert ending.exit_code == 0
            rig.assert_proven(jobs)
            return rig

    with asyncio.Runner(loop_factory=way.loop) as runner:
        return runner.run(main())


three_ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def hung_up_on(request: Request) -> Toxic | None:
    """Every fifth job's first send gets no reply; every other one of them was applied."""
    place = JOBS.index(request.job) if request.job else 1
    if place % 5 or request.attempt > 1:
        return None
    return closed_after if place % 2 else closed_before


JOBS = hourly(60, flows=6)


@three_ways
@pytest.mark.parametrize("fresh", [True, False], ids=["F16 fresh connections", "F17 reused connections"])
def test_a_connection_that_ends_without_a_reply_leaves_a_doubt_and_is_never_replayed(
    tmp_path: Path, way: Way, fresh: bool
) -> None:
    """F16, F17, P6, P11: nobody sends the request again by himself, as libraries do on reused connections."""

    def script(request: Request) -> Toxic:
        return hung_up_on(request) or (passed_and_closed if fresh else passed)

    rig = run_on(way, tmp_path, script)

    rig.verdict(JOBS).assert_each_once()
    hit = [each for each in rig.proxy.seen if each.job and hung_up_on(each)]
    assert len(hit) == 12
    assert all((each.place == 1) for each in hit) if fresh else any(each.place > 1 for each in hit)
    assert sum(row["via"] == "reconciled" for row in rig.results()) == 6
    again = [each for each in rig.proxy.seen if each.job and each.attempt > 1]
    assert len(again) == 6  # those that were not applied, and after a look-up only
    for each in again:
        first = next(send for send in hit if send.job == each.job)
        lookups = rig.proxy.about(each.flow_id or 0, "get", "list")
        assert any(first.at < call.at <= each.at for call in lookups)


@three_ways
def test_a_gateway_that_closes_idle_connections_early_costs_hardly_a_doubt(tmp_path: Path, way: Way) -> None:
    """F17, P11: it ends them after 18 to 22 ms, and each 20 ms one is used; a dead one is noticed."""

    @toxic("pass, and close a little later")
    async def closed_when_idle(exchange: Exchange) -> None:
        link, requests = exchange.link, exchange.link.requests
        await passed.act(exchange)

        def close() -> None:
            if link.requests == requests:
                link.hang_up()

        later = 0.018 + 0.001 * (len(exchange.proxy.seen) % 5)
        asyncio.get_running_loop().call_later(later, close)

    rig = run_on(way, tmp_path, for_triggers(closed_when_idle), rates=(Rate(50, 1.0),))

    rig.verdict(JOBS).assert_each_once()
    assert rig.proxy.did[closed_when_idle.name] >= 60
    assert rig.proxy.connections > 10
    sends = sum(each.api == "trigger" for each in rig.proxy.seen)
    doubts = sum(row["via"] == "reconciled" for row in rig.results()) + sends - 60
    assert doubts <= (5 if way.loop is uvloop.new_event_loop else 0)  # an end may cross a request on its way


@three_ways
@pytest.mark.parametrize("told", [(0,), (1,), (0, 1)], ids=["the first", "the second", "both"])
@pytest.mark.parametrize("again", ["second-instance", "62109"])
def test_a_request_that_a_proxy_repeats_is_not_ours(
    tmp_path: Path, way: Way, told: tuple[int, ...], again: str
) -> None:
    """F21, P3, P11: there may be two effects, but we sent once, and what we say of it is true."""
    repeated = JOBS[7]

    def script(request: Request) -> Toxic:
        return replayed(tell=told) if request.job == repeated and request.attempt == 1 else passed

    async def main() -> None:
        async with behind(tmp_path, script, f'same_minute = "{again}"') as rig:
            rig.wire = way.wire
            ending = await rig.send(JOBS, **{**way.settings, "in_flight": 4})

            verdict = rig.verdict(JOBS)
            effects = verdict.effects_by_job
            assert ending.exit_code == 0
            assert effects.pop(repeated) == (2 if again == "second-instance" else 1)
            assert set(effects.values()) == {1}
            assert len(effects) == 59
            row = rig.results()[7]
            assert (row["status"], row["attempts"]) == ("succeeded", "1")
            assert row["flowInstanceId"] == verdict.ids[repeated]
            assert sum(each.job == repeated for each in rig.proxy.seen) == 1
            assert sum((call.flow_id, call.trigger_time) == repeated for call in verdict.sends) == 2

    with asyncio.Runner(loop_factory=way.loop) as runner:
        runner.run(main())


@three_ways
def test_a_reply_that_comes_unasked_is_not_given_to_the_next_row(tmp_path: Path, way: Way) -> None:
    """F34, F40, P3: another row's success lies in wait on an idle connection, or comes with the request."""
    waits = iter((0.0, 0.001, 0.002, 0.003, 0.005, 0.01) * 5)

    @toxic("pass, and something unasked")
    async def unasked(exchange: Exchange) -> None:
        await passed.act(exchange)
        await asyncio.sleep(next(waits, 0.0))
        await exchange.tell(http(success(exchange.request)))

    def script(request: Request) -> Toxic:
        if request.job is None or request.attempt > 1:
            return passed
        return unasked if JOBS.index(request.job) % 7 == 3 else passed

    rig = run_on(way, tmp_path, script)

    rig.verdict(JOBS).assert_each_once()
    assert rig.proxy.did[unasked.name] == 9
    for row, job in zip(rig.results(), JOBS, strict=True):
        assert row["flowInstanceId"] == rig.verdict(JOBS).ids[job]


@three_ways
def test_two_rows_that_are_told_the_ids_of_each_other_are_looked_up(tmp_path: Path, way: Way) -> None:
    """F40, P3: nobody gets an ID that is not his; the run pauses at the second, and ends well."""

    def swapped(exchange: Exchange) -> bytes:
        request = exchange.request
        other = 3304 if request.flow_id == 3303 else 3303
        return http({"status": 0, "data": {"flowInstanceId": instance_id(request, flow_id=other)}})

    def script(request: Request) -> Toxic:
        first = request.flow_id in {3303, 3304} and len(seen) < 2
        if request.api == "trigger" and first:
            seen.append(request)
            return instead(swapped, applied=True)
        return passed

    seen: list[Request] = []
    rig = run_on(way, tmp_path, script)

    rig.verdict(JOBS).assert_each_once()
    assert len(seen) == 2
    rows = [row for row in rig.results() if "anomaly" in row["flags"]]
    assert {row["via"] for row in rows} == {"reconciled"}
    assert len(rows) == 2
    ids = [row["flowInstanceId"] for row in rig.results()]
    assert len(set(ids)) == len(ids)
