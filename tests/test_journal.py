"""The journal as a run uses it: writing, looking ahead, resuming, reporting."""

from collections.abc import Iterator
from pathlib import Path
import sqlite3

from journals import MINUTE, T0, bad_row, create, intent, job_rows, step, success
import msgspec
import pytest

from bulk_trigger.errors import IllegalMove, JournalError, RunRefused
from bulk_trigger.journal import Halt, Journal
from bulk_trigger.model import BadRow, Evidence, Flag, Intent, Job, Row, State, Step
from bulk_trigger.settings import Duplicates, Durability, Order


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Rows 1 to 6; flow 7 has 1, 3, 5 and 6, flow 8 has 2, flow 9 has 4."""
    journal = create(tmp_path, job_rows(7, 8, 7, 9, 7, 7))
    yield journal
    journal.close()


def reopen(journal: Journal, path: Path) -> Journal:
    journal.close()
    return Journal.open(path / "journal.db", at_ms=T0 + 5000, durability=Durability.POWER)


def test_every_row_starts_as_pending(journal: Journal) -> None:
    """P1."""
    assert journal.counts()[State.PENDING] == 6
    assert sum(journal.counts().values()) == 6
    assert journal.unfinished() == []


def test_a_lane_gives_its_jobs_in_input_order_and_leaves_out_what_has_ended(journal: Journal) -> None:
    """P12."""
    journal.write([intent(1)], [])
    journal.write([], [success(1)])

    first, other = journal.look_ahead([(7, None), (9, None)], 2)

    assert [job.row for job in first] == [3, 5]
    assert other == [Job(4, 9, T0 + 4 * MINUTE)]
    assert [job.row for job in journal.look_ahead([(7, first[-1])], 10)[0]] == [6]


def test_a_lane_by_time_goes_by_trigger_time_then_by_row(tmp_path: Path) -> None:
    """P12: lane order is what the user asked for."""
    minutes = [5, 3, 5, 1, 4]
    rows = [Row(n, 7, T0 + minute * MINUTE) for n, minute in enumerate(minutes, 1)]
    journal = create(tmp_path, rows, order=Order.TIME, duplicates=Duplicates.SEND)

    (all_of_it,) = journal.look_ahead([(7, None)], 10)
    (rest,) = journal.look_ahead([(7, all_of_it[2])], 10)

    assert [job.row for job in all_of_it] == [4, 2, 5, 1, 3]
    assert [job.row for job in rest] == [1, 3]
    journal.close()


def test_flows_are_listed_by_length_and_by_first_row(journal: Journal) -> None:
    assert [(flow.flow_id, flow.rows) for flow in journal.longest_flows(0, 10)] == [(7, 4), (8, 1), (9, 1)]
    assert [flow.flow_id for flow in journal.longest_flows(1, 1)] == [8]

    by_row = journal.next_flows(0, 2)

    assert [(flow.flow_id, flow.first_row) for flow in by_row] == [(7, 1), (8, 2)]
    assert [flow.flow_id for flow in journal.next_flows(by_row[-1].rank, 2)] == [9]


def test_flows_of_a_run_by_time_are_ranked_by_the_time_of_their_head(tmp_path: Path) -> None:
    rows = [Row(1, 7, T0 + 9 * MINUTE), Row(2, 8, T0 + 5 * MINUTE), Row(3, 7, T0)]
    journal = create(tmp_path, rows, order=Order.TIME)

    assert [(flow.flow_id, flow.first_row) for flow in journal.next_flows(0, 9)] == [(7, 3), (8, 2)]
    journal.close()


def test_a_row_that_has_ended_does_not_end_again(journal: Journal) -> None:
    """P1: one ending."""
    journal.write([intent(1)], [])
    journal.write([], [success(1)])

    with pytest.raises(IllegalMove, match="row 1 is succeeded and cannot become failed"):
        journal.write([], [step(1, State.FAILED)])
    with pytest.raises(IllegalMove, match="row 1 is succeeded and cannot become sending"):
        journal.write([intent(1, 2)], [])
    assert journal.counts()[State.SUCCEEDED] == 1


def test_a_refused_move_leaves_nothing_of_its_batch(journal: Journal) -> None:
    with pytest.raises(IllegalMove):
        journal.write([intent(1), intent(2)], [step(3, State.SUCCEEDED)])

    assert journal.counts()[State.PENDING] == 6
    assert journal.attempts(1) == []
    journal.write([intent(1), intent(2)], [])
    assert journal.counts()[State.SENDING] == 2


@pytest.mark.parametrize("row", [0, -1, 7])
def test_a_row_that_is_not_in_the_run_is_refused(journal: Journal, row: int) -> None:
    """P2: no invention."""
    with pytest.raises(IllegalMove, match="is not in this run"):
        journal.write([intent(row)], [])


def test_steps_go_before_the_intents_of_their_batch(journal: Journal) -> None:
    """P12: the outcome of a lane's row is committed before or with the intent of its next."""
    journal.write([intent(1)], [])
    journal.write([intent(3)], [success(1)])

    journal.write([], [success(3)])

    assert journal.check() == []


def test_resume_finds_what_has_a_history_and_no_ending(journal: Journal, tmp_path: Path) -> None:
    """P7, P8: every open intent counts as sent at its moment."""
    waiting = step(
        2, State.WAITING, evidence=Evidence.NOT_APPLIED, code="62109", sent_ms=T0 + 2, flags="dup_risk"
    )
    unsent = step(4, State.PENDING, evidence=Evidence.NOT_APPLIED, code="not-sent")
    journal.write([intent(1), intent(2), intent(4)], [])
    journal.write([], [success(1), waiting, unsent])
    journal.write([intent(2, 2)], [])
    journal.write([intent(3)], [])

    resumed = reopen(journal, tmp_path)
    two, three, four = resumed.unfinished()

    assert (two.job.row, two.state, two.sends, two.attempt, two.flags) == (2, State.SENDING, 2, 2, "dup_risk")
    assert (two.intent, two.steps) == (intent(2, 2), (waiting,))
    assert two.first_sent_ms == T0 + 2
    assert (three.job.row, three.intent, three.sends) == (3, intent(3), 1)
    assert (four.state, four.intent, four.sends, four.attempt) == (State.PENDING, None, 0, 1)
    assert resumed.counts()[State.PENDING] == 3
    assert resumed.epoch == 2
    resumed.close()


def test_a_send_is_counted_once_however_often_it_is_told(journal: Journal) -> None:
    """P16: the steps after a look-up may repeat when the row was sent."""
    journal.write([intent(1)], [])
    journal.write([], [step(1, State.RECONCILING, evidence=Evidence.UNKNOWN, sent_ms=T0 + 1, latency_ms=5.0)])
    journal.write([], [success(1, via="reconciled")])

    (outcome, *_) = journal.outcomes()

    assert (outcome.attempts, outcome.sent_ms, outcome.via) == (1, T0 + 1, "reconciled")
    assert journal.calls_since(0) == [(T0 + 1, 1)]
    assert journal.totals().sends == 1


def test_calls_are_counted_per_second_and_never_too_early(journal: Journal) -> None:
    """P16: the windows of the limiter are rebuilt from sends, open intents and other calls."""
    journal.write([intent(1), intent(2)], [])
    journal.write(
        [intent(4)], [success(1, sent_ms=T0 + 100), success(2, sent_ms=T0 + 900)], [T0 + 950, T0 + 1700]
    )

    assert journal.calls_since(T0) == [(T0 + 950, 4), (T0 + 1700, 1)]
    assert journal.calls_since(T0 + 900) == [(T0 + 950, 2), (T0 + 1700, 1)]


def test_the_rest_of_a_stopped_flow_ends_as_skipped(journal: Journal) -> None:
    """P1: what is behind the row that stopped the flow, not what is before it."""
    lane = journal.look_ahead([(7, None)], 9)[0]
    journal.write([intent(lane[1].row)], [])
    journal.write([], [step(lane[1].row, State.FAILED, code="62104")])

    assert journal.skip_rest(lane[1], T0, "62104", "the flow has no task") == len(lane) - 2
    assert journal.look_ahead([(7, None)], 9)[0] == [lane[0]]
    assert journal.counts()[State.SKIPPED] == len(lane) - 2


def test_a_row_on_the_wire_is_never_skipped(journal: Journal) -> None:
    """P4: `skipped` means that we did not send it."""
    first, second, *_ = journal.look_ahead([(7, None)], 9)[0]
    journal.write([intent(second.row)], [])

    with pytest.raises(IllegalMove, match=f"row {second.row} is sending"):
        journal.skip_rest(first, T0, "62104", "")
    assert journal.counts()[State.SKIPPED] == 0


def test_a_flow_that_a_crash_left_half_stopped_is_found(journal: Journal, tmp_path: Path) -> None:
    """P13: no later row of that flow is sent, over a crash too."""
    journal.write([intent(1), intent(2)], [])
    journal.write([], [step(1, State.UNKNOWN, code="timeout"), step(2, State.UNKNOWN, code="timeout")])
    journal.write([], [step(4, State.SKIPPED, code="exists", attempt=0)])

    resumed = reopen(journal, tmp_path)

    assert resumed.halted_flows({State.UNKNOWN, State.SKIPPED}) == [
        Halt(Job(1, 7, T0 + MINUTE), State.UNKNOWN, "timeout", "")
    ]
    assert resumed.halted_flows({State.FAILED}) == []
    resumed.close()


def test_an_operator_can_take_endings_back_and_the_journal_keeps_both(tmp_path: Path) -> None:
    """P6: what was in doubt is looked up first."""
    journal = create(tmp_path, job_rows(1, 2, 3, 4))
    journal.write([intent(1), intent(2), intent(3)], [step(4, State.SKIPPED, code="exists", attempt=0)])
    sent = {"sent_ms": T0, "attempt": 1}
    journal.write([], [step(1, State.FAILED, **sent), step(2, State.UNKNOWN, **sent), success(3)])

    assert journal.reopen({State.FAILED, State.UNKNOWN, State.SKIPPED}, T0 + 9000) == 2
    assert [journal.state(row) for row in (1, 2, 3, 4)] == ["pending", "reconciling", "succeeded", "skipped"]
    assert [event.state for event in journal.attempts(1) if isinstance(event, Step)] == ["failed", "pending"]

    journal.write([intent(1, 2)], [success(2, via="reconciled")])
    journal.write([], [success(1, attempt=2)])

    assert journal.check() == []
    assert journal.counts()[State.SUCCEEDED] == 3
    assert [ending.state for ending in journal.totals().endings] == ["skipped"]
    assert next(journal.outcomes()).attempts == 2
    journal.close()


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.INVALID, State.PENDING])
def test_other_states_cannot_be_run_again(journal: Journal, state: State) -> None:
    with pytest.raises(RunRefused, match="can be run again"):
        journal.reopen({state}, T0)


def test_outcomes_come_in_input_order_with_everything_that_is_known(tmp_path: Path) -> None:
    """P1, P23."""
    head = Row(1, 7, T0, b'{"note":"a","n":1.10}')
    rows: list[Row | BadRow] = [head, bad_row(2), Row(3, 8, T0), Row(4, 9, T0), Row(5, 7, T0)]
    journal = create(tmp_path, rows, skip_invalid=True, duplicates=Duplicates.SEND)
    journal.write([intent(1), intent(3)], [])
    journal.write([], [success(1)])

    one, two, three, four, five = journal.outcomes()

    assert (one.state, one.instance_id, one.settled_ms, one.flags) == (
        "succeeded",
        "id-1",
        T0 + 1001,
        "duplicate_key",
    )
    assert {name: bytes(value) for name, value in one.extra.items()} == {"note": b'"a"', "n": b"1.10"}
    assert (two.state, two.flow_id, two.code, two.attempts) == ("invalid", "x", "not-a-number", 0)
    assert (three.state, three.attempts, three.sent_ms, three.settled_ms) == ("sending", 1, T0 + 3, None)
    assert (four.state, four.attempts, four.flags) == ("pending", 0, "")
    assert five.flags == Flag.DUPLICATE_KEY
    journal.close()


def test_outcomes_of_a_dead_run_can_be_read_without_a_new_session(journal: Journal, tmp_path: Path) -> None:
    journal.write([intent(1)], [])
    journal.close()

    reading = Journal.read(tmp_path / "journal.db")

    assert reading.epoch == 1
    assert next(reading.outcomes()).state is State.SENDING
    with pytest.raises(JournalError, match="cannot be written"):
        reading.note("a", 1)
    reading.close()


def test_hostile_text_is_kept_as_far_as_it_can_be(journal: Journal) -> None:
    """P30: any reply is safe to receive."""
    journal.write([intent(1)], [])
    journal.write([], [step(1, State.UNKNOWN, message="\ud800\0" + "x" * 100_000, instance_id="\udfff")])

    outcome = next(journal.outcomes())

    assert outcome.message.startswith("?\0x")
    assert len(outcome.message) == 2000
    assert outcome.instance_id == "?"


def test_totals_are_counted_from_the_record(tmp_path: Path) -> None:
    """P5."""
    journal = create(tmp_path, job_rows(1, 2, 3, 4, 5))
    journal.write([intent(row) for row in (1, 2, 3)], [])
    journal.write([], [success(1, latency_ms=10.0), success(2, latency_ms=30.04, flags="dup_risk")])
    journal.write([], [step(3, State.WAITING, sent_ms=T0, latency_ms=1.0)], [T0, T0])
    journal.write([intent(3, 2)], [])
    journal.note("stop", "a signal")
    journal.note("stop", "another signal")

    totals = journal.totals()

    assert (totals.sends, totals.rows_sent, totals.other_calls) == (4, 3, 2)
    assert (totals.dup_risk, totals.reconciled) == (1, 0)
    assert totals.latency_ms == {50: 10.0, 95: 30.0, 99: 30.0}
    assert totals.notes == {"stop": "another signal"}
    assert [(session.epoch, session.started_ms) for session in totals.sessions] == [(1, T0)]
    journal.close()


def test_what_was_appended_cannot_be_changed(journal: Journal, tmp_path: Path) -> None:
    """P1: terminal rows are immutable, for every program that opens the file."""
    journal.write([intent(1)], [])
    journal.write([], [success(1)])
    journal.close()
    connection = sqlite3.connect(tmp_path / "journal.db")

    for table in ("intents", "steps", "jobs", "header", "sessions"):
        with pytest.raises(sqlite3.IntegrityError, match=f"{table} are never changed"):
            connection.execute(f"DELETE FROM {table}")
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        connection.execute("UPDATE steps SET state = 5")
    connection.close()


def test_the_header_tells_everything_that_resume_needs(tmp_path: Path) -> None:
    """P22: what matters is compared with what was."""
    journal = create(tmp_path, job_rows(1, 1, 2), org_id="o1", retries=2)
    header = journal.header

    assert (header.rows, header.flows, header.invalid, header.duplicates) == (3, 2, 0, 0)
    assert (header.settings.org_id, header.settings.retries) == ("o1", 2)
    assert header.input.sha256 == "ab" * 32
    assert header.sqlite == sqlite3.sqlite_version
    assert reopen(journal, tmp_path).header == header


def test_a_list_of_no_rows_is_a_run_too(tmp_path: Path) -> None:
    journal = create(tmp_path, [])

    assert (sum(journal.counts().values()), list(journal.outcomes()), journal.check()) == (0, [], [])
    assert journal.next_flows(0, 5) == []
    journal.close()


def test_rows_that_begin_later_keep_their_numbers(tmp_path: Path) -> None:
    journal = create(tmp_path, job_rows(7, 7, first=1000))
    journal.write([intent(1000)], [])

    assert journal.state(1000) is State.SENDING
    assert [outcome.row for outcome in journal.outcomes()] == [1000, 1001]
    journal.close()


def test_intents_and_steps_read_back_as_they_were(journal: Journal) -> None:
    told = step(
        1, State.WAITING, evidence=Evidence.NOT_APPLIED, code="62109", message="busy", sent_ms=T0, status=200
    )
    journal.write([intent(1)], [])
    journal.write([], [told])

    assert journal.attempts(1) == [Intent(1, 1, T0 + 1), told]
    assert msgspec.json.encode(journal.attempts(1)[1]) == msgspec.json.encode(told)
