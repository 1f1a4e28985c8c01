"""SIGKILL at random instants, while a run begins, goes on, is resumed or writes its results."""

from __future__ import annotations

import asyncio
from pathlib import Path
import random

from plots import BLIND, SEEING
import pytest
from victims import IN_FLIGHT, at_once, prove_doubts_named, prove_each_once, victim

pytestmark = pytest.mark.timeout(3600)  # the long form takes long; a session that hangs is found by itself

SHARE = 8  #: one of so many kills is for each of these tests
AT_ONCE = 4
A_RUN_S = 6.0  #: about as long as a run takes that nobody kills

#: Where a resume is killed before it has settled what the one before it left.
EARLY = (
    "shutdown.close",  # of the look at the run that comes before the resume
    "lock.taken",
    "epoch.committed",
    "epoch.bumped",
    "feed.asked",
    "token.before",
    "token.after",
    "reconcile.recalled",
    "reconcile.before_read1",
    "d1.after_commit",
)


async def kill_at_random(folder: Path, dice: random.Random, kills: int) -> None:
    """P7: four runs at a time, each killed at up to four instants; a plot with look-ups."""
    left = kills

    async def one_after_the_other(lane: int) -> None:
        nonlocal left
        runs = 0
        while left > 0:
            runs += 1
            async with victim(SEEING, folder / f"{lane}-{runs}", seed=dice.randrange(999)) as run:
                while left > 0 and run.kills < 4:
                    session = await run.session(kill_after_s=dice.uniform(0.1, A_RUN_S))
                    if not session.was_killed:
                        break
                    left -= 1
                else:
                    await run.session()
                prove_each_once(run)

    await at_once(map(one_after_the_other, range(AT_ONCE)))
    assert left <= 0


async def test_killed_at_random_instants_each_job_runs_exactly_once(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """F72, P1, P7, P12, P16: with look-ups, whatever instant the kill hits."""
    kills = request.config.getoption("kills") // SHARE

    await kill_at_random(tmp_path, random.Random(kills), kills)


@pytest.mark.parametrize("seed", range(2))
async def test_killed_at_a_random_instant_without_look_ups_the_doubts_are_named(
    tmp_path: Path, seed: int
) -> None:
    """F72, P1, P8: at most once; the rows in doubt at the kill are those that end as `unknown`."""
    dice = random.Random(seed)
    async with victim(BLIND, tmp_path / "run", seed=seed) as run:
        process = await run.start()
        await run.effects(10 + 20 * seed)
        await asyncio.sleep(dice.uniform(0, 0.1))
        process.kill()
        assert (await run.end(process)).was_killed
        doubts = run.in_doubt()
        await run.session()

        assert 0 < len(doubts) <= 2 * IN_FLIGHT
        prove_doubts_named(run, doubts)


async def test_ten_kills_in_a_row_lose_nothing_and_keep_the_rate(tmp_path: Path) -> None:
    """F74, P7, P16: a crash loop, each resume of which dies before the doubts of the last one are settled."""
    async with victim(SEEING, tmp_path / "run") as run:
        await run.session("--kill", "send.after_body:20")
        for name in EARLY:
            await run.session("--kill", f"{name}:1")
        assert run.kills == 11, run
        await run.session()

        prove_each_once(run)
