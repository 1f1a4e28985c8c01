"""What an earlier process left unfinished comes back as it was."""

from __future__ import annotations

from pathlib import Path

from journals import MINUTE, T0, create, intent, job_rows, step
import pytest

from bulk_trigger.journal import Journal, Unfinished
from bulk_trigger.lanes import Case
from bulk_trigger.model import Evidence, Fault, Intent, Job, Kind, Reply, State, Step, Verdict
from bulk_trigger.run.moves import TRIAL
from bulk_trigger.run.recall import Recall, earlier_calls
from bulk_trigger.settings import Durability
from bulk_trigger.verdicts import BY_CODE, BY_FAULT, BY_STATUS, judge

JOB = Job(1, 7, T0 + MINUTE)


def sent(state: State, code: str, status: int | None = 200, *, attempt: int = 1, **facts: object) -> Step:
    facts = {"attempt": attempt, "sent_ms": T0 + attempt, "bytes_out": 64, **facts}
    return step(1, state, code=code, status=status, **facts)


def unfinished(state: State, *steps: Step, open_intent: Intent | None = None) -> Unfinished:
    return Unfinished(JOB, state, steps, open_intent)


def recalled(past: Unfinished) -> Case:
    return Recall([past]).case(past.job)


def doubt_about(*steps: Step) -> Verdict:
    doubt = recalled(unfinished(State.RECONCILING, *steps)).doubt
    assert isinstance(doubt, Verdict)
    return doubt


def test_a_row_without_a_history_is_fresh() -> None:
    case = Recall([]).case(JOB)

    assert (case.state, case.attempts, case.charged, case.doubt) == (State.PENDING, 0, 0, None)


def test_a_history_is_given_back_once() -> None:
    recall = Recall([unfinished(State.WAITING, sent(State.WAITING, "1001"))])

    assert recall.case(JOB).attempts == 1
    assert recall.case(JOB).attempts == 0


def test_an_open_intent_counts_as_sent_at_that_moment() -> None:
    """P7, P8: all crash windows look the same on disk, so all of them are doubt."""
    case = recalled(unfinished(State.SENDING, open_intent=Intent(1, 1, T0 + 9)))

    assert (case.state, case.attempts) == (State.SENDING, 1)
    assert case.sent_ms == case.first_sent_ms == T0 + 9


def test_attempts_go_on_where_they_stopped() -> None:
    """P19: a restart gives no row more attempts."""
    case = recalled(
        unfinished(
            State.WAITING,
            sent(State.WAITING, "1001"),
            sent(State.PENDING, "http-429", 429, attempt=2),
            sent(State.PENDING, "1203", attempt=3),
            sent(State.WAITING, "connection-refused", None, attempt=4),
        )
    )

    assert (case.attempts, case.charged) == (4, 2)
    assert case.first_sent_ms == T0 + 1


def test_trials_during_a_pause_are_not_charged_after_a_restart_either() -> None:
    """F54: neither uses up attempts, so a pause fails no row (design decision 9)."""
    trials = [sent(State.RECONCILING, "62109", attempt=n, via=TRIAL) for n in range(2, 30)]

    case = recalled(unfinished(State.RECONCILING, sent(State.WAITING, "1001"), *trials))

    assert (case.attempts, case.charged) == (29, 1)


def test_an_attempt_that_was_never_sent_is_not_charged() -> None:
    case = recalled(unfinished(State.PENDING, step(1, State.PENDING, code="not-sent")))

    assert case.charged == 0


@pytest.mark.parametrize("flag", ["dup_risk", "order_uncertain", "anomaly"])
def test_flags_stay_with_the_row(flag: str) -> None:
    """P10."""
    case = recalled(
        unfinished(
            State.WAITING, sent(State.WAITING, "62109", flags=flag), sent(State.WAITING, "1001", attempt=2)
        )
    )

    assert [case.dup_risk, case.order_uncertain, case.anomaly].count(True) == 1
    assert getattr(case, flag)


# --- how much doubt comes back

DOUBTFUL_REPLIES = [
    *(Reply(fault=fault) for fault, verdict in BY_FAULT.items() if verdict.evidence is Evidence.UNKNOWN),
    Reply(fault=Fault.CUT, status=200),
    *(
        Reply(status=status, bytes_out=64)
        for status in [*BY_STATUS, 100, 204, 409, 418, 502, 504, 520, 599, 600]
        if judge(JOB, Reply(status=status, bytes_out=64)).evidence is Evidence.UNKNOWN
    ),
    *(
        Reply(status=status, code=code, message="x")
        for code, verdict in BY_CODE.items()
        if verdict.evidence is Evidence.UNKNOWN
        for status in (200, 500)
    ),
    Reply(status=200, code=62102, message="do not trigger the same workflow repeatedly in 1 minute"),
    Reply(status=200, code=77777),
    Reply(status=502, code=77777),
    Reply(status=202, code=0, success=True, data={"flowInstanceId": JOB.instance_id}),
    Reply(status=200, code=0, success=True, data=None),
]


@pytest.mark.parametrize("reply", DOUBTFUL_REPLIES, ids=lambda r: f"{r.fault}-{r.status}-{r.code}")
def test_unanswered_doubt_stays_unanswered(reply: Reply) -> None:
    """P7: or "absent" would be believed after two seconds, while the request may still arrive."""
    verdict = judge(JOB, reply)
    doubt = doubt_about(
        sent(State.RECONCILING, verdict.code, reply.status, message=verdict.message),
        step(1, State.RECONCILING, code=verdict.code, message="not found yet"),
    )

    assert doubt.evidence is Evidence.UNKNOWN
    assert doubt.answered is verdict.answered
    assert (doubt.kind is Kind.INTERNAL) is (verdict.kind is Kind.INTERNAL)
    assert (doubt.code, doubt.message) == (verdict.code, verdict.message)


def test_an_old_pause_or_stop_does_not_come_back_with_the_doubt() -> None:
    """P18: what concerned everybody then is over."""
    for code, status in (("http-503", 503), ("http-302", 302)):
        doubt = doubt_about(sent(State.RECONCILING, code, status))

        assert (doubt.pause, doubt.scope.value) == (False, "row")


def test_the_last_send_is_the_one_in_doubt() -> None:
    doubt = doubt_about(
        sent(State.WAITING, "62109"),
        sent(State.RECONCILING, "timeout", None, attempt=2),
        step(1, State.RECONCILING, code="timeout", attempt=2),
    )

    assert (doubt.code, doubt.answered) == ("timeout", False)


def test_a_word_that_no_table_has_is_unanswered_doubt() -> None:
    """P6: what is not known is unknown; a verdict that changed since then does not lift a doubt."""
    assert not doubt_about(sent(State.RECONCILING, "no-such-word", None)).answered
    assert not doubt_about(sent(State.RECONCILING, "1001", 200)).answered


def test_doubt_without_any_send_has_no_story() -> None:
    assert recalled(unfinished(State.RECONCILING, step(1, State.RECONCILING, code="rerun"))).doubt is None


# --- flows that stop before their doubts were looked up


def test_rows_of_a_stopped_flow_that_nobody_looked_up_end_as_unknown() -> None:
    """P1, P6: they were in doubt, so they cannot be called skipped."""
    others = [
        Unfinished(Job(2, 7, T0), State.RECONCILING, (), None),
        Unfinished(Job(3, 7, T0), State.WAITING, (), None),
        Unfinished(Job(4, 8, T0), State.RECONCILING, (), None),
    ]
    recall = Recall([unfinished(State.RECONCILING, sent(State.RECONCILING, "timeout", None)), *others])
    recall.case(JOB)  # its turn came, so it is not among them

    steps = list(recall.never_looked_up(7, T0))

    assert [(each.row, each.state, each.code) for each in steps] == [(2, State.UNKNOWN, "flow-stopped")]
    assert list(recall.never_looked_up(7, T0)) == []
    assert recall.case(Job(4, 8, T0)).state is State.RECONCILING


def test_what_a_journal_kept_comes_back(tmp_path: Path) -> None:
    """P7: through the disk."""
    journal = create(tmp_path, job_rows(7, 8, 9))
    journal.write([intent(1), intent(2)], [])
    journal.write([], [step(2, State.WAITING, code="1001", sent_ms=T0 + 2, status=200)])
    journal.close()
    journal = Journal.open(tmp_path / "journal.db", at_ms=T0 + 5000, durability=Durability.POWER)
    recall = Recall(journal.unfinished())
    jobs = [job for flow in (7, 8, 9) for job in journal.look_ahead([(flow, None)], 5)[0]]
    journal.close()

    cases = [recall.case(job) for job in jobs]

    assert [case.state for case in cases] == [State.SENDING, State.WAITING, State.PENDING]
    assert [(case.attempts, case.charged) for case in cases] == [(1, 0), (1, 1), (0, 0)]


def test_calls_of_an_earlier_session_are_not_forgotten_before_their_window_has_passed(tmp_path: Path) -> None:
    """P16: times are recorded in whole milliseconds, rounded down; the window has to outlast the call."""
    with_a_call = create(tmp_path, job_rows(7))
    with_a_call.write([], [], [T0 + 2216])  # it began at ...2216.3

    (call, _) = earlier_calls(with_a_call, (T0 + 62_216.2) / 1000, 60.0)

    age, count = call
    assert count == 1
    assert age < 60.0
    with_a_call.close()
