"""What a reply or a look-up means for its job, its lane and everybody else: verdict, decision, and the moves.

Every case that a worker acted on comes back here exactly once, and leaves in one of four ways: settled,
waiting, released to its lane, or in doubt. Each way is one step in the journal.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .dispatch import Dispatcher
from .health import Breaker, Patience
from .lanes import Case, Lanes
from .limiter import Limiter
from .model import Evidence, Fault, Flag, Job, Kind, Reply, State, Step, Verdict
from .ports import Clock, Gateway
from .reconcile import (
    Absent,
    Doubt,
    Found,
    Lookups,
    REREAD_S,
    ReadAgain,
    Reading,
    Undecided,
    Waits,
    conclude,
    first_read,
)
from .retry import (
    Decision,
    Pause,
    Reconcile,
    Release,
    Retry,
    Settle,
    StopLane,
    StopRun,
    decide,
    decide_absent,
    decide_undecided,
    pause_length,
)
from .scribe import Scribe
from .settings import OnFailure, Settings
from .tally import Tally
from .verdicts import judge

FIRST_REFUSALS = 5  #: in a row before any good reply: it is us, not the rows
TOKEN_REFUSALS = 2  #: tokens refused one after the other


class Stop(msgspec.Struct, frozen=True):
    """Why a run stops before every row has ended."""

    exit_code: int
    reason: str


class Judge:
    """Turns replies and readings into moves."""

    def __init__(
        self,
        *,
        settings: Settings,
        lanes: Lanes,
        limiter: Limiter,
        gateway: Gateway,
        dispatcher: Dispatcher,
        scribe: Scribe,
        lookups: Lookups,
        tally: Tally,
        clock: Clock,
        stop: Callable[[Stop], None],
        stop_flow: Callable[[Job, str], None],
        notice: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._limiter = limiter
        self._gateway = gateway
        self._dispatcher = dispatcher
        self._scribe = scribe
        self._lookups = lookups
        self._tally = tally
        self._clock = clock
        self._stop = stop
        self._stop_flow = stop_flow
        self._notice = notice
        self._breaker = Breaker()
        self._patience = Patience(settings.patience_s)
        self._had_good = tally.counts[State.SUCCEEDED] > 0
        self._held: list[tuple[Case, Verdict, Reply]] = []  # refused before any good reply came
        self._refused_rows: set[int] = set()  # all of those, also the ones that had to be believed
        self._refused_tokens: set[int] = set()
        self._pauses = 0
        self._said: set[str] = set()

    # --- a reply to a send

    def reply(self, case: Case, reply: Reply) -> None:
        """A worker's send has its reply, or never will."""
        now = self._clock.monotonic()
        verdict = self._lookups.calibration.check_id(case.job, judge(case.job, reply))
        self._tally.replied(reply.latency_s)
        if not case.trial:
            case.charged += verdict.kind not in {Kind.THROTTLED, Kind.TOKEN}
        self._observe(case, verdict, reply, now)
        if verdict.by_status and not self._had_good:
            self._hold(case, verdict, reply)
            return
        self._decided(case, verdict, reply, self._decide(case, verdict, reply), now)

    def _decide(self, case: Case, verdict: Verdict, reply: Reply) -> Decision:
        return decide(
            verdict,
            self._settings,
            charged=case.charged,
            can_look_up=self._lookups.available,
            duplicate=case.job.duplicate,
            retry_after_s=reply.retry_after_s,
            dice=self._clock.dice(),
        )

    def _observe(self, case: Case, verdict: Verdict, reply: Reply, now: float) -> None:
        """Tell everyone who keeps count how the gateway is doing."""
        self._dispatcher.budget.observe(good=verdict.good, retry=case.charged > 1, now=now)
        if verdict.kind is Kind.TOKEN:
            self._token_refused(reply, verdict)
        if verdict.good:
            self._good(now)
        elif self._patience.bad(now):
            self._stop(Stop(4, f"no good reply for {self._settings.patience_s:g} s ({verdict.code})"))
        why = self._breaker.observe(
            verdict,
            case.job.flow_id,
            now,
            lanes_left=len(self._lanes),
            latency_s=self._tally.latency_s,
        )
        if case.trial:
            self._dispatcher.trial_ended()
        if why:
            self._dispatcher.suspend(why)

    def silence(self, reply: Reply) -> None:
        """A probe or a token request brought nothing good."""
        if self._patience.bad(self._clock.monotonic()):
            why = reply.fault or (f"http-{reply.status}" if reply.code is None else str(reply.code))
            self._stop(Stop(4, f"no good reply for {self._settings.patience_s:g} s ({why})"))

    def _good(self, now: float) -> None:
        self._patience.good()
        self._refused_tokens.clear()
        self._pauses = 0
        self._dispatcher.recovered()
        if not self._had_good:
            self._had_good = True
            self._refused_rows.clear()
            self.release_held(now)

    def overhear(self, job: Job, reply: Reply) -> None:
        """Take note of what the reply to another call than a trigger means for all calls."""
        verdict = judge(job, reply)
        if verdict.kind is Kind.TOKEN:
            self._token_refused(reply, verdict)
        if verdict.pause:
            self._pause(Pause(reply.retry_after_s, cut=verdict.kind is Kind.THROTTLED))

    def _token_refused(self, reply: Reply, verdict: Verdict) -> None:
        self._gateway.refuse_token(reply.token)
        if reply.token:  # without one it was not even sent
            self._refused_tokens.add(reply.token)
        if len(self._refused_tokens) >= TOKEN_REFUSALS:
            self._stop(
                Stop(4, f"the gateway does not accept our access tokens: {verdict.code} {verdict.message}")
            )

    def _hold(self, case: Case, verdict: Verdict, reply: Reply) -> None:
        # Nothing has worked yet, so a wrong address or path is likelier than a wrong row. Five of these,
        # and the run stops with the rows unharmed; one good reply, and they fail as they should.
        self._held.append((case, verdict, reply))
        self._refused_rows.add(case.job.row)
        if len(self._refused_rows) >= FIRST_REFUSALS:
            self._stop(Stop(4, f"the gateway refuses everything: {verdict.code} {verdict.message}".strip()))

    def give_back_held(self) -> set[int]:
        """Return the rows whose refusal was never believed: the run stops before it could be.

        Returns the rows that had to be failed meanwhile, because nothing else was left to try, although
        nothing ever worked: the journal is to take that back.
        """
        held, self._held = self._held, []
        for case, verdict, reply in held:
            self._step(case, State.PENDING, Evidence.NOT_APPLIED, verdict.code, verdict.message, reply=reply)
        if self._had_good or len(self._refused_rows) < FIRST_REFUSALS:
            return set()
        return self._refused_rows - {case.job.row for case, _, _ in held}

    def release_held(self, now: float) -> None:
        """Fail the rows that were refused before any good reply: there is a good one now, or no other row."""
        held, self._held = self._held, []
        for case, verdict, reply in held:
            self._decided(case, verdict, reply, self._decide(case, verdict, reply), now)

    @property
    def held(self) -> int:
        """Rows whose refusal is not yet believed."""
        return len(self._held)

    # --- a look-up

    def reading(self, case: Case, reading: Reading) -> None:
        """A worker's look-up of a case in doubt has its answer."""
        now = self._clock.monotonic()
        doubt = case.doubt
        if not isinstance(doubt, Doubt):
            self._baseline(case, reading, now)
            return
        if reading.not_permitted:
            self._cannot_look_up(case, doubt, reading.not_permitted)
            return
        conclusion = conclude(doubt, reading, self.waits, now, ours=self._is_ours(case, reading))
        if case.anomaly and (reading.absent or reading.stranger):
            # It was accepted under an ID that makes no sense: where the predicted one is missing, it is not.
            conclusion = Undecided("accepted under an instance ID that does not belong to it")
        match conclusion:
            case Found(instance_id):
                case.doubt = None
                self._step(
                    case,
                    State.SUCCEEDED,
                    Evidence.APPLIED,
                    doubt.verdict.code,
                    "found by look-up",
                    instance_id=instance_id,
                    via="reconciled",
                )
                self._lanes.settle(case)
            case ReadAgain(at):
                self._step(
                    case, State.RECONCILING, None, doubt.verdict.code, reading.unsure or "not found yet"
                )
                self._dispatcher.doubt(case, at)
            case Absent():
                resend_after_s = max(doubt.resend_at - now, 0.0)
                decision = decide_absent(self._settings, charged=case.charged, resend_after_s=resend_after_s)
                case.doubt = None
                self._apply(
                    case, decision, Evidence.NOT_APPLIED, doubt.verdict.code, doubt.verdict.message, now
                )
            case Undecided(reason):
                case.doubt = None
                decision = decide_undecided(self._settings)
                self._apply(case, decision, Evidence.UNKNOWN, doubt.verdict.code, reason, now)

    def _baseline(self, case: Case, reading: Reading, now: float) -> None:
        """A row was looked up before its first send (`--baseline`)."""
        if reading.not_permitted:
            self._stop(
                Stop(
                    4,
                    f"--baseline needs look-ups, and the gateway does not allow them ({reading.not_permitted})",
                )
            )
        elif reading.found:
            message = f"instance {reading.found.instance_id} exists already"
            self._step(case, State.SKIPPED, None, "exists", message, instance_id=reading.found.instance_id)
            self._tally.benign_skips += 1
            self._patience.good()
            self._lanes.settle(case)
        elif reading.absent:
            self._patience.good()
            case.checked = True
            self._lanes.release(case)
        elif self._patience.bad(now):
            self._stop(Stop(4, f"the look-ups that --baseline needs do not answer: {reading.unsure}"))
        else:
            self._dispatcher.doubt(case, now + REREAD_S)
        self._dispatcher.bell.ring()

    def recalled(self, case: Case) -> None:
        """An earlier process left this case in doubt, and its turn has come: look it up."""
        now = self._clock.monotonic()
        verdict = case.doubt if isinstance(case.doubt, Verdict) else CRASHED
        if case.state is State.SENDING:  # its intent is open: it counts as sent at that moment
            self._step(case, State.RECONCILING, Evidence.UNKNOWN, verdict.code, verdict.message)
        if self._lookups.available and not case.job.duplicate:
            self.doubt(case, verdict, now, resend_after_s=0.0, after_s=0.0)
            return
        case.doubt = None
        self._apply(
            case, self._decide(case, verdict, Reply()), Evidence.UNKNOWN, verdict.code, verdict.message, now
        )

    def doubt(
        self, case: Case, verdict: Verdict, now: float, *, resend_after_s: float, after_s: float
    ) -> None:
        """The case cannot go on before it was looked up."""
        doubt = Doubt(verdict=verdict, since=now, resend_at=now + resend_after_s)
        case.doubt = doubt
        self._dispatcher.doubt(case, first_read(doubt, self.waits, now + after_s))

    @property
    def waits(self) -> Waits:
        """The waiting times of look-ups, as known by now."""
        return Waits(
            self._settings.reconcile_wait_s, self._settings.patience_s, self._lookups.calibration.lag_s
        )

    def _is_ours(self, case: Case, reading: Reading) -> bool | None:
        if reading.found is None or case.first_sent_ms is None:
            return None
        return self._lookups.calibration.is_ours(
            reading.found, case.job, case.first_sent_ms / 1000, self._clock.wall()
        )

    def _cannot_look_up(self, case: Case, doubt: Doubt, why: str) -> None:
        self._lookups.available = False
        self._say_once(
            f"the gateway does not let us look instances up ({why}): from now on 62109 is retried without "
            "it, and such rows carry dup_risk; other rows in doubt end as unknown"
        )
        now = self._clock.monotonic()
        case.doubt = None
        decision = self._decide(case, doubt.verdict, Reply())
        self._apply(case, decision, Evidence.UNKNOWN, doubt.verdict.code, doubt.verdict.message, now)

    # --- moves

    def _decided(self, case: Case, verdict: Verdict, reply: Reply, decision: Decision, now: float) -> None:
        case.anomaly |= verdict.anomaly
        self._apply(
            case,
            decision,
            verdict.evidence,
            verdict.code,
            verdict.message,
            now,
            verdict=verdict,
            reply=reply,
        )

    def _apply(  # noqa: PLR0913 - a verdict taken apart: look-ups have none of their own
        self,
        case: Case,
        decision: Decision,
        evidence: Evidence,
        code: str,
        message: str,
        now: float,
        *,
        verdict: Verdict | None = None,
        reply: Reply | None = None,
    ) -> None:
        instance_id = verdict.instance_id if verdict else None
        via = "reply" if verdict and verdict.kind is Kind.ACCEPTED else ""
        stop_lane = next((other for other in decision.others if isinstance(other, StopLane)), None)

        def step(state: State) -> None:
            self._step(case, state, evidence, code, message, reply=reply, instance_id=instance_id, via=via)

        match decision.fate:
            case Settle(state, dup_risk):
                case.dup_risk |= dup_risk
                step(state)
                if stop_lane is None:
                    if state is State.UNKNOWN:
                        self._lanes.taint(case.job.flow_id)
                    self._lanes.settle(case)
                elif self._lanes.stop(case):
                    self._stop_flow(case.job, stop_lane.reason)
                self._after(case, state, now)
            case Retry(after_s, dup_risk):
                case.dup_risk |= dup_risk
                step(State.PENDING if case.state is State.RECONCILING else State.WAITING)
                self._lanes.wait(case, now + after_s)
            case Release():
                step(State.PENDING)
                self._lanes.release(case)
            case Reconcile(after_s, resend_after_s):
                assert verdict is not None  # noqa: S101 - only a reply leads here
                step(State.RECONCILING)
                since = now if verdict.answered else now - (reply.latency_s if reply else 0.0)
                self.doubt(case, verdict, since, resend_after_s=resend_after_s, after_s=after_s)
        for other in decision.others:
            if isinstance(other, StopRun):
                self._stop(Stop(4, other.reason))
            elif isinstance(other, Pause):
                self._pause(other)
        self._dispatcher.bell.ring()

    def _after(self, case: Case, state: State, now: float) -> None:
        if state is not State.FAILED:
            return
        failed = self._tally.counts[State.FAILED]
        limit = self._settings.max_failures
        if self._settings.on_failure is OnFailure.ABORT:
            self._stop(Stop(3, f"row {case.job.row} failed, and --on-failure is abort"))
        elif limit is not None and failed > limit.of(self._tally.rows):
            self._stop(Stop(3, f"{failed} rows failed; --max-failures allows {limit}"))

    def _pause(self, pause: Pause) -> None:
        now = self._clock.monotonic()
        if self._limiter.paused_for():  # the replies of one moment are one pause, and one cut
            if pause.hint_s:
                self._limiter.pause(pause_length(pause.hint_s, 0))
            return
        seconds = pause_length(pause.hint_s, self._pauses)
        self._pauses += 1
        if pause.cut:
            self._tally.throttled += 1
            self._limiter.cut(self._tally.rate(now))
        self._patience.excuse(min(pause.hint_s or 0.0, seconds))
        self._limiter.pause(seconds)

    def _step(  # noqa: PLR0913 - the columns of a step
        self,
        case: Case,
        state: State,
        evidence: Evidence | None,
        code: str,
        message: str,
        *,
        reply: Reply | None = None,
        instance_id: str | None = None,
        via: str = "",
    ) -> None:
        before = case.state
        case.move(state)
        self._tally.moved(before, state)
        self._scribe.record(
            Step(
                row=case.job.row,
                state=state,
                at_ms=int(self._clock.wall() * 1000),
                attempt=case.attempts,
                evidence=evidence,
                code="" if state is State.SUCCEEDED and via == "reply" else code,
                message="" if state is State.SUCCEEDED and via == "reply" else message,
                instance_id=instance_id,
                via=via,
                flags=_flags(case),
                sent_ms=case.sent_ms,
                latency_ms=round(reply.latency_s * 1000, 1) if reply and reply.status else None,
                status=reply.status if reply else None,
                bytes_out=reply.bytes_out if reply else None,
            )
        )

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._notice(text)


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


CRASHED = Verdict(
    evidence=Evidence.UNKNOWN,
    kind=Kind.DOUBTFUL,
    answered=False,
    code=Fault.CRASHED,
    message="the process ended before the reply was recorded",
)
