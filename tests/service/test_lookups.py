"""The read side as a service: out, slow, late, in other zones, holding other people's instances (P7, P8)."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from running import HOUR
from virtual_rig import VirtualRig, later, past, virtual_rig, virtually

from bulk_trigger import Rate, State
from bulk_trigger.sandbox import Ledger, Scenario
from bulk_trigger.sandbox.ledger import Effect, Event
from bulk_trigger.sandbox.service import Service


def lost(*flows: int | str, when: str = "after", kind: str = "reset", **more: object) -> str:
    """The first attempts of these flows are not answered, or not well."""
    lines = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[[faults]]\nkind = "{kind}"\nwhen = "{when}"\nflows = {list(flows)}\nattempts = [1]\n{lines}'


def out(kind: str = 'kind = "status"\nstatus = 502', **more: object) -> str:
    """Both look-ups are out, in some way."""
    lines = "".join(f"{key} = {value}\n" for key, value in more.items())
    return "".join(f'[[faults]]\non = "{api}"\n{kind}\n{lines}' for api in ("get", "list"))


def statuses(run: VirtualRig) -> Counter[str]:
    return Counter(row["status"] for row in run.results())


#: Two flows whose first row took effect unheard, and two whose first row did not.
IN_DOUBT = lost(3300, 3301) + lost(3302, 3303, when="before")


# --- it does not answer


@virtually
@pytest.mark.parametrize(
    "how",
    [
        pytest.param('lookup = "down"\n' + IN_DOUBT, id="500"),
        pytest.param(IN_DOUBT + out(), id="502"),
        pytest.param(IN_DOUBT + out('kind = "garbage"'), id="a login page"),
        pytest.param(IN_DOUBT + out('kind = "hang"'), id="silence"),
        pytest.param(IN_DOUBT + out('kind = "hang"\nafter_s = 45'), id="slower than --timeout"),
        pytest.param(IN_DOUBT + out('kind = "reset"'), id="reset"),
        pytest.param(IN_DOUBT + out('kind = "cut"'), id="cut"),
    ],
)
async def test_where_look_ups_do_not_answer_rows_in_doubt_end_unknown_and_block_their_flows(
    tmp_path: Path, how: str
) -> None:
    """F63, P8, P13: after the patience; the other flows do not wait for them, and nothing is sent again."""
    jobs = past(40, flows=10)
    async with virtual_rig(tmp_path, how) as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        assert ending.exit_code == 5
        assert statuses(run) == Counter(succeeded=24, unknown=4, skipped=12)
        in_doubt = [row for row in run.results() if row["status"] == "unknown"]
        assert [(row["row"], row["attempts"]) for row in in_doubt] == [(str(n), "1") for n in (1, 2, 3, 4)]
        assert len(verdict.sends) == 28
        settled = [call.mono for call in verdict.sends]
        assert max(settled) < 10  # long before the doubts end
        assert asyncio.get_running_loop().time() > 900

        run.sandbox.become(Scenario())
        assert (await run.resume(rerun=[State.UNKNOWN, State.SKIPPED])).exit_code == 0
        run.assert_proven(jobs).assert_each_once()


@virtually
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(IN_DOUBT + out(to_s=600), id="502 for ten minutes"),
        pytest.param(IN_DOUBT + out(rate=0.7), id="502 seven times of ten"),
        pytest.param(IN_DOUBT + out('kind = "hang"\nafter_s = 20'), id="20 s each"),
        pytest.param(IN_DOUBT + out('kind = "status"\nstatus = 429', rate=0.5), id="429 every other time"),
        pytest.param(IN_DOUBT + out('kind = "code"\ncode = 1203', first=2), id="1203 at first"),
    ],
)
async def test_where_look_ups_answer_in_the_end_each_row_is_settled(tmp_path: Path, how: str) -> None:
    """F63, P7."""
    jobs = past(40, flows=10)
    async with virtual_rig(tmp_path, how) as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert any(call.fault for call in verdict.calls if call.api in {"get", "list"})
        assert ending.exit_code == 0
        assert [row["via"] for row in run.results()[:4]] == ["reconciled"] * 2 + ["reply"] * 2


@virtually
@pytest.mark.parametrize("lookup", ["forbidden", "forbidden-99403", "403", "404", "501"])
async def test_where_look_ups_are_not_for_us_that_is_said_once_and_nothing_is_guessed(
    tmp_path: Path, lookup: str
) -> None:
    """F63, P8, P10, design decision 7: lost replies end unknown, 62109 is retried with its risk said."""
    jobs = past(40, flows=10)
    scenario = f'lookup = "{lookup}"\n' + IN_DOUBT + lost(3304, 3305, kind="code")
    async with virtual_rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs)

        rows = run.results()
        verdict = run.verdict(jobs)
        assert ending.exit_code == 5
        assert [row["status"] for row in rows[:6]] == ["unknown"] * 4 + ["succeeded"] * 2
        assert [row["flags"] for row in rows[4:6]] == ["dup_risk"] * 2
        assert all(verdict.effects_by_job[job] == 2 for job in jobs[4:6])  # the risk was real
        assert verdict.effects_by_job[jobs[0]] == 1
        assert verdict.effects_by_job[jobs[2]] == 0
        assert sum("does not let us look" in text for text in run.notices) == 1


@virtually
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ('lookup = "forbidden"\n', "does not allow them"),
        ('lookup = "404"\n', "does not allow them"),
        ('lookup = "down"\n', "do not answer"),
        (out('kind = "garbage"'), "do not answer"),
        (out('kind = "hang"'), "do not answer"),
    ],
)
async def test_a_baseline_that_cannot_look_sends_nothing(tmp_path: Path, how: str, reason: str) -> None:
    """F63, F66: who asked for a baseline does not want to run without one."""
    jobs = past(40, flows=10)
    async with virtual_rig(tmp_path, how) as run:
        ending = await run.trigger(jobs, baseline=True, patience_s=120.0)

        assert ending.exit_code == 4
        assert reason in ending.reason
        assert run.calls("trigger") == []
        run.sandbox.become(Scenario())
        assert (await run.resume()).exit_code == 0
        run.assert_proven(jobs).assert_each_once()


@virtually
async def test_a_baseline_that_can_look_again_after_a_while_goes_on(tmp_path: Path) -> None:
    """F63, F66: it skips what exists and sends the rest once."""
    jobs = past(40, flows=10)
    there = "".join(f"[[instances]]\nflow = {f}\ntrigger_time = {t}\n" for f, t in jobs[5:15])
    async with virtual_rig(tmp_path, out(to_s=300) + there) as run:
        ending = await run.trigger(jobs, baseline=True)

        assert ending.exit_code == 0
        assert statuses(run) == Counter(succeeded=30, skipped=10)
        assert Counter(run.verdict(jobs).effects) == Counter(jobs[:5] + jobs[15:])
        assert asyncio.get_running_loop().time() > 300


# --- it answers late


MIXED = (
    lost("3300-3304")
    + lost("3305-3309", when="before")
    + lost("3310-3314", kind="code")
    + lost("3315-3319", kind="code", when="before")
)


@virtually
@pytest.mark.parametrize("lag_s", [0, 1, 5, 30, 74])
@pytest.mark.parametrize("others", [True, False])
async def test_a_read_side_that_lags_less_than_the_quarantine_makes_nobody_send_twice(
    tmp_path: Path, lag_s: int, others: bool
) -> None:
    """F64, P7: with successes that show the lag, and with nothing but doubt from the first send on."""
    jobs = past(60 if others else 20, flows=30 if others else 20)
    async with virtual_rig(tmp_path, f"visible_after_s = {lag_s}\n" + MIXED) as run:
        ending = await run.trigger(jobs)

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 0
        troubled = sum(call.fault is not None for call in verdict.sends)
        assert troubled >= 20
        assert len(verdict.sends) == len(jobs) + troubled / 2  # those without the effect, once more


@virtually
@pytest.mark.parametrize(("quarantine_s", "twice"), [(75.0, True), (150.0, False)])
async def test_a_lag_beyond_the_quarantine_is_the_documented_limit(
    tmp_path: Path, quarantine_s: float, twice: bool
) -> None:
    """F64, F20: what shows after 100 s is absent after 75: `--reconcile-wait` has to be longer than that."""
    jobs = past(20, flows=20)
    async with virtual_rig(tmp_path, "visible_after_s = 100\n" + MIXED) as run:
        await run.trigger(jobs, reconcile_wait_s=quarantine_s)

        effects = run.verdict(jobs).effects_by_job
        assert set(effects) == set(jobs)
        assert (max(effects.values()) > 1) is twice


@virtually
async def test_a_lag_that_a_success_has_shown_counts_for_silence_as_well(tmp_path: Path) -> None:
    """F64, P6: it is longer than `--reconcile-wait`, and known: nothing is absent before three times that."""
    jobs = past(150, flows=50)
    scenario = 'visible_after_s = 40\n[[faults]]\nkind = "reset"\nwhen = "after"\nrate = 0.3\nfrom_s = 60\n'
    async with virtual_rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, reconcile_wait_s=30.0, rates=(Rate(1, 1.0),))

        verdict = run.assert_proven(jobs)
        verdict.assert_each_once()
        assert ending.exit_code == 0
        assert sum(call.fault is not None for call in verdict.sends) > 10


# --- it holds what is not ours


@virtually
@pytest.mark.parametrize("when", ["before", "after"])
async def test_another_actor_with_the_same_key_makes_nobody_send_twice(tmp_path: Path, when: str) -> None:
    """F67: while a row of ours is in doubt somebody else triggers its flow for its minute.

    Nothing tells the two apart (`promises.md` 4): theirs may be taken for ours, but never sent on top of.
    """
    jobs = past(20, flows=10)
    async with virtual_rig(tmp_path, lost(3300, when=when)) as run:

        def act() -> None:
            run.sandbox._service._instances.create(*jobs[0], run.sandbox._now())

        ending = await run.trigger(jobs, watch=later(0.5, act))

        verdict = run.verdict(jobs)
        (row, *_) = run.results()
        assert ending.exit_code == 0
        assert (row["status"], row["via"], row["attempts"]) == ("succeeded", "reconciled", "1")
        assert verdict.effects_by_job[jobs[0]] == (when == "after")  # ours, beside theirs
        assert sum((call.flow_id, call.trigger_time) == jobs[0] for call in verdict.sends) == 1


@virtually
@pytest.mark.parametrize("when", ["before", "after"])
async def test_another_actor_who_was_there_first_leaves_the_row_unknown(tmp_path: Path, when: str) -> None:
    """F66, F67, P3: an instance of an hour ago is not ours; whether ours is there too, nobody knows."""
    jobs = past(20, flows=10)
    async with virtual_rig(tmp_path, 'same_minute = "return-existing"\n' + lost(3300, when=when)) as run:
        run.sandbox._service._instances.create(*jobs[0], run.sandbox._now() - HOUR / 1000)
        ending = await run.trigger(jobs)

        (row, *_) = run.results()
        assert ending.exit_code == 5
        assert (row["status"], row["attempts"]) == ("unknown", "1")
        assert "older" in row["message"]


# --- it tells times and IDs in its own way


ZONES = [
    ("GMT+8", "GMT+0", "GMT+0"),  # the published sample
    ("GMT+8", "GMT+8", "GMT+0"),
    ("GMT+8", "GMT+8", "GMT+8"),
    ("GMT-5", "GMT+0", "GMT-5"),
    ("GMT+0", "GMT+9", "GMT+0"),
    ("GMT-12", "GMT+14", "GMT-12"),
]


@virtually
@pytest.mark.parametrize(("timezone", "start_timezone", "id_timezone"), ZONES)
async def test_times_and_ids_in_any_zone_are_understood(
    tmp_path: Path, timezone: str, start_timezone: str, id_timezone: str
) -> None:
    """F69, P7: also of rows that were lost before any success could show what they look like."""
    jobs = past(60, flows=30)
    zones = f'timezone = "{timezone}"\nstart_timezone = "{start_timezone}"\nid_timezone = "{id_timezone}"\n'
    async with virtual_rig(tmp_path, zones + MIXED) as run:
        ending = await run.trigger(jobs)

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0


@virtually
@pytest.mark.parametrize("start_timezone", ["GMT-7", "GMT-12"])
async def test_a_zone_that_cannot_be_told_from_an_old_instance_makes_nobody_send_twice(
    tmp_path: Path, start_timezone: str
) -> None:
    """F69, P6: starts shown far west of all other times look hours old; then doubts end unknown, at worst."""
    jobs = past(60, flows=30)
    zones = f'timezone = "GMT+0"\nstart_timezone = "{start_timezone}"\n'
    async with virtual_rig(tmp_path, zones + MIXED) as run:
        ending = await run.trigger(jobs)

        run.assert_proven(jobs)
        assert ending.exit_code in {0, 5}
        assert ending.summary["counts"]["failed"] == 0


@virtually
@pytest.mark.parametrize(("before", "after"), [("GMT-5", "GMT-4"), ("GMT-4", "GMT-5")])
async def test_a_clock_change_at_the_gateway_makes_nobody_send_twice(
    tmp_path: Path, before: str, after: str
) -> None:
    """F69, P6: its times jump by an hour in the middle; what looks too old then is unknown, not absent."""
    jobs = past(600, flows=100)
    scenario = '[[faults]]\nkind = "reset"\nwhen = "after"\nrate = 0.1\n'
    zones = 'timezone = "{0}"\nstart_timezone = "{0}"\n'
    async with virtual_rig(tmp_path, zones.format(before) + scenario) as run:
        change = partial(run.sandbox.become, Scenario.parse(zones.format(after) + scenario))
        ending = await run.trigger(jobs, watch=later(3.0, change))

        verdict = run.assert_proven(jobs)
        assert sum(call.fault is not None for call in verdict.sends) > 20
        if after == "GMT-4":
            verdict.assert_each_once()
            assert ending.exit_code == 0
        else:
            assert ending.exit_code == 5
            told = {row["message"] for row in run.results() if row["status"] == "unknown"}
            assert all("older than this run's first send" in text for text in told)


# --- it forgets


@virtually
async def test_accepts_that_a_restart_of_the_gateway_forgot_are_found_absent_and_sent_again(
    tmp_path: Path,
) -> None:
    """F70, P7: the gateway took them, told nobody, and comes up without them."""
    jobs = past(40, flows=20)
    async with virtual_rig(tmp_path, lost("3300-3309")) as run:
        forgotten: list[Event] = []
        restart = later(0.9, partial(_restart_without_unheard, run, forgotten))
        ending = await run.trigger(jobs, watch=restart)

        kept = [effect for effect in Ledger.read(run.ledger).effects if effect not in forgotten]
        assert len(forgotten) == 10
        assert ending.exit_code == 0
        assert Counter((effect.flow_id, effect.trigger_time) for effect in kept) == Counter(jobs)
        assert statuses(run) == {"succeeded": 40}


def _restart_without_unheard(run: VirtualRig, forgotten: list[Event]) -> None:
    """The service comes up again, knowing only what it has told somebody about."""
    events = Ledger.read(run.ledger).events
    heard = {call.n for call in Ledger.read(run.ledger).calls if call.status == 200}
    run.sandbox._service = Service(run.sandbox.scenario, 1, run.sandbox.ledger)
    for event in events:
        if isinstance(event, Effect) and event.n not in heard:
            forgotten.append(event)
        else:
            run.sandbox._service.replay(event)
