"""62109, "internal exception": transient, says the mission; "nobody knows", says the documentation (P10)."""

from __future__ import annotations

import asyncio
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from virtual_rig import VirtualRig, past, virtual_rig, virtually

from bulk_trigger.sandbox.ledger import Called
from bulk_trigger.settings import On62109, OnFailure

ROWS = 150
ATTEMPTS = 6  #: --retries 5, and the first
LATELY_S, TRIAL_S, SAVED = (
    10.0,
    1.0,
    10.0,
)  #: of the retry budget and of an outage (design decisions 9 and 11)
IN_FLIGHT = 64  #: intents that may have been paid for long before they are sent
HALF_AN_HOUR_S = 1800
OUTAGE: dict[str, Any] = {"from_s": 1, "to_s": 1 + HALF_AN_HOUR_S}


def fault(when: str = "before", code: int = 62109, **conditions: object) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in conditions.items())
    return f'[[faults]]\nkind = "code"\ncode = {code}\nwhen = "{when}"\n{lines}'


def statuses(run: VirtualRig) -> Counter[str]:
    return Counter(row["status"] for row in run.results())


# --- how much more a bad gateway gets


def paid_retries(sends: list[Called]) -> Iterator[tuple[float, float]]:
    """Give (time, cost) of the sends that were not free, as the ledger saw them.

    A retry is free while at least half of the last ten seconds' replies were good. Every other one costs 1; a
    first send earns a tenth.
    """
    ended = sorted((call.done or call.mono, call.code == 0) for call in sends)
    times, good = [time for time, _ in ended], [0]
    for _, was_good in ended:
        good.append(good[-1] + was_good)
    for call in sorted(sends, key=lambda call: call.mono):
        if call.attempt == 1:
            yield call.mono, -0.1
        elif not any(_half_good(times, good, call.mono - early) for early in (0.0, 0.25, 0.5, 0.75, 1.0)):
            yield call.mono, 1.0


def _half_good(times: list[float], good: list[int], now: float) -> bool:
    first, last = bisect(times, now - LATELY_S), bisect(times, now)
    return 0 < last - first <= 2 * (good[last] - good[first])


def assert_amplification_is_bounded(sends: list[Called]) -> None:
    """P19: over any stretch of time, paid retries are at most a tenth of the first sends plus one per second.

    An outage's trials are among them: one per second at most, instead of retries.
    """
    least = spent = 0.0
    began = sends[0].mono
    for time, cost in paid_retries(sends):
        spent += cost
        balance = spent - (time - began) / TRIAL_S
        assert balance - least <= SAVED + IN_FLIGHT, f"too many retries by {time:.0f} s"
        least = min(least, balance)


@virtually
@pytest.mark.parametrize("percent", [1, 10, 30, 50, 90])
async def test_a_share_of_62109_is_retried_within_the_budget_and_the_run_ends(
    tmp_path: Path, percent: int
) -> None:
    """F50, F55, P19: nothing twice, bounded amplification; only who used up his attempts fails."""
    share, jobs = percent / 100, past(ROWS, flows=75)
    async with virtual_rig(tmp_path, fault(rate=share)) as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        failed = [row for row in run.results() if row["status"] == "failed"]
        assert sum(call.fault is not None for call in verdict.sends) >= percent / 2
        assert_amplification_is_bounded(verdict.sends)
        assert len(failed) <= ROWS * share**ATTEMPTS * 1.5 + 4
        assert all(int(row["attempts"]) >= ATTEMPTS and row["code"] == "62109" for row in failed)
        assert statuses(run) == Counter(succeeded=ROWS - len(failed), failed=len(failed))
        assert len(verdict.effects) == ROWS - len(failed)
        assert ending.exit_code == bool(failed)
        if percent <= 30:  # transient, and nothing else: no outage is seen in it, and nobody waits for leave
            assert ending.summary["notes"]["waits"].get("outage", 0.0) == 0
            assert len(verdict.sends) <= ROWS / (1 - share) * 1.2


@virtually
@pytest.mark.parametrize("percent", [10, 90])
async def test_a_share_of_62109_that_was_applied_is_never_sent_again(tmp_path: Path, percent: int) -> None:
    """F51, P6: the look-up finds each of them; nobody guesses."""
    jobs = past(200, flows=100)
    async with virtual_rig(tmp_path, fault("after", rate=percent / 100)) as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert len(verdict.sends) == 200
        assert ending.exit_code == 0
        assert ending.summary["reconciled"] == sum(call.fault is not None for call in verdict.sends) > percent


@virtually
async def test_62109_for_one_flow_for_ever_costs_the_others_nothing(tmp_path: Path) -> None:
    """F53, P14: its rows fail after six attempts each; the others end as if it did not exist."""
    jobs = past(300, flows=30)
    async with virtual_rig(tmp_path, fault(flows=[3300])) as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        attempts = Counter(call.trigger_time for call in verdict.sends if call.flow_id == 3300)
        assert set(attempts.values()) == {ATTEMPTS}
        assert len(attempts) == 10
        assert ending.exit_code == 1
        assert statuses(run) == Counter(succeeded=290, failed=10)
        others = [call.mono for call in verdict.sends if call.flow_id != 3300]
        assert max(others) - min(others) <= 290 / 100 * 1.1  # at --rate 100/s


@virtually
async def test_62109_for_one_flow_for_ever_stops_it_if_the_user_says_so(tmp_path: Path) -> None:
    """F53: `--on-failure stop-flow`: the rows behind the failed one are skipped, without one call more."""
    jobs = past(60, flows=6)
    async with virtual_rig(tmp_path, fault(flows=[3300])) as run:
        ending = await run.trigger(jobs, on_failure=OnFailure.STOP_FLOW)

        verdict = run.assert_proven(jobs)
        assert sum(call.flow_id == 3300 for call in verdict.sends) == ATTEMPTS
        assert ending.exit_code == 1
        assert statuses(run) == Counter(succeeded=50, failed=1, skipped=9)


@virtually
async def test_62109_for_everything_for_half_an_hour_is_sat_out(tmp_path: Path) -> None:
    """F54, P19: `--patience 1h`: a pause, and hardly any load; then all goes through, and nothing failed."""
    jobs = past(300, flows=30)
    async with virtual_rig(tmp_path, fault(**OUTAGE)) as run:
        ending = await run.trigger(jobs, patience_s=3600.0)

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 0
        assert statuses(run) == {"succeeded": 300}
        bad = [call for call in verdict.sends if call.fault]
        assert bad[-1].mono - bad[0].mono > HALF_AN_HOUR_S - 10
        assert len(bad) <= 2 * IN_FLIGHT + HALF_AN_HOUR_S / TRIAL_S
        assert_amplification_is_bounded(verdict.sends)
        assert asyncio.get_running_loop().time() < HALF_AN_HOUR_S + 15  # and then it is quick again


@virtually
async def test_62109_for_everything_outlasts_the_patience_and_resume_does_the_rest(tmp_path: Path) -> None:
    """F54, P7: after 15 minutes: exit 4, and not one row has failed, nor does one when it goes on."""
    jobs = past(300, flows=30)
    async with virtual_rig(tmp_path, fault(**OUTAGE)) as run:
        first = await run.trigger(jobs)

        assert first.exit_code == 4
        assert "no good reply for 900 s" in first.reason
        assert first.summary["counts"]["failed"] == first.summary["counts"]["unknown"] == 0
        assert not (run.directory / "results.csv").exists()

        await asyncio.sleep(OUTAGE["to_s"] - asyncio.get_running_loop().time())
        assert (await run.resume()).exit_code == 0
        run.assert_proven(jobs).assert_each_once()
        assert max(int(row["attempts"]) for row in run.results()) > ATTEMPTS  # trials, which are not charged


@virtually
async def test_62109_for_everything_gets_hardly_more_load(tmp_path: Path) -> None:
    """F54, P19: at full speed, from the first send on: a burst, then the budget, then one trial a second."""
    jobs = past(600, flows=200)
    async with virtual_rig(tmp_path, fault()) as run:
        ending = await run.trigger(jobs, patience_s=60.0)

        sends = run.calls("trigger")
        assert ending.exit_code == 4
        assert len(sends) <= 2 * IN_FLIGHT + 60
        assert_amplification_is_bounded(sends)


# --- what it may have done


@virtually
async def test_a_62109_that_is_retried_on_request_may_run_twice_and_says_so(tmp_path: Path) -> None:
    """F51, P10: `--on-62109 retry`: two effects at most, and every row that may have two says `dup_risk`."""
    jobs = past(60, flows=20)
    async with virtual_rig(tmp_path, fault("after", flows=["3300-3309"], attempts=[1])) as run:
        ending = await run.trigger(jobs, on_62109=On62109.RETRY)

        verdict = run.verdict(jobs)
        rows = run.results()
        assert ending.exit_code == 0
        assert run.calls("list") == []
        assert Counter(verdict.effects_by_job.values()) == {2: 30, 1: 30}
        for row, job in zip(rows, jobs, strict=True):
            assert ("dup_risk" in row["flags"]) is (verdict.effects_by_job[job] == 2)


@virtually
async def test_a_62109_that_fails_on_request_says_that_it_may_have_run(tmp_path: Path) -> None:
    """F51, P10: `--on-62109 fail`: one attempt, no look-up, and the failure carries `dup_risk`."""
    jobs = past(60, flows=20)
    async with virtual_rig(tmp_path, fault("after", flows=["3300-3309"])) as run:
        ending = await run.trigger(jobs, on_62109=On62109.FAIL)

        verdict = run.verdict(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 1
        assert len(verdict.sends) == 60
        risky = [row for row in run.results() if row["flags"] == "dup_risk"]
        assert [row["status"] for row in risky] == ["failed"] * 30


@virtually
async def test_a_62109_because_the_instance_exists_already_is_found_out_by_the_look_up(
    tmp_path: Path,
) -> None:
    """F52, F64, P6: it shows only after the quarantine, so all rows are sent again; the gateway refuses."""
    jobs = past(20, flows=20)
    scenario = 'same_minute = "62109"\nvisible_after_s = 100\n' + fault("after", attempts=[1])
    async with virtual_rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 0
        assert {row["via"] for row in run.results()} == {"reconciled"}
        assert len(verdict.sends) > 20  # so that was hit


@virtually
async def test_a_62109_because_the_instance_exists_already_is_no_success_without_a_look_up(
    tmp_path: Path,
) -> None:
    """F52, P10: `--on-62109 retry`: it was done, we cannot know, and the failure says so."""
    jobs = past(20, flows=20)
    scenario = 'same_minute = "62109"\n' + fault("after", flows=["3300-3301"], attempts=[1])
    async with virtual_rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, on_62109=On62109.RETRY)

        run.verdict(jobs).assert_each_once()
        rows = run.results()
        assert ending.exit_code == 1
        assert [row["status"] for row in rows] == ["failed"] * 2 + ["succeeded"] * 18
        assert {(row["flags"], row["attempts"]) for row in rows[:2]} == {("dup_risk", "6")}


@virtually
async def test_a_62109_about_somebody_elses_instance_is_not_taken_for_ours(tmp_path: Path) -> None:
    """F52, F66, P3: it exists, but it is older than our first send."""
    jobs = past(4, flows=4)
    there = f"[[instances]]\nflow = {jobs[0][0]}\ntrigger_time = {jobs[0][1]}\n"
    async with virtual_rig(tmp_path, 'same_minute = "62109"\n' + there) as run:
        ending = await run.trigger(jobs)

        (row, *others) = run.results()
        assert ending.exit_code == 5
        assert (row["status"], row["attempts"]) == ("unknown", "1")
        assert "older" in row["message"]
        assert {other["status"] for other in others} == {"succeeded"}


# --- other codes


@virtually
@pytest.mark.parametrize("code", [69999, 62106, 70000, -1])
async def test_a_code_that_nobody_knows_is_looked_up_and_named(tmp_path: Path, code: int) -> None:
    """F57, P6: once with and once without the effect; rule 1 of the verdicts: it proves nothing."""
    jobs = past(4, flows=4)
    scenario = fault("after", code, flows=[3300], attempts=[1]) + fault("before", code, flows=[3301])
    async with virtual_rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, retries=1)

        verdict = run.assert_proven(jobs)
        applied, refused, *_ = run.results()
        assert ending.exit_code == 1
        assert (applied["status"], applied["via"], applied["attempts"]) == ("succeeded", "reconciled", "1")
        assert (refused["status"], refused["code"], refused["attempts"]) == ("failed", str(code), "2")
        assert "internal exception" in refused["message"]  # the gateway's own words
        assert len(verdict.sends) == 5
