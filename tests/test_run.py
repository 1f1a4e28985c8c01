"""Whole runs against the real sandbox: what the ledger shows, and what the results claim."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from running import Rig, after, hourly, interrupt, rig

from bulk_trigger import Outcome, Rate, State
from bulk_trigger.run import Run
from bulk_trigger.settings import Duplicates, Limit, OnFailure, OnUnknown

STALLED_S = 0.8  #: a window of a second, seen by a sandbox that a busy machine may hold up for a fifth of it


def statuses(run: Rig) -> Counter[str]:
    return Counter(row["status"] for row in run.results())


async def test_a_plain_run_triggers_each_job_once_in_order(tmp_path: Path) -> None:
    """P1, P2, P3, P12: the plain way through."""
    jobs = hourly(200)
    async with rig(tmp_path) as run:
        ending = await run.trigger(jobs)

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0
        assert statuses(run) == {"succeeded": 200}
        assert ending.summary["counts"]["succeeded"] == 200


async def test_an_empty_list_is_a_success(tmp_path: Path) -> None:
    async with rig(tmp_path) as run:
        ending = await run.trigger([])

        assert ending.exit_code == 0
        assert run.results() == []


async def test_a_bad_evening_still_shows_each_job_exactly_once(tmp_path: Path) -> None:
    """P3, P6, P7, P12: F14, F15, F18, F50, F51, F64. Trouble on both sides of the effect; a late list."""
    scenario = """
        visible_after_s = 0.05
        [[faults]]
        kind = "code"
        code = 62109
        rate = 0.05
        [[faults]]
        kind = "code"
        code = 62109
        when = "after"
        rate = 0.05
        [[faults]]
        kind = "reset"
        rate = 0.02
        [[faults]]
        kind = "reset"
        when = "after"
        rate = 0.02
        [[faults]]
        kind = "hang"
        when = "after"
        rate = 0.01
        [[faults]]
        kind = "cut"
        bytes = 20
        when = "after"
        rate = 0.01
    """
    jobs = hourly(2000, flows=50)
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, timeout_s=1.0, in_flight=64)

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 0
        faults = Counter(call.fault.partition("-")[0] for call in verdict.sends if call.fault)
        assert {"code", "reset", "hang", "cut"} <= set(faults)
        assert ending.summary["reconciled"] > 50


async def test_without_look_ups_62109_is_retried_with_its_risk_said_and_lost_replies_end_unknown(
    tmp_path: Path,
) -> None:
    """P8, P10, design decision 1: F51, F63."""
    scenario = """
        lookup = "forbidden"
        [[faults]]
        kind = "code"
        code = 62109
        rate = 0.2
        flows = ["3304-3305"]
        [[faults]]
        kind = "reset"
        when = "after"
        flows = [3303]
        attempts = [1]
    """
    jobs = hourly(60, flows=6)
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        assert ending.exit_code == 5
        rows = run.results()
        assert [row["row"] for row in rows if row["status"] == "unknown"] == ["4"]
        assert {row["status"] for row in rows if row["flowId"] == "3303"} == {"unknown", "skipped"}
        assert verdict.effects_by_job[jobs[3]] == 1
        risky = [row for row in rows if "dup_risk" in row["flags"]]
        assert risky
        assert all(int(row["attempts"]) > 1 for row in risky)
        assert sum("does not let us look" in text for text in run.notices) == 1


async def test_a_flow_without_tasks_stops_its_lane_only(tmp_path: Path) -> None:
    """P14, F56, design decision 8: its other rows are skipped with the reason; no call is spent on them."""
    jobs = hourly(50, flows=5)
    async with rig(tmp_path, "[flows]\nno_task = [3302]\n") as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        assert ending.exit_code == 1
        rows = [row for row in run.results() if row["flowId"] == "3302"]
        assert [row["status"] for row in rows] == ["failed"] + ["skipped"] * 9
        assert rows[0]["code"] == "62104"
        assert all("62104" in row["message"] for row in rows[1:])
        assert sum(call.flow_id == 3302 for call in verdict.sends) == 1
        assert statuses(run)["succeeded"] == 40


async def test_what_concerns_everyone_stops_the_run_and_fails_nothing(tmp_path: Path) -> None:
    """Design decision 8: 62101 is exit 4, and every row is still there to be resumed."""
    jobs = hourly(30)
    async with rig(tmp_path) as run:
        ending = await run.trigger(jobs, user_id="somebody-else")

        assert ending.exit_code == 4
        assert "62101" in ending.reason
        assert run.verdict(jobs).effects == []
        assert ending.summary["counts"]["pending"] == 30
        assert not (run.directory / "results.csv").exists()


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_five_refusals_before_any_success_stop_the_run_and_give_the_rows_back(
    tmp_path: Path, status: int
) -> None:
    """Design decision 8: a wrong address is likelier than wrong rows."""
    jobs = hourly(40, flows=20)
    scenario = f'[[faults]]\nkind = "status"\nstatus = {status}\non = "trigger"\n'
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, in_flight=4)

        assert ending.exit_code == 4
        assert ending.summary["counts"] | {"pending": 40} == ending.summary["counts"]


async def test_a_refusal_is_believed_once_something_worked(tmp_path: Path) -> None:
    """Design decision 8: rows that were refused before the first success fail when it comes."""
    jobs = hourly(20, flows=10)
    scenario = '[[faults]]\nkind = "status"\nstatus = 404\nflows = [3300, 3301]\n'
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs)

        run.assert_proven(jobs)
        assert ending.exit_code == 1
        assert statuses(run) == {"succeeded": 16, "failed": 4}


async def test_a_list_of_refused_rows_alone_fails_in_the_end(tmp_path: Path) -> None:
    """Fewer than five refusals, and nothing else left: they are failures then."""
    jobs = hourly(3, flows=3)
    async with rig(tmp_path, '[[faults]]\nkind = "status"\nstatus = 404\n') as run:
        ending = await run.trigger(jobs)

        assert ending.exit_code == 1
        assert statuses(run) == {"failed": 3}


async def test_an_expired_token_is_renewed_once_for_all(tmp_path: Path) -> None:
    """F61: rows in flight are sent again, none fails."""
    jobs = hourly(100)
    async with rig(tmp_path, "token_lifetime_s = 1\n[latency]\nshape = 'constant'\nmedian_ms = 30\n") as run:
        ending = await run.trigger(jobs, rates=(Rate(50, 1.0),))

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0
        assert sum(call.api == "token" for call in run.verdict(jobs).calls) <= 10


async def test_a_wrong_secret_stops_the_run_before_anything_is_sent(tmp_path: Path) -> None:
    """F62, design decision 8: 1003."""
    jobs = hourly(10)
    async with rig(tmp_path) as run:
        run.credentials = type(run.credentials)("sandbox-app-key", "wrong")
        ending = await run.trigger(jobs)

        assert ending.exit_code == 4
        assert "1003" in ending.reason
        assert run.verdict(jobs).sends == []


async def test_a_429_pauses_everybody_and_fails_no_row(tmp_path: Path) -> None:
    """P18, F58, design decision 15: the rate is cut until the gateway is content."""
    jobs = hourly(250, flows=25)
    async with rig(tmp_path, 'rate_limit = "100/s"\n') as run:
        ending = await run.trigger(jobs, rates=(Rate(200, 1.0),), in_flight=32)

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 0
        assert sum(call.status == 429 for call in verdict.calls) >= 1


async def test_nothing_starts_before_the_time_that_a_retry_after_names(tmp_path: Path) -> None:
    """P18, F48, F58."""
    jobs = hourly(40, flows=20)
    scenario = '[[faults]]\nkind = "status"\nstatus = 429\ncalls = [10]\non = "trigger"\n'
    async with rig(tmp_path, scenario + 'headers = { "Retry-After" = "2" }\n') as run:
        await run.trigger(jobs, in_flight=4)

        verdict = run.assert_proven(jobs)
        refused = next(call for call in verdict.sends if call.status == 429)
        later = [call.mono for call in verdict.calls if call.mono > (refused.done or 0) + 0.5]
        assert min(later) >= (refused.done or 0) + 1.9


async def test_every_window_holds_its_rate_and_the_rate_is_reached(tmp_path: Path) -> None:
    """P15: as the ledger saw it, look-ups and the token included."""
    jobs = hourly(150, flows=30)
    async with rig(tmp_path) as run:
        await run.trigger(jobs, rates=(Rate(60, 1.0),))

        verdict = run.assert_proven(jobs)
        assert verdict.busiest(STALLED_S) <= 60
        took = verdict.sends[-1].mono - verdict.sends[0].mono
        assert took < 2 * 150 / 60  # reached to the percent: test_limiter, on a clock that nobody disturbs


async def test_the_rate_holds_over_a_restart(tmp_path: Path) -> None:
    """P16."""
    jobs = hourly(120, flows=30)
    async with rig(tmp_path) as run:
        await run.trigger(jobs, rates=(Rate(60, 1.0),), watch=after(50, interrupt))
        ending = await run.resume()

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 0
        assert verdict.busiest(STALLED_S) <= 60


async def test_a_drained_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """P1, P31: the drain records what was not sent; resume does the rest, each job once."""
    jobs = hourly(200)
    async with rig(tmp_path) as run:
        first = await run.trigger(jobs, watch=after(40, interrupt))

        assert first.exit_code == 130
        assert first.summary["counts"]["sending"] == 0
        assert first.summary["counts"]["pending"] >= 100
        ending = await run.resume()
        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0
        assert ending.summary["sends"] == 200


async def test_leaving_at_once_leaves_only_doubts_that_resume_settles(tmp_path: Path) -> None:
    """P7, P31: the second signal."""
    jobs = hourly(100)
    async with rig(tmp_path, "[latency]\nshape = 'uniform'\nlow_ms = 20\nhigh_ms = 120\n") as run:
        first = await run.trigger(jobs, watch=after(20, Run.leave))
        assert 0 < first.summary["counts"]["sending"] <= 16

        ending = await run.resume()
        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0


async def test_failed_rows_can_be_run_again(tmp_path: Path) -> None:
    """`resume --rerun failed,skipped`: what failed is sent again; what succeeded is not."""
    jobs = hourly(50, flows=5)
    async with rig(tmp_path, "[flows]\nno_task = [3302]\n") as run:
        await run.trigger(jobs)
        run.sandbox.become(type(run.sandbox.scenario)())

        ending = await run.resume(rerun=[State.FAILED, State.SKIPPED])

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0


async def test_unknown_rows_are_looked_up_before_they_are_run_again(tmp_path: Path) -> None:
    """P6, F63: `resume --rerun unknown` sends only what is proven absent."""
    scenario = """
        lookup = "forbidden"
        [[faults]]
        kind = "reset"
        when = "after"
        flows = [3301]
        attempts = [1]
        [[faults]]
        kind = "reset"
        flows = [3302]
        attempts = [1]
    """
    jobs = hourly(30, flows=5)
    async with rig(tmp_path, scenario) as run:
        first = await run.trigger(jobs)
        assert first.exit_code == 5
        run.sandbox.become(type(run.sandbox.scenario)())

        ending = await run.resume(rerun=[State.UNKNOWN, State.SKIPPED])

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0
        ways = {row["row"]: row["via"] for row in run.results()}
        assert ways["2"] == "reconciled"


async def test_a_baseline_skips_what_exists(tmp_path: Path) -> None:
    """F66, design decision 3."""
    jobs = hourly(20, flows=4)
    there = "".join(f"[[instances]]\nflow = {f}\ntrigger_time = {t}\nstatus = 1\n" for f, t in jobs[:3])
    async with rig(tmp_path, there) as run:
        ending = await run.trigger(jobs, baseline=True)

        verdict = run.verdict(jobs)
        assert [row["code"] for row in run.results()[:3]] == ["exists"] * 3
        assert ending.exit_code == 0
        assert len(verdict.sends) == 17


async def test_an_older_instance_is_not_taken_for_ours(tmp_path: Path) -> None:
    """P3, F66, design decision 3: found, but older than our first send: unknown."""
    jobs = hourly(4, flows=2)
    there = f"[[instances]]\nflow = {jobs[0][0]}\ntrigger_time = {jobs[0][1]}\nstatus = 1\n"
    reset = '[[faults]]\nkind = "reset"\nflows = [3300]\nattempts = [1]\n'
    async with rig(tmp_path, there + reset) as run:
        ending = await run.trigger(jobs)

        rows = run.results()
        assert ending.exit_code == 5
        assert rows[0]["status"] == "unknown"
        assert "older" in rows[0]["message"]


async def test_duplicates_that_are_sent_are_flagged_and_never_settled_by_a_look_up(tmp_path: Path) -> None:
    """Design decision 5."""
    jobs = [*hourly(4, flows=2), (3300, hourly(1)[0][1] + 1000)]
    faults = '[[faults]]\nkind = "code"\ncode = 500\n'.replace('"code"\ncode = 500', '"reset"')
    scenario = faults + "flows = [3300]\nattempts = [1]\nfirst = 1\n"
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, duplicates=Duplicates.SEND)

        rows = run.results()
        assert ending.exit_code == 5
        assert rows[0]["status"] == "unknown"
        assert rows[0]["flags"] == "duplicate_key"


async def test_a_lane_may_go_on_after_an_unknown_row_if_the_user_says_so(tmp_path: Path) -> None:
    """P13: the later rows say that their order is uncertain."""
    scenario = 'lookup = "403"\n[[faults]]\nkind = "reset"\nflows = [3300]\nattempts = [1]\nfirst = 1\n'
    jobs = hourly(10, flows=2)
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, on_unknown=OnUnknown.CONTINUE)

        rows = [row for row in run.results() if row["flowId"] == "3300"]
        assert ending.exit_code == 5
        assert [row["status"] for row in rows] == ["unknown"] + ["succeeded"] * 4
        assert [row["flags"] for row in rows] == [""] + ["order_uncertain"] * 4


@pytest.mark.parametrize(
    ("changes", "exit_code"),
    [
        ({"on_failure": OnFailure.ABORT}, 3),
        ({"max_failures": Limit(2)}, 3),
        ({"max_failures": Limit(4)}, 1),
        ({"max_failures": Limit(50, percent=True)}, 1),
    ],
)
async def test_too_many_failures_stop_the_run(
    tmp_path: Path, changes: dict[str, Any], exit_code: int
) -> None:
    jobs = hourly(100, flows=10)
    refused = '[[faults]]\nkind = "code"\ncode = 99404\nflows = [3304, 3305]\n'
    slow = '[[faults]]\nkind = "hang"\nafter_s = 0.02\nfirst = 100\n'
    async with rig(tmp_path, refused + slow) as run:
        ending = await run.trigger(jobs[:20], in_flight=2, **changes)

        assert ending.exit_code == exit_code
        run.verdict(jobs).assert_none_twice()


async def test_a_redirect_stops_the_run_and_is_not_followed(tmp_path: Path) -> None:
    """P29, F45."""
    jobs = hourly(20)
    scenario = '[[faults]]\nkind = "redirect"\nstatus = 302\nlocation = "http://127.0.0.1:9/elsewhere"\n'
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, in_flight=2)

        assert ending.exit_code == 4
        assert "redirect" in ending.reason
        assert "127.0.0.1" in ending.reason


class Listener:
    def __init__(self) -> None:
        self.heard: list[Outcome] = []

    def settled(self, outcome: Outcome) -> None:
        self.heard.append(outcome)


async def test_an_observer_hears_of_every_row_once_and_as_the_results_tell_it(tmp_path: Path) -> None:
    jobs = hourly(60, flows=6)
    listener = Listener()
    scenario = '[flows]\nno_task = [3302]\n[[faults]]\nkind = "code"\ncode = 62109\nrate = 0.2\n'
    async with rig(tmp_path, scenario) as run:
        await run.trigger(jobs, observer=listener)

        heard = {outcome.row: outcome for outcome in listener.heard}
        assert len(listener.heard) == len(heard) == 60
        for row in run.results():
            outcome = heard[int(row["row"])]
            assert outcome.state == row["status"]
            assert (outcome.instance_id or "") == row["flowInstanceId"]
            assert str(outcome.attempts) == row["attempts"]
            assert outcome.flags == row["flags"]


async def test_one_worker_is_enough_for_everything(tmp_path: Path) -> None:
    """No call waits for another worker: look-ups and sends share one."""
    scenario = '[[faults]]\nkind = "code"\ncode = 62109\nrate = 0.3\nwhen = "after"\n'
    jobs = hourly(20, flows=4)
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, in_flight=1)

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0
