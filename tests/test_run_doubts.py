"""Runs where it would be easy to claim too much, to wait for ever, or to send twice. Each was a bug once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from running import Rig, after, hourly, interrupt, rig

from bulk_trigger import Outcome, Rate, State
from bulk_trigger.run import Run
from bulk_trigger.sandbox import Scenario
from bulk_trigger.settings import Duplicates, OnUnknown

FORBIDDEN = 'lookup = "forbidden"\n'


def reset(**when: object) -> str:
    """A fault: the reply gets lost."""
    lines = "".join(f"{key} = {value}\n" for key, value in when.items())
    return f'[[faults]]\nkind = "reset"\n{lines}'


def statuses(run: Rig) -> Counter[str]:
    return Counter(row["status"] for row in run.results())


@pytest.mark.parametrize("digits", [12, 10])
async def test_a_success_under_an_id_that_makes_no_sense_is_never_sent_again(
    tmp_path: Path, digits: int
) -> None:
    """P3, P6, F69: it was probably applied; that the predicted ID is absent proves nothing then."""
    jobs = hourly(20, flows=10)
    async with rig(tmp_path, f"id_digits = {digits}\n") as run:
        ending = await run.trigger(jobs)

        run.verdict(jobs).assert_none_twice()
        assert ending.exit_code in {4, 5}
        assert ending.summary["counts"]["succeeded"] == 0


async def test_ids_in_another_zone_are_learned_and_survive_a_crash(tmp_path: Path) -> None:
    """P7, F69: the look-up asks for the ID that this gateway gives, also after a resume."""
    jobs = hourly(40, flows=10)
    scenario = 'id_timezone = "GMT+8"\n' + reset(when='"after"', rate=0.3) + "[latency]\nmedian_ms = 20\n"
    async with rig(tmp_path, scenario) as run:
        await run.trigger(jobs, watch=after(10, Run.leave))
        ending = await run.resume()

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0


async def test_before_any_success_an_unexpected_id_is_not_taken_for_absence(tmp_path: Path) -> None:
    """P6, F69: one flow, the first reply lost, and IDs of another zone than predicted."""
    jobs = hourly(3, flows=1)
    scenario = 'id_timezone = "GMT+8"\n' + reset(when='"after"', attempts=[1], first=1)
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, patience_s=1.0)

        run.verdict(jobs).assert_none_twice()
        assert ending.exit_code == 5


async def test_any_doubt_among_duplicates_ends_unknown(tmp_path: Path) -> None:
    """Design decision 5, 62109 included: no look-up can tell which of them it was."""
    jobs = [(3300 + n % 5, time + second) for n, (_, time) in enumerate(hourly(5, 5)) for second in (0, 1000)]
    scenario = '[[faults]]\nkind = "code"\ncode = 62109\nwhen = "after"\nrate = 0.5\n'
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, duplicates=Duplicates.SEND, on_unknown=OnUnknown.CONTINUE)

        run.verdict(jobs).assert_none_twice()
        assert ending.exit_code == 5
        assert set(statuses(run)) == {"succeeded", "unknown"}


@pytest.mark.parametrize("flows", [1, 2, 3, 4, 6])
async def test_a_wrong_path_is_found_out_with_few_flows_too(tmp_path: Path, flows: int) -> None:
    """Design decision 8: five refusals in a row before any success, and no row has failed."""
    jobs = hourly(24, flows=flows)
    async with rig(tmp_path, '[[faults]]\nkind = "status"\nstatus = 404\n') as run:
        ending = await run.trigger(jobs)

        assert ending.exit_code == 4
        assert ending.summary["counts"]["pending"] == 24
        assert len(run.verdict(jobs).sends) <= 5 + flows

        run.sandbox.become(Scenario())
        assert (await run.resume()).exit_code == 0
        run.assert_proven(jobs).assert_each_once()


async def test_refusals_during_an_outage_are_believed_or_stop_the_run_but_never_hang_it(
    tmp_path: Path,
) -> None:
    """Design decisions 8 and 9: nonsense first, so nothing is sent but trials; and the trials are refused."""
    jobs = hourly(6, flows=2)
    scenario = '[[faults]]\nkind = "garbage"\non = "trigger"\nfirst = 3\n'
    async with rig(tmp_path, scenario + '[[faults]]\nkind = "status"\nstatus = 404\n') as run:
        ending = await run.trigger(jobs)

        assert ending.exit_code in {1, 4}
        assert run.verdict(jobs).effects == []


async def test_the_last_rows_of_a_resume_end_the_run_even_if_nothing_is_sent_for_them(tmp_path: Path) -> None:
    """No hang: rows in doubt that no look-up may settle end when their turn comes."""
    jobs = hourly(6, flows=2)
    async with rig(tmp_path, FORBIDDEN + reset(when='"after"', flows=[3300])) as run:
        first = await run.trigger(jobs, on_unknown=OnUnknown.CONTINUE)
        assert first.exit_code == 5

        ending = await run.resume(rerun=[State.UNKNOWN])

        assert ending.exit_code == 5
        run.verdict(jobs).assert_none_twice()


async def test_a_gateway_that_only_says_429_is_left_after_the_patience(tmp_path: Path) -> None:
    """F58, design decision 9: a pause that the gateway did not ask for is our own waiting."""
    jobs = hourly(20)
    async with rig(tmp_path, '[[faults]]\nkind = "status"\nstatus = 429\non = "trigger"\n') as run:
        ending = await run.trigger(jobs, patience_s=2.0)

        assert ending.exit_code == 4
        assert "no good reply" in ending.reason
        assert ending.summary["counts"]["pending"] == 20


async def test_a_failed_row_of_a_stopped_flow_can_be_run_again(tmp_path: Path) -> None:
    """`--rerun failed`: the rows behind it stay skipped, and it is sent."""
    jobs = hourly(20, flows=4)
    async with rig(tmp_path, "[flows]\nno_task = [3302]\n") as run:
        await run.trigger(jobs)
        run.sandbox.become(Scenario())

        ending = await run.resume(rerun=[State.FAILED])

        verdict = run.assert_proven(jobs)
        assert ending.exit_code == 1
        assert statuses(run) == {"succeeded": 16, "skipped": 4}
        assert verdict.effects_by_job[jobs[2]] == 1


async def test_an_unknown_row_of_a_stopped_flow_can_be_looked_up_again(tmp_path: Path) -> None:
    """`--rerun unknown` is the way, also for a flow that had later rows; then `--rerun skipped`."""
    jobs = hourly(20, flows=4)
    async with rig(tmp_path, FORBIDDEN + reset(when='"after"', flows=[3301], first=1)) as run:
        assert (await run.trigger(jobs)).exit_code == 5
        run.sandbox.become(Scenario())

        assert (await run.resume(rerun=[State.UNKNOWN])).exit_code == 1
        assert statuses(run) == {"succeeded": 16, "skipped": 4}
        assert (await run.resume(rerun=[State.SKIPPED])).exit_code == 0
        run.assert_proven(jobs).assert_each_once()


async def test_the_uncertain_order_of_a_flow_is_not_forgotten_by_a_resume(tmp_path: Path) -> None:
    """P13: rows behind an unknown one say so, whichever session sent them."""
    jobs = hourly(30, flows=3)
    scenario = FORBIDDEN + reset(flows=[3300], first=1) + "[latency]\nmedian_ms = 10\n"
    async with rig(tmp_path, scenario) as run:
        await run.trigger(jobs, on_unknown=OnUnknown.CONTINUE, watch=after(12, interrupt))
        await run.resume()

        rows = [row for row in run.results() if row["flowId"] == "3300"]
        assert [row["flags"] for row in rows] == [""] + ["order_uncertain"] * 9


class Raises:
    def settled(self, outcome: Outcome) -> None:
        raise OSError(f"the reader of row {outcome.row} has gone")


async def test_an_observer_that_raises_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    jobs = hourly(60)
    async with rig(tmp_path, "[latency]\nmedian_ms = 10\n") as run:
        first = await run.trigger(jobs, observer=Raises())

        assert first.exit_code == 7
        assert "has gone" in first.reason
        assert first.summary["counts"]["sending"] == 0
        assert (await run.resume()).exit_code == 0
        run.assert_proven(jobs).assert_each_once()


async def test_a_last_62109_without_look_ups_says_that_it_may_have_been_applied(tmp_path: Path) -> None:
    """P4, P10, F51."""
    jobs = hourly(1)
    scenario = FORBIDDEN + '[[faults]]\nkind = "code"\ncode = 62109\nwhen = "after"\n'
    async with rig(tmp_path, scenario) as run:
        await run.trigger(jobs, retries=0)

        (row,) = run.results()
        assert (row["status"], row["code"], row["flags"]) == ("failed", "62109", "dup_risk")


async def test_a_rerun_grants_all_attempts_anew(tmp_path: Path) -> None:
    jobs = hourly(1)
    fault = '[[faults]]\nkind = "code"\ncode = 62109\n'
    async with rig(tmp_path, fault) as run:
        await run.trigger(jobs, retries=1)
        assert run.results()[0]["attempts"] == "2"

        await run.resume(rerun=[State.FAILED])

        assert run.results()[0]["attempts"] == "4"


async def test_a_retry_after_of_the_token_service_is_kept(tmp_path: Path) -> None:
    """P18, F48, F61."""
    jobs = hourly(5)
    scenario = '[[faults]]\nkind = "status"\nstatus = 429\non = "token"\nfirst = 1\n'
    scenario += 'headers = { "Retry-After" = "2" }\n'
    async with rig(tmp_path, scenario) as run:
        await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        refused, *later = verdict.calls
        assert later[0].mono - (refused.done or 0) >= 1.95


async def test_a_baseline_of_many_flows_holds_few_of_them_at_a_time(tmp_path: Path) -> None:
    """P26, F66: what is to be looked up first counts against the in-flight cap."""
    jobs = hourly(400, flows=400)
    most = 0
    async with rig(tmp_path) as run:

        def watch(running: Run) -> bool:
            nonlocal most
            most = max(most, len(running.dispatcher._checks))
            return False

        await run.trigger(jobs, baseline=True, watch=watch)

        run.assert_proven(jobs).assert_each_once()
        assert 0 < most <= 16


async def test_half_of_62109_does_not_look_like_an_outage(tmp_path: Path) -> None:
    """F55, design decision 11: random 62109 is retried at full speed."""
    jobs = hourly(300, flows=100)
    scenario = '[[faults]]\nkind = "code"\ncode = 62109\nrate = 0.3\n'
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, in_flight=64, rates=(Rate(500, 1.0),))

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0
        assert ending.summary["notes"]["waits"].get("outage", 0.0) < 0.5
