"""A network that is slow, or stands still: the default times, on a clock where waiting is free (1.2)."""

from __future__ import annotations

import asyncio
from pathlib import Path
import random

from behind import DEFAULTS, Behind, behind
from evening import FIRST_GOOD, WAYS, Case, Evening, Fate, spend
from loops import freely
from proxy import Request, Toxic
import pytest
from running import hourly
from toxics import (
    always,
    black_hole,
    by_attempt,
    delayed,
    late,
    narrow,
    passed,
    reset_after,
    reset_before,
    sliced,
    withheld,
)

from bulk_trigger import Rate

both_wires = pytest.mark.parametrize("wire", ["direct", "aiohttp"])
TIMEOUT_S, QUARANTINE_S = 30.0, 75.0  #: the defaults
LATER_S = (
    1e-6  #: some turns of the loop are between a send and its arrival, and each takes a billionth of a second
)

CASES = [
    Case("F18 a reply that is withheld", withheld, Fate.FOUND),
    Case("F30 a connection that is half open", black_hole, Fate.SENT_AGAIN),
    Case("F19 takes effect when half the quarantine is over", late(QUARANTINE_S / 2 + 1), Fate.FOUND),
    Case("F19 takes effect when the quarantine is nearly over", late(QUARANTINE_S - 5), Fate.FOUND),
    Case("F19 takes effect when the attempt's time has just ended", late(TIMEOUT_S + 1), Fate.FOUND),
    Case("F24 a byte per second", sliced(1, 1.0), Fate.FOUND),
    Case("F24 a byte in ten seconds", sliced(1, 10.0), Fate.FOUND),
    Case("F27 three seconds there, and two back", delayed(3.0, 2.0), Fate.AT_ONCE),
    Case("F27 longer than the attempt's time", delayed(1.0, 30.0), Fate.FOUND),
    Case("F28 a line of 100 bytes per second", narrow(100.0), Fate.AT_ONCE),
    Case("F28 a line of 20 bytes per second", narrow(20.0), Fate.FOUND),
]


@pytest.fixture(scope="module", params=["direct", "aiohttp"])
def evening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evening:
    return spend(WAYS[request.param], tmp_path_factory.mktemp("evening"), CASES, in_flight=64)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_row_runs_once_however_slow_its_call_was(evening: Evening, case: Case) -> None:
    evening.assert_as_it_must(case)


def test_slow_calls_hold_no_other_row_up(evening: Evening) -> None:
    """P14."""
    evening.assert_the_rest_is_well()
    sends = [each for each in evening.rig.proxy.seen if each.api == "trigger" and each.attempt == 1]
    assert all(each.at < 1 for each in sends if each.flow_id and each.flow_id >= FIRST_GOOD)


# --- all of the network

LOSSES = {3300 + n: reset_before if n % 8 else reset_after for n in range(0, 80, 4)}


def dice_of(request: Request) -> random.Random:
    """The same for the same request, whatever the time."""
    return random.Random(f"{request.api} {request.flow_id} {request.job} {request.attempt}")


def steady(request: Request) -> Toxic:
    """Half a second on the average, so that there is a middle of the run, without a rate."""
    dice = dice_of(request)
    return delayed(dice.random() * 0.5, dice.random() * 0.5)


def most_in(window_s: float, rig: Behind) -> int:
    """The most calls of any kind that the program made within any window. The proxy shares its clock."""
    times = [each.at for each in rig.proxy.seen]
    return max(sum(at <= other < at + window_s - LATER_S for other in times) for at in times)


@both_wires
@freely
async def test_a_network_whose_latency_jumps_keeps_order_and_rate(tmp_path: Path, wire: str) -> None:
    """F27, P12, P15: from 0 to 5 s there and back, for every call."""
    jobs = hourly(200, flows=40)

    def jumping(request: Request) -> Toxic:
        dice = dice_of(request)
        return delayed(dice.random() * 5, dice.random() * 5)

    async with behind(tmp_path, jumping) as rig:
        rig.wire = wire
        ending = await rig.send(jobs, **DEFAULTS, rates=(Rate(10, 1.0), Rate(300, 60.0)))

        assert ending.exit_code == 0
        rig.assert_proven(jobs).assert_each_once()
        assert {row["attempts"] for row in rig.results()} == {"1"}
        assert most_in(1.0, rig) <= 10
        assert most_in(60.0, rig) <= 300
        assert max(float(row["latencyMs"]) for row in rig.results()) > 5000


@both_wires
@freely
async def test_a_line_of_a_kilobyte_per_second_gets_it_done(tmp_path: Path, wire: str) -> None:
    """F28."""
    jobs = hourly(100, flows=20)
    async with behind(tmp_path, always(narrow(1000.0))) as rig:
        rig.wire = wire
        assert (await rig.send(jobs, **DEFAULTS)).exit_code == 0

        rig.assert_proven(jobs).assert_each_once()
        assert {row["attempts"] for row in rig.results()} == {"1"}


@pytest.mark.parametrize(("wire", "parts_at_s"), [("direct", 5.0), ("direct", 9.0), ("aiohttp", 5.6)])
@freely
async def test_a_network_that_parts_for_a_minute_is_waited_for(
    tmp_path: Path, wire: str, parts_at_s: float
) -> None:
    """F29, P6, P12: what was on the way arrives when it heals, and is found. At 5.6 s rows are looked up."""
    jobs = hourly(240, flows=80)

    def script(request: Request) -> Toxic:
        if request.api != "trigger":
            return passed
        if 4 < request.at < 5 and request.flow_id in LOSSES:
            return LOSSES[request.flow_id]
        return steady(request)

    async def part() -> None:
        await asyncio.sleep(parts_at_s)
        rig.proxy.part()
        await asyncio.sleep(60)
        rig.proxy.heal()

    async with behind(tmp_path, script) as rig:
        rig.wire = wire
        parting = asyncio.create_task(part())
        ending = await rig.send(jobs, **{**DEFAULTS, "in_flight": 16})
        await parting

        assert ending.exit_code == 0
        rig.assert_proven(jobs).assert_each_once()
        assert rig.proxy.did[reset_after.name] + rig.proxy.did[reset_before.name] >= 3
        meanwhile = [each for each in rig.proxy.seen if parts_at_s < each.at < parts_at_s + 60]
        assert meanwhile
        assert sum(each.api == "trigger" for each in meanwhile) <= 2 * 16 + 3
        assert rig.proxy.seen[-1].at > parts_at_s + 60


@pytest.mark.parametrize(("wire", "seed"), [("direct", 0), ("aiohttp", 1)])
@freely
async def test_connections_that_stop_one_by_one_and_go_on_in_another_order_do_no_harm(
    tmp_path: Path, wire: str, seed: int
) -> None:
    """F31, P6, P12, P14: swizzle-clogging. Some stand still for longer than an attempt may take."""
    jobs, dice = hourly(300, flows=40), random.Random(seed)

    async def swizzle() -> None:
        await asyncio.sleep(2 + dice.random())
        stopped = list(rig.proxy.links.values())
        for link in stopped:
            link.flows.clear()
            await asyncio.sleep(dice.random())
        clogged.append(len(stopped))
        dice.shuffle(stopped)
        for link in stopped:
            await asyncio.sleep(dice.random() * 4)
            link.flows.set()

    clogged: list[int] = []
    async with behind(tmp_path, steady, seed=seed) as rig:
        rig.wire = wire
        swizzling = asyncio.create_task(swizzle())
        ending = await rig.send(jobs, **{**DEFAULTS, "in_flight": 16})
        await swizzling

        assert ending.exit_code == 0
        rig.assert_proven(jobs).assert_each_once()
        assert clogged[0] >= 16
        assert ending.summary["reconciled"] > 0


@both_wires
@freely
async def test_an_effect_that_comes_after_the_quarantine_is_the_limit_that_the_readme_names(
    tmp_path: Path, wire: str
) -> None:
    """F20: nobody can outwait everything. The row runs twice and says so (two attempts); no other does."""
    jobs = hourly(40, flows=8)
    async with behind(tmp_path, by_attempt({3303: [late(QUARANTINE_S + 20)]})) as rig:
        rig.wire = wire
        ending = await rig.send(jobs, **DEFAULTS)
        await asyncio.sleep(60)

        effects = rig.verdict(jobs).effects_by_job
        rows = rig.results()
        assert ending.exit_code == 0
        assert {job: count for job, count in effects.items() if count != 1} == {jobs[3]: 2}
        assert len(effects) == 40
        assert [row["row"] for row in rows if row["attempts"] != "1"] == ["4"]
        again = rig.proxy.about(3303, "trigger")[1]
        assert again.at >= QUARANTINE_S
