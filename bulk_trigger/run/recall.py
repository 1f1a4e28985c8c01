"""What earlier sessions left unfinished, given back to the lanes as their rows come up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from ..journal import Journal, Unfinished
from ..lanes import Case
from ..model import Evidence, Fault, Flag, Job, Kind, Reply, State, Step, Verdict
from ..settings import OnFailure, OnUnknown, Settings
from ..verdicts import BY_CODE, judge
from .moves import TRIAL

CLOCKS = "clocksAheadSeconds"  #: the note of `clocks_of`; there is none as long as it did not matter
#: Codes of attempts that did not count against `--retries`.
_UNCHARGED = {code for code, verdict in BY_CODE.items() if verdict.kind in {Kind.THROTTLED, Kind.TOKEN}}
UNCHARGED = {*map(str, _UNCHARGED), "http-401", "http-429", Fault.CRASHED.value, Fault.CANCELLED.value}
_FAULTS = frozenset(Fault)


class Recall:
    """The cases of rows with a history."""

    def __init__(self, unfinished: Iterable[Unfinished], clocks: Sequence[float] = ()) -> None:
        self._clocks = clocks  # see `clocks_of`
        self._unfinished = {each.job.row: each for each in unfinished}
        self._doubtful: defaultdict[int, set[int]] = defaultdict(set)  # rows to be looked up, by flow
        for row, past in self._unfinished.items():
            if past.state is State.RECONCILING:
                self._doubtful[past.job.flow_id].add(row)

    def case(self, job: Job) -> Case:
        """Make the case of a job, with what is known about it."""
        case = Case(job)
        if self._unfinished and (past := self._unfinished.pop(job.row, None)):
            self._doubtful[job.flow_id].discard(job.row)
            _restore(case, past)
            if len(self._clocks) > 1:
                case.first_sent_ms = None  # by which of them, nobody knows
            elif case.first_sent_ms and self._clocks:
                case.first_sent_ms += int(self._clocks[0] * 1000)
        return case

    def never_looked_up(self, flow_id: int, at_ms: int) -> Iterator[Step]:
        """End, as unknown again, the rows of a stopped flow that were to be looked up and now will not be."""
        for row in self._doubtful.pop(flow_id, ()):
            past = self._unfinished.pop(row)
            yield Step(
                row=row,
                state=State.UNKNOWN,
                at_ms=at_ms,
                attempt=past.attempt,
                evidence=Evidence.UNKNOWN,
                code="flow-stopped",
                message="not looked up: an earlier row of the flow stopped it",
                flags=past.flags,
            )


def _restore(case: Case, past: Unfinished) -> None:
    case.state = past.state
    case.attempts = past.attempt
    case.charged = _charged(past.steps)
    case.first_sent_ms = past.first_sent_ms
    flags = past.flags.split()
    case.dup_risk = Flag.DUP_RISK in flags
    case.order_uncertain = Flag.ORDER_UNCERTAIN in flags
    case.anomaly = Flag.ANOMALY in flags
    if past.intent:
        case.sent_ms = past.intent.at_ms
    elif past.state is State.RECONCILING and past.steps:
        case.doubt = _doubt_of(past.job, past.steps)


def _charged(steps: tuple[Step, ...]) -> int:
    """Attempts that count against `--retries`: an operator's rerun grants all of them anew."""
    reruns = [place for place, step in enumerate(steps) if step.via == "rerun"]
    recent = steps[reruns[-1] + 1 :] if reruns else steps
    return sum(
        step.sent_ms is not None and step.code not in UNCHARGED and step.via != TRIAL for step in recent
    )


def _doubt_of(job: Job, steps: tuple[Step, ...]) -> Verdict | None:
    """What put a row in doubt, from the last step that answers one of its sends.

    The tables judge it again, but only for what matters to a look-up: an old pause or stop is over.
    """
    step = next((step for step in reversed(steps) if step.sent_ms is not None), None)
    if step is None:
        return None
    judged = judge(job, _reply_of(step))
    return Verdict(
        evidence=Evidence.UNKNOWN,
        kind=Kind.INTERNAL if judged.kind is Kind.INTERNAL else Kind.DOUBTFUL,
        answered=judged.answered and judged.evidence is Evidence.UNKNOWN,
        code=step.code,
        message=step.message,
    )


def _reply_of(step: Step) -> Reply:
    """The reply that a step answers, as far as the journal keeps it."""
    return Reply(
        fault=Fault(step.code) if step.code in _FAULTS else None,
        status=step.status,
        code=int(step.code) if step.code.isdecimal() else None,
        message=step.message,
    )


def clocks_of(journal: Journal) -> list[float]:
    """How far the gateway's clock was ahead of ours when earlier sessions sent, in the order of changes."""
    noted: list[float] = journal.notes().get(CLOCKS, [])
    return noted or ([0.0] if journal.epoch > 1 else [])


def earlier_calls(journal: Journal, now_s: float, span_s: float) -> Iterator[tuple[float, int]]:
    """Give the calls of the last `span_s` seconds as (age in seconds, how many), the oldest first.

    A recorded time is up to a millisecond before the call. What was sending when the process ended may have
    left, or may yet leave, at any moment up to now.
    """
    for at_ms, count in journal.calls_since(int((now_s - span_s) * 1000)):
        yield max(now_s - (at_ms + 1) / 1000, 0.0), count
    yield 0.0, journal.counts()[State.SENDING]


def goes_on_after_unknown(settings: Settings) -> bool:
    """Whether the rows behind an unknown one are sent, in an order that is uncertain then."""
    return settings.on_unknown is OnUnknown.CONTINUE


def halting_states(settings: Settings) -> set[State]:
    """The endings after which the rest of a lane is skipped: a crash may have come in between."""
    halting = {State.SKIPPED}
    if not goes_on_after_unknown(settings):
        halting.add(State.UNKNOWN)
    if settings.on_failure is OnFailure.STOP_FLOW:
        halting.add(State.FAILED)
    return halting
