"""What the simulation has found, each as the smallest history that shows it. All of it was wrong once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from checks import check
from oracle import read_results
from plans import FIRST_MS, HOUR_MS, TARGET, Crash, JobKey, Plan, Spell
import pytest
from running import hourly, rig
from survey import played

from bulk_trigger import Rate, Settings, State
from bulk_trigger.cli.proof import prove
from bulk_trigger.launch import reopen
from bulk_trigger.sandbox import Scenario
from bulk_trigger.sandbox.scenario import Instance
from bulk_trigger.settings import OnFailure


def flow(flow_id: int, rows: int = 1, step_ms: int = HOUR_MS) -> list[JobKey]:
    return [(flow_id, FIRST_MS + row * step_ms) for row in range(rows)]


def plan(jobs: Sequence[JobKey], scenario: Scenario | None = None, **facts: Any) -> Plan:
    """A plan in which nothing goes wrong but what is given; what is no part of it is a setting."""
    ours = {name: facts.pop(name) for name in tuple(facts) if name in Plan.__dataclass_fields__}
    settings = Settings(**{**TARGET, "rates": (), "reconcile_wait_s": 30.0, **facts})
    return Plan(seed=1, jobs=jobs, settings=settings, scenario=scenario or Scenario(), **ours)


@pytest.mark.parametrize("missing", ["null-data", "62102", "404"])
def test_62109_before_any_success_is_not_found_absent_while_the_list_is_behind(missing: str) -> None:
    """P6, P7, F51, F64: nobody knows yet how far behind; 2 s were not enough, and the flow ran twice."""
    scenario = Scenario(visible_after_s=8.0, missing_instance=missing)  # type: ignore[arg-type]  # one of its words
    first = plan(flow(3377, 3), scenario, spells=[Spell(0.0, 0.05, "62109 after", "trigger")])

    with played(first) as history:
        assert check(history) == []
        assert history.world.hits["trigger: 62109 after"] >= 1
        assert history.states()[State.SUCCEEDED] == 3


def test_a_look_up_that_takes_minutes_proves_nothing_for_its_end() -> None:
    """P6, P7, F64: it began before the instance could be seen; its last page came after the quarantine."""
    slow = plan(
        flow(3377),
        Scenario(visible_after_s=25.0, instance_type=0, count="page"),
        rates=(Rate(1, 10.0),),  # seven calls are one look-up
        spells=[Spell(0.0, 25.0, "62109 after", "trigger")],
    )

    with played(slow) as history:
        assert check(history) == []
        assert [made.job for made in history.world.made] == flow(3377)


def test_what_is_missing_while_nobody_may_ask_comes_no_sooner_at_a_cut_rate() -> None:
    """F58: pauses longer than the way back undid each cut; a look-up of seven calls never came to its end."""
    scenario = Scenario(rate_limit=("2/s",), instance_type=2, same_minute="return-existing")
    limited = plan(flow(3377, 3), scenario, rates=(Rate(20, 1.0),), baseline=True, patience_s=600.0)

    with played(limited) as history:
        assert check(history) == []
        assert history.last is not None
        assert history.last.exit_code == 0
        assert len(history.sessions) == 1


def test_a_call_that_waited_longer_than_its_token_lives_gets_a_new_one_first() -> None:
    """F61: it went out with the old one, and two such refusals in a row stopped the run."""
    paused = plan(
        flow(3377),
        Scenario(token_lifetime_s=20.0),
        hint_s=30.0,
        spells=[Spell(0.0, 0.5, "503 with Retry-After before", "trigger")],
    )

    with played(paused) as history:
        assert check(history) == []
        assert history.world.hits["trigger: 503 with Retry-After before"] == 1
        assert history.world.hits["token expired"] == 0


def test_a_look_up_before_the_first_send_that_gives_nothing_is_repeated_ever_more_slowly() -> None:
    """P14, P19: once a second for each flow, they took all of the rate, and nothing else was ever sent."""
    down = plan(flow(3377), baseline=True, spells=[Spell(0.0, 300.0, "500", "lookup")])

    with played(down) as history:
        assert check(history) == []
        looked_up = [call.began for call in history.world.calls if call.api == "get" and call.began < 300]
        assert 10 <= len(looked_up) <= 20


def test_a_success_with_an_instance_from_before_does_not_show_how_far_behind_the_list_is() -> None:
    """P4, P6, F66: it shows at once; 2 s after a 500, the list was believed that the flow had not run."""
    scenario = Scenario(
        visible_after_s=19.0,
        same_minute="return-existing",
        instances=(Instance(flow=3377, trigger_time=FIRST_MS),),
    )
    answered = plan([*flow(3377), *flow(4001)], scenario, cursed=(4001, "500 after"), in_flight=1, retries=0)

    with played(answered) as history:
        assert check(history) == []
        assert [made.job for made in history.world.made] == flow(4001)


def test_an_instance_whose_start_could_be_of_any_zone_does_not_show_how_far_behind_the_list_is() -> None:
    """P6, F69: somebody else had triggered the row that calibrates, two and a half minutes before."""
    scenario = Scenario(visible_after_s=9.0, timezone="GMT-5")
    behind = plan(
        [*flow(7), *flow(4001)],
        scenario,
        strangers=[(0.02, (7, FIRST_MS))],
        spells=[Spell(0.0, 150.0, "unreachable", "dial")],
        cursed=(4001, "69999 after"),
        in_flight=1,
        patience_s=600.0,
    )

    with played(behind) as history:
        assert check(history) == []
        assert [made.job for made in history.world.made if made.actor == "ours"] == [*flow(7), *flow(4001)]


def test_the_rows_behind_a_failed_one_are_skipped_for_the_same_reason_after_any_crash() -> None:
    """P4: whichever session gets to skip them."""
    stopped = plan(flow(3377, 4), on_failure=OnFailure.STOP_FLOW, retries=0, cursed=(3377, "1001"))

    for statement in range(1, 60):
        crash = Crash("statement", statement, 1.0)
        with played(replace(stopped, crashes=[crash])) as history:
            assert check(history) == []
            rows = read_results(history.directory / "results.csv")
            messages = {row["message"] for row in rows if row["status"] == "skipped"}
            assert messages == {"flow stopped: an earlier row failed"}


def test_a_refusal_is_not_taken_back_when_a_later_row_of_its_flow_got_further() -> None:
    """P12: four refusals had to be believed, the fifth stopped the run, and the first row of a flow was sent
    again although its second was in doubt, and had been triggered.
    """
    first, second = flow(3377, 2), flow(4001, 2)
    refused = plan(
        [first[0], second[0], *flow(4002), *flow(4003), first[1], second[1]],
        latency_s=1.0,
        in_flight=1,
        cursed=(3377, "500 after"),
        spells=[Spell(0.0, 5.0, "404", "trigger"), Spell(6.0, 100.0, "404", "trigger")],
    )

    with played(refused) as history:
        assert check(history) == []
        assert history.sessions[0].ending is not None
        assert history.sessions[0].ending.exit_code == 4
        assert history.world.hits["trigger: 500 after"] >= 1


async def test_rows_that_run_again_have_no_results_until_they_have_ended_again(tmp_path: Path) -> None:
    """P23: the old ones said that they had failed, and `verify` called the run directory wrong."""
    async with rig(tmp_path, "[flows]\nno_task = [3302]\n") as run:
        await run.trigger(hourly(20, flows=4))
    assert run.results()

    with reopen(run.directory, rerun=[State.FAILED]) as opened:  # and killed before it could go on
        assert prove(opened).problems == ()
        assert sorted(path.name for path in run.directory.glob("*.csv")) == []
