"""The values that flow through a run, and the table of legal moves."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
import msgspec
import pytest

from bulk_trigger import errors
from bulk_trigger.model import (
    ENDINGS,
    NEXT,
    RERUN,
    Evidence,
    Fault,
    Flag,
    Job,
    Kind,
    Outcome,
    Reply,
    Scope,
    State,
    Step,
    Verdict,
    predict_instance_id,
)


def reachable(start: State) -> set[State]:
    found, open_ends = {start}, [start]
    while open_ends:
        new = NEXT[open_ends.pop()] - found
        found |= new
        open_ends += new
    return found


#: `promises.md` section 6, written down a second time.
MOVES = {
    "pending": "sending skipped reconciling",
    "sending": "succeeded failed waiting pending reconciling unknown",
    "waiting": "sending pending skipped",
    "reconciling": "succeeded pending waiting failed unknown reconciling",
}


@pytest.mark.parametrize("state", State)
def test_from_every_state_lead_exactly_the_legal_moves(state: State) -> None:
    assert NEXT[state] == set(MOVES.get(state, "").split())


def test_an_ending_is_the_end() -> None:
    """P1: a row ends once; only an operator's rerun takes an ending back."""
    assert {state for state in State if not NEXT[state]} == ENDINGS


@pytest.mark.parametrize("state", sorted(set(State) - ENDINGS))
def test_from_everywhere_there_is_a_way_to_an_ending(state: State) -> None:
    """P1."""
    assert reachable(state) & ENDINGS


def test_every_state_but_invalid_can_be_reached() -> None:
    """P24: what is invalid was never a job."""
    assert reachable(State.PENDING) == set(State) - {State.INVALID}


def test_what_was_sent_is_never_skipped_and_what_was_not_sent_never_succeeds() -> None:
    """P3, P4."""
    assert State.SKIPPED not in NEXT[State.SENDING]
    assert State.SKIPPED not in NEXT[State.RECONCILING]
    assert {state for state in State if State.SUCCEEDED in NEXT[state]} == {State.SENDING, State.RECONCILING}
    assert not {State.FAILED, State.UNKNOWN} & (NEXT[State.PENDING] | NEXT[State.WAITING])


def test_doubt_is_sent_again_only_through_pending_or_waiting() -> None:
    """P6: a row in doubt does not go straight to another send."""
    assert State.SENDING not in NEXT[State.RECONCILING]


def test_a_rerun_looks_up_what_was_in_doubt() -> None:
    """P6."""
    assert RERUN == {
        State.FAILED: State.PENDING,
        State.SKIPPED: State.PENDING,
        State.UNKNOWN: State.RECONCILING,
    }


@pytest.mark.parametrize(
    ("flow_id", "trigger_time_ms", "instance_id"),
    [
        (3377, 1594016819108, "3377-20200706062600"),  # the published sample
        (3377, 1574385824000, "3377-20191122012300"),
        (1, 1577836799999, "1-20191231235900"),
        (9223372036854775807, 1709164800000, "9223372036854775807-20240229000000"),
    ],
)
def test_the_instance_id_is_predicted_from_flow_and_utc_minute(
    flow_id: int, trigger_time_ms: int, instance_id: str
) -> None:
    assert predict_instance_id(flow_id, trigger_time_ms) == instance_id
    assert Job(1, flow_id, trigger_time_ms).instance_id == instance_id


@given(flow_id=st.integers(1, 2**63 - 1), ms=st.integers(10**11, 253_402_214_400_000))
def test_two_jobs_share_an_id_exactly_if_they_share_flow_and_minute(flow_id: int, ms: int) -> None:
    start = ms // 60_000 * 60_000
    instance_id = predict_instance_id(flow_id, ms)

    assert predict_instance_id(flow_id, start) == predict_instance_id(flow_id, start + 59_999) == instance_id
    assert predict_instance_id(flow_id, start - 1) != instance_id
    assert predict_instance_id(flow_id, start + 60_000) != instance_id
    minute = datetime.strptime(instance_id.rpartition("-")[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    assert minute.timestamp() * 1000 == start


def test_what_a_reply_does_not_say_is_nothing() -> None:
    reply = Reply()

    assert (reply.fault, reply.status, reply.code, reply.success) == (None, None, None, False)
    assert (reply.message, reply.data, reply.retry_after_s, reply.location) == ("", None, None, None)
    assert (reply.clock_ahead_s, reply.token, reply.bytes_out, reply.latency_s) == (0.0, 0, 0, 0.0)


def test_what_a_verdict_does_not_say_is_an_answer_to_one_row_and_no_more() -> None:
    verdict = Verdict(evidence=Evidence.UNKNOWN, kind=Kind.DOUBTFUL)

    assert (verdict.scope, verdict.answered) == (Scope.ROW, True)
    facts = (
        verdict.good,
        verdict.pause,
        verdict.nonsense,
        verdict.by_status,
        verdict.anomaly,
        verdict.mismatch,
    )
    assert not any(facts)


def test_a_step_and_an_outcome_say_by_themselves_nothing_of_an_attempt() -> None:
    assert Step(row=1, state=State.PENDING, at_ms=0).attempt == 0
    assert Outcome(row=1, flow_id=2, trigger_time_ms=3, state=State.SKIPPED).attempts == 0


def test_what_flows_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Job(1, 2, 3).row = 4  # type: ignore[misc]  # the point


def test_words_are_what_users_see() -> None:
    """The same words in code, journal, flags, results and docs."""
    assert [state.value for state in State] == [
        "pending",
        "sending",
        "waiting",
        "reconciling",
        "succeeded",
        "failed",
        "invalid",
        "skipped",
        "unknown",
    ]
    assert [flag.value for flag in Flag] == ["dup_risk", "order_uncertain", "duplicate_key", "anomaly"]
    assert all(fault.value == fault.value.lower() and " " not in fault.value for fault in Fault)
    assert msgspec.json.decode(b'"unknown"', type=State) is State.UNKNOWN


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    """Each with its exit code, as the command line documents them."""
    drawn = {
        words[0].strip("├└─ "): int(words[1])
        for line in (errors.__doc__ or "").splitlines()
        if line.startswith(("├", "└"))
        for words in [line[4:].split()]
    }
    real = {error.__name__: error.exit_code for error in errors.BulkTriggerError.__subclasses__()}

    assert {name: code for name, code in real.items() if name in drawn} == drawn
    assert {error for error in real if getattr(errors, error, None)} == set(drawn)


def test_a_job_shares_its_minute_with_no_other_unless_that_is_said() -> None:
    assert not Job(1, 3377, 1574385824000).duplicate
