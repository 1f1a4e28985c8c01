"""Carrying out what was decided about a case: one step in the journal, and one move in its lane."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ..errors import IllegalMove
from ..lanes import Case, Lanes
from ..model import ENDINGS, Evidence, Flag, Job, Kind, Reply, State, Step, Verdict
from ..ports import Clock
from ..retry import Decision, Reconcile, Release, Retry, Settle, StopLane
from ..settings import OnFailure, Settings
from .scribe import Scribe
from .tally import Tally


class Stop(msgspec.Struct, frozen=True):
    """Why a run stops before every row has ended."""

    exit_code: int
    reason: str


class Finding(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is known when a case moves: it stands in the journal beside the move."""

    evidence: Evidence | None = None
    code: str = ""
    message: str = ""
    instance_id: str | None = None
    via: str = ""
    reply: Reply | None = None


def finding_of(verdict: Verdict, reply: Reply | None = None) -> Finding:
    """What a verdict found; of a plain success, the ID says it all."""
    if verdict.kind is Kind.ACCEPTED:
        return Finding(evidence=Evidence.APPLIED, instance_id=verdict.instance_id, via="reply", reply=reply)
    return Finding(evidence=verdict.evidence, code=verdict.code, message=verdict.message, reply=reply)


TRIAL = "trial"  #: stands as `via` at a reply to a trial during a pause that ended nothing: it is not charged

NOT_SENT = Finding(
    evidence=Evidence.NOT_APPLIED,
    code="not-sent",
    message="the run stopped before this attempt was sent",
)


class Moves:
    """Moves cases, in the journal, the lanes and the tally alike."""

    def __init__(
        self,
        *,
        settings: Settings,
        lanes: Lanes,
        scribe: Scribe,
        tally: Tally,
        clock: Clock,
        stop: Callable[[Stop], None],
        stop_flow: Callable[[Job, str], None],
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._scribe = scribe
        self._tally = tally
        self._clock = clock
        self._stop = stop
        self._stop_flow = stop_flow  #: the rows behind this job are to be skipped, for this reason

    def carry_out(self, case: Case, decision: Decision, finding: Finding, now: float) -> None:
        """Do what was decided: settle the case, let it wait, or give it back to its lane."""
        match decision.fate:
            case Settle() as settle:
                case.dup_risk |= settle.dup_risk
                self.step(case, settle.state, finding)
                self._settle(case, settle.state, decision)
            case Retry(after_s, dup_risk):
                case.dup_risk |= dup_risk
                self.step(case, State.PENDING if case.state is State.RECONCILING else State.WAITING, finding)
                self._lanes.wait(case, now + after_s)
            case Release():
                self.step(case, State.PENDING, finding)
                self._lanes.release(case)
            case Reconcile():
                raise IllegalMove(f"{case!r} has to be looked up: `doubts` takes it")

    def succeed(self, case: Case, reply: Reply) -> None:
        """Settle the case: it was accepted under the ID that was predicted."""
        finding = Finding(
            evidence=Evidence.APPLIED, instance_id=case.job.instance_id, via="reply", reply=reply
        )
        self.step(case, State.SUCCEEDED, finding)
        self._lanes.settle(case)

    def step(self, case: Case, state: State, finding: Finding) -> None:
        """Record one move of a case."""
        before = case.state
        case.move(state)
        self._tally.moved(before, state)
        reply = finding.reply
        self._scribe.record(
            Step(
                row=case.job.row,
                state=state,
                at_ms=int(self._clock.wall() * 1000),
                attempt=case.attempts,
                evidence=finding.evidence,
                code=finding.code,
                message=finding.message,
                instance_id=finding.instance_id,
                via=TRIAL if case.trial and before is State.SENDING and state not in ENDINGS else finding.via,
                flags=_flags(case),
                sent_ms=case.sent_ms,
                latency_ms=round(reply.latency_s * 1000, 1) if reply and reply.status else None,
                status=reply.status if reply else None,
                bytes_out=reply.bytes_out if reply else None,
            )
        )

    def withdraw(self, case: Case) -> None:
        """Record that the last intent was never sent; the attempt's number is free again."""
        case.sent_ms = None  # a step with it would count as a send
        self.step(case, State.PENDING, NOT_SENT)
        case.attempts -= 1

    def _settle(self, case: Case, state: State, decision: Decision) -> None:
        stop_lanes = [other for other in decision.others if isinstance(other, StopLane)]
        if not stop_lanes:
            if state is State.UNKNOWN:
                self._lanes.taint(case.job.flow_id)
            self._lanes.settle(case)
        elif self._lanes.stop(case):
            self._stop_flow(case.job, stop_lanes[0].reason)
        if state is State.FAILED:
            self._count_failure(case)

    def _count_failure(self, case: Case) -> None:
        failed = self._tally.counts[State.FAILED]
        limit = self._settings.max_failures
        if self._settings.on_failure is OnFailure.ABORT:
            self._stop(Stop(3, f"row {case.job.row} failed, and --on-failure is abort"))
        elif limit is not None and failed > limit.of(self._tally.rows):
            self._stop(Stop(3, f"{failed} rows failed; --max-failures allows {limit}"))


def _flags(case: Case) -> str:
    if not (case.dup_risk or case.order_uncertain or case.job.duplicate or case.anomaly):
        return ""
    flags = (
        (Flag.DUP_RISK, case.dup_risk),
        (Flag.ORDER_UNCERTAIN, case.order_uncertain),
        (Flag.DUPLICATE_KEY, case.job.duplicate),
        (Flag.ANOMALY, case.anomaly),
    )
    return " ".join(flag for flag, is_set in flags if is_set)
