"""SIGKILL at every named failpoint, then `resume`, which is killed as well: the ledger is the witness."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from campaign import Campaign, aims_at, count_hits
from plots import BLIND, CAREFUL, EXISTING, SEEING
from points import CALLBACKS, POINTS
import pytest
from victims import Plot, Victim, prove, prove_doubts_named, prove_each_once, victim

pytestmark = pytest.mark.timeout(3600)  # the long form takes long; a session that hangs is found by itself

_ELSEWHERE = {"baseline": CAREFUL, "skip": BLIND}  #: points that only another plot reaches


def of_plot(plot: Plot) -> set[str]:
    """The points that are aimed at with a plot, whatever else it reaches."""
    return {name for name in POINTS if _ELSEWHERE.get(name.partition(".")[0], SEEING) is plot}


def prove_seen(run: Victim, _: set[int]) -> None:
    prove_each_once(run)


def prove_careful(run: Victim, _: set[int]) -> None:
    """What existed before is skipped, and everything else was triggered once."""
    verdict = prove(run)
    states = {(int(row["flowId"]), int(row["triggerTime"])): row["status"] for row in run.results()}
    assert {job for job, state in states.items() if state == "skipped"} == set(EXISTING)
    assert verdict.effects_by_job == Counter(set(run.plot.jobs) - set(EXISTING))
    assert run.sessions[-1].code == 0, run.sessions[-1].told


def test_every_failpoint_sits_at_a_function_of_the_program() -> None:
    for name, point in {**POINTS, **CALLBACKS}.items():
        owner, function = point.find()
        assert callable(getattr(owner, function)), name
    assert len(POINTS) >= 25


async def test_killed_at_every_failpoint_and_resumed_each_job_runs_exactly_once(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """F71, F74, P1, P7, P12, P16, P20, P23: with look-ups, also when the resumes are killed."""
    kills = request.config.getoption("kills")
    names = of_plot(SEEING)
    campaign = Campaign(SEEING, tmp_path, prove_seen)

    await campaign.strike(aims_at(names, await count_hits(SEEING, tmp_path), kills * 7 // 10, seed=kills))

    assert {aim.name for aim in campaign.struck} >= names
    assert len(campaign.struck) >= kills * 7 // 10
    assert campaign.while_resuming >= 10


async def test_killed_between_a_baseline_and_the_first_send_what_exists_is_not_sent(tmp_path: Path) -> None:
    """F66, F71, P3: what a look-up found before the kill is found again, or is known."""
    names = of_plot(CAREFUL)
    campaign = Campaign(CAREFUL, tmp_path, prove_careful)

    await campaign.strike(aims_at(names, await count_hits(CAREFUL, tmp_path), 2, seed=0))

    assert {aim.name for aim in campaign.struck} >= names


async def test_killed_without_look_ups_no_job_runs_twice_and_the_doubts_are_named(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """F71, F74, P1, P8: at most once; what was in doubt, at most twice the cap, ends as `unknown`."""
    kills = request.config.getoption("kills")
    hits = await count_hits(BLIND, tmp_path)
    own = of_plot(BLIND)
    campaign = Campaign(BLIND, tmp_path, prove_doubts_named)
    aims = aims_at(hits.keys() | own, hits, kills // 8, seed=kills)

    await campaign.strike(sorted(aims, key=lambda aim: aim.name not in own)[: max(kills // 8, 8)])

    assert {aim.name for aim in campaign.struck} >= own
    assert len(campaign.struck) >= kills // 8


async def test_the_rate_holds_over_a_kill_that_a_slow_disk_hid_calls_from(tmp_path: Path) -> None:
    """F100, P16: of the calls that no record survives, the next session counts as many as there can be."""
    allowed = 60
    plot = Plot(CAREFUL.scenario, CAREFUL.jobs, (*CAREFUL.flags, "--rate", f"{allowed}/m"), rate=30)
    async with victim(plot, tmp_path / "run") as run:
        killed = await run.session("--stall", "calls.before:2:1", "--kill", "calls.before:2")
        before = calls_in(run.folder / "starts.txt")
        await run.session(kill_after_s=5)

        assert killed.was_killed
        assert 0 < before < calls_in(run.folder / "starts.txt") <= allowed


def calls_in(starts: Path) -> int:
    return sum(int(line.split()[1]) for line in starts.read_text().splitlines())
