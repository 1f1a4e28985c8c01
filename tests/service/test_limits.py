"""The gateway's own limits: lower than ours, changing, and counted in ways that nobody told us (P15, P18)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from virtual_rig import VirtualRig, past, virtual_rig, virtually

from bulk_trigger import Rate
from bulk_trigger.run import Run, Stop
from bulk_trigger.sandbox import Scenario

KINDS = ["sliding", "fixed", "bucket"]
STEADY = '[latency]\nshape = "constant"\nmedian_ms = 20\n'


def limited(rate: str, kind: str = "sliding") -> str:
    return f'rate_limit = "{rate}"\nrate_kind = "{kind}"\n{STEADY}'


class Stretch:
    """What the gateway saw between two moments."""

    def __init__(self, run: VirtualRig, begin: float, end: float) -> None:
        calls = [call for call in run.calls("trigger") if begin <= call.mono < end]
        self.sends = len(calls)
        self.refused = sum(call.status == 429 for call in calls)
        self.per_second = (len(calls) - self.refused) / (end - begin)


def until(seconds: float, *changes: tuple[float, str], run: VirtualRig) -> Callable[[Run], bool]:
    """A watch: the gateway changes at some moments, and then it is enough."""

    def watch(running: Run) -> bool:
        loop = asyncio.get_running_loop()
        for at, scenario in changes:
            loop.call_later(at, run.sandbox.become, Scenario.parse(scenario))
        loop.call_later(seconds, running.stop, Stop(130, "enough"))
        return True

    return watch


@virtually
@pytest.mark.parametrize(
    ("kind", "theirs", "ours"),
    [*((kind, 20, 200) for kind in KINDS), ("sliding", 28, 30), ("sliding", 30, None)],
)
async def test_a_limit_below_ours_is_found_and_kept_to(
    tmp_path: Path, kind: str, theirs: int, ours: int | None
) -> None:
    """F58, P18: after a minute hardly a call is refused, four fifths of the limit are used, no row fails."""
    jobs = past(theirs * 160, flows=500)
    async with virtual_rig(tmp_path, limited(f"{theirs}/s", kind)) as run:
        rates = (Rate(ours, 1.0),) if ours else ()
        ending = await run.trigger(jobs, rates=rates, watch=until(120, run=run))

        at_first, then = Stretch(run, 0, 60), Stretch(run, 60, 120)
        assert at_first.refused > 0
        assert then.refused < 0.01 * then.sends
        assert 0.8 * theirs <= then.per_second <= 1.01 * theirs
        assert ending.summary["counts"]["failed"] == ending.summary["counts"]["unknown"] == 0
        run.verdict(jobs).assert_none_twice()


@virtually
async def test_a_limit_that_falls_to_a_tenth_and_comes_back_is_followed(tmp_path: Path) -> None:
    """F59: each time within a minute four fifths of what is allowed are used again; no row fails."""
    jobs = past(8000, flows=800)
    async with virtual_rig(tmp_path, limited("100/s")) as run:
        watch = until(170, (10, limited("10/s")), (100, limited("100/s")), run=run)
        ending = await run.trigger(jobs, rates=(Rate(100, 1.0),), watch=watch)

        assert Stretch(run, 2, 10).per_second >= 0.99 * 100
        low = Stretch(run, 70, 100)
        assert Stretch(run, 10, 40).refused > low.refused
        assert 0.8 * 10 <= low.per_second <= 10.1
        assert Stretch(run, 160, 170).per_second >= 0.8 * 100
        assert ending.summary["counts"]["failed"] == 0
        run.verdict(jobs).assert_none_twice()


@virtually
@pytest.mark.parametrize("kind", ["sliding", "fixed"])
async def test_a_limit_by_the_minute_is_kept_to_as_well(tmp_path: Path, kind: str) -> None:
    """F58, F60: a minute's calls are gone in 15 s, and nothing tells us when the next ones are there."""
    jobs = past(1500, flows=500)
    async with virtual_rig(tmp_path, limited("300/m", kind)) as run:
        ending = await run.trigger(jobs, rates=(Rate(20, 1.0),), watch=until(240, run=run))

        assert ending.summary["counts"]["failed"] == 0
        for minute in range(1, 4):
            stretch = Stretch(run, 60 * minute, 60 * minute + 60)
            assert stretch.per_second >= 0.7 * 300 / 60
            assert stretch.refused < 0.05 * stretch.sends


@virtually
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("theirs", "ours"), [(100, 95), (100, 100)])
async def test_a_limit_that_is_ours_is_never_hit_however_it_is_counted(
    tmp_path: Path, kind: str, theirs: int, ours: int
) -> None:
    """F60, P15: with a margin of 5 %, and exactly at it: not one 429, on a line that bunches nothing."""
    jobs = past(1500, flows=300)
    async with virtual_rig(tmp_path, limited(f"{theirs}/s", kind)) as run:
        ending = await run.trigger(jobs, rates=(Rate(ours, 1.0),))

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0
        assert [call for call in run.verdict(jobs).calls if call.status == 429] == []
        assert run.verdict(jobs).busiest(1.0) <= ours
        assert Stretch(run, 1, 14).per_second >= 0.99 * ours


@virtually
async def test_two_limits_at_once_are_both_kept(tmp_path: Path) -> None:
    """F60, P15: what we were told, we keep: 50/s and 600/m, and the gateway counts the same."""
    jobs = past(1500, flows=300)
    scenario = f'rate_limit = ["50/s", "600/m"]\n{STEADY}'
    async with virtual_rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, rates=(Rate(50, 1.0), Rate(600, 60.0)))

        verdict = run.assert_proven(jobs)
        assert ending.exit_code == 0
        assert [call for call in verdict.calls if call.status == 429] == []
        assert verdict.busiest(1.0) == 50
        assert verdict.busiest(60.0) == 600


@virtually
@pytest.mark.parametrize("what", ['kind = "status"\nstatus = 429', 'kind = "code"\ncode = 429'])
async def test_a_storm_of_429_is_sat_out_in_pauses_that_grow(tmp_path: Path, what: str) -> None:
    """F58, P18: five minutes of nothing else, as a status or in a body: few calls, and no row fails."""
    jobs = past(600, flows=200)
    storm = f"[[faults]]\n{what}\nfrom_s = 2\nto_s = 302\n"
    async with virtual_rig(tmp_path, storm + STEADY) as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 0
        refused = sorted(call.mono for call in verdict.sends if call.fault)
        assert refused[-1] - refused[0] > 200
        assert len(refused) <= 100
        gaps = [later - earlier for earlier, later in pairwise(refused)]
        assert max(gaps) >= 29  # 1, 2, 4 ... 30 s


@virtually
async def test_what_a_429_asks_for_is_waited_out_even_for_minutes(tmp_path: Path) -> None:
    """F58, P18: `Retry-After: 600`, and it does not try our patience; beyond 15 minutes it is cut."""
    jobs = past(100, flows=50)
    wait = '[[faults]]\nkind = "status"\nstatus = 429\ncalls = [{n}]\nheaders = {{ "Retry-After" = "{s}" }}\n'
    scenario = wait.format(n=20, s=600) + wait.format(n=40, s=100_000)
    async with virtual_rig(tmp_path, scenario + STEADY) as run:
        ending = await run.trigger(jobs, patience_s=60.0)

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 0
        refused = [call for call in verdict.sends if call.status == 429]
        pauses = [
            min(call.mono for call in verdict.calls if call.mono > (each.done or 0) + 1) - (each.done or 0)
            for each in refused
        ]
        assert pauses == [pytest.approx(600, abs=1), pytest.approx(900, abs=1)]


@virtually
async def test_a_restart_does_not_refill_our_own_rate(tmp_path: Path) -> None:
    """P16: what was sent before it counts in the windows after it."""
    jobs = past(50, flows=25)
    async with virtual_rig(tmp_path, STEADY) as run:
        await run.trigger(jobs, rates=(Rate(2, 1.0), Rate(20, 60.0)), watch=until(15.0, run=run))
        before = len(run.calls("trigger"))
        ending = await run.resume()

        assert 15 <= before <= 20
        assert ending.exit_code == 0
        run.assert_proven(jobs).assert_each_once()
        times = [call.mono for call in run.calls("trigger")]
        assert all(later - earlier >= 59.9 for earlier, later in zip(times, times[20:], strict=False))
