"""What a reply means for its job, its lane and everybody else: verdict, decision, and who has to know.

Every case that was sent comes back here exactly once, and leaves settled, waiting, released to its lane, in
doubt, or held: refused before anything ever worked, which is not believed at once.
"""

from __future__ import annotations

from collections.abc import Callable

from ..health import Breaker, Patience
from ..lanes import Case, Lanes
from ..limiter import Limiter
from ..model import Job, Kind, Reply, State, Verdict
from ..ports import Clock, Gateway
from ..reconcile import Lookups
from ..retry import Decision, Pause, Reconcile, StopRun, decide, pause_length
from ..settings import Settings
from ..verdicts import judge
from .dispatch import Dispatcher
from .doubts import Doubts
from .moves import Moves, Stop, finding_of
from .tally import Tally

FIRST_REFUSALS = 5  #: in a row before any good reply: it is us, not the rows
_UNCHARGED = frozenset({Kind.THROTTLED, Kind.TOKEN})
TOKEN_REFUSALS = 2  #: tokens refused one after the other


class Judge:
    """Turns replies into moves."""

    def __init__(
        self,
        *,
        settings: Settings,
        lanes: Lanes,
        limiter: Limiter,
        gateway: Gateway,
        dispatcher: Dispatcher,
        lookups: Lookups,
        moves: Moves,
        doubts: Doubts,
        patience: Patience,
        tally: Tally,
        clock: Clock,
        stop: Callable[[Stop], None],
        other_clock: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._limiter = limiter
        self._gateway = gateway
        self._dispatcher = dispatcher
        self._lookups = lookups
        self._moves = moves
        self._doubts = doubts
        self._patience = patience
        self._tally = tally
        self._clock = clock
        self._stop = stop
        self._other_clock = other_clock  #: is told how far the gateway's clock is ahead of ours
        self._breaker = Breaker()
        self._had_good = tally.counts[State.SUCCEEDED] > 0
        self._held: list[tuple[Case, Verdict, Reply]] = []  # refused before any good reply came
        self._refused_rows: set[int] = set()  # all of those, also the ones that had to be believed
        self._refused_tokens: set[int] = set()
        self._pauses = 0

    # --- a reply to a send

    def reply(self, case: Case, reply: Reply) -> None:
        """The send of a case has its reply, or never will."""
        now = self._clock.monotonic()
        if self._is_as_expected(case, reply):
            self._accepted(case, reply, now)
            return
        verdict = self._lookups.calibration.check_id(case.job, judge(case.job, reply))
        self._tally.replied(None if reply.fault else reply.latency_s)
        if not case.trial:
            case.charged += verdict.kind not in _UNCHARGED
        if verdict.kind is Kind.TOKEN and case.attempts == 1:
            case.first_sent_ms = None  # maybe by a wrong clock, and it was not taken anyway
        self._observe(case, verdict, reply, now)
        if verdict.by_status and not self._had_good:
            self._hold(case, verdict, reply)
        else:
            self._decide(case, verdict, reply, now)

    def _is_as_expected(self, case: Case, reply: Reply) -> bool:
        """Whether it is what nearly all replies are: accepted, under the very ID that was predicted."""
        return (
            reply.success
            and reply.status == 200
            and self._had_good
            and not case.trial
            and self._lookups.calibration.id_shift_s == 0
            and isinstance(reply.data, dict)
            and reply.data.get("flowInstanceId") == case.job.instance_id
        )

    def _accepted(self, case: Case, reply: Reply, now: float) -> None:
        """Do at once what the tables and the long way come to in the end."""
        self._tally.replied(reply.latency_s)
        case.charged += 1
        self._dispatcher.budget.observe(good=True, retry=case.charged > 1, now=now)
        if reply.token:
            self._refused_tokens.clear()
        if reply.clock_ahead_s != self._lookups.calibration.clock_ahead_s:
            self.sees_other_clock(reply)
        self._patience.good()
        self._pauses = 0
        self._dispatcher.recovered()
        self._breaker.clear()
        self._moves.succeed(case, reply)

    def _decide(self, case: Case, verdict: Verdict, reply: Reply, now: float) -> None:
        decision = decide(
            verdict,
            self._settings,
            charged=case.charged,
            can_look_up=self._lookups.available,
            duplicate=case.job.duplicate,
            retry_after_s=reply.retry_after_s,
            dice=self._clock.dice(),
        )
        case.anomaly |= verdict.anomaly
        self._carry_out(case, verdict, reply, decision, now)
        for other in decision.others:
            if isinstance(other, StopRun):
                self._stop(Stop(4, other.reason))
            elif isinstance(other, Pause):
                self._pause(other)

    def _carry_out(self, case: Case, verdict: Verdict, reply: Reply, decision: Decision, now: float) -> None:
        finding = finding_of(verdict, reply)
        if isinstance(decision.fate, Reconcile):
            self._moves.step(case, State.RECONCILING, finding)
            self._doubts.begin(
                case,
                verdict,
                now if verdict.answered else now - reply.latency_s,
                after_s=decision.fate.after_s,
                resend_after_s=decision.fate.resend_after_s,
            )
        else:
            self._moves.carry_out(case, decision, finding, now)

    # --- how the gateway is doing

    def _observe(self, case: Case, verdict: Verdict, reply: Reply, now: float) -> None:
        """Tell everyone who keeps count."""
        self._dispatcher.budget.observe(good=verdict.good, retry=case.charged > 1, now=now)
        self._check_token(reply, verdict)
        self.sees_other_clock(reply)
        if verdict.good:
            self._good(now)
        else:
            self._bad(verdict.code, now)
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

    def _good(self, now: float) -> None:
        self._patience.good()
        self._pauses = 0
        self._dispatcher.recovered()
        if not self._had_good:
            self._had_good = True
            self._refused_rows.clear()
            self.release_held(now)

    def _bad(self, why: str, now: float) -> None:
        if self._patience.bad(now):
            self._stop(Stop(4, f"no good reply for {self._settings.patience_s:g} s ({why})"))

    def sees_other_clock(self, reply: Reply) -> bool:
        """Whether the gateway's clock turned out to be another than was thought; from now on it is used."""
        ahead_s, calibration = reply.clock_ahead_s, self._lookups.calibration
        if ahead_s == calibration.clock_ahead_s:
            return False
        calibration.clock_ahead_s = ahead_s
        self._other_clock(ahead_s)
        return True

    def silence(self, reply: Reply) -> None:
        """A probe or a token request brought nothing good."""
        why = reply.fault or (f"http-{reply.status}" if reply.code is None else str(reply.code))
        self._bad(why, self._clock.monotonic())

    def overhear(self, job: Job, reply: Reply) -> None:
        """Take note of what the reply to another call than a trigger means for all calls."""
        verdict = judge(job, reply)
        self._check_token(reply, verdict)
        self.sees_other_clock(reply)
        if verdict.pause:
            self._pause(Pause(reply.retry_after_s, cut=verdict.kind is Kind.THROTTLED))

    def _check_token(self, reply: Reply, verdict: Verdict) -> None:
        """Count the tokens that are refused; whatever the service itself says, it says to a good one."""
        if verdict.kind is not Kind.TOKEN:
            if reply.token and reply.code is not None:
                self._refused_tokens.clear()
            return
        self._gateway.refuse_token(reply.token)
        if reply.token:  # without one it was not even sent
            self._refused_tokens.add(reply.token)
        if len(self._refused_tokens) >= TOKEN_REFUSALS:
            why = f"the gateway does not accept our access tokens: {verdict.code} {verdict.message}"
            self._stop(Stop(4, why.strip()))

    def _pause(self, pause: Pause) -> None:
        if self._limiter.paused_for():  # the replies of one moment are one pause, and one cut
            if pause.hint_s:
                self._limiter.pause(pause_length(pause.hint_s, 0))
            return
        seconds = pause_length(pause.hint_s, self._pauses)
        self._pauses += 1
        if pause.cut:
            self._limiter.cut(self._tally.rate(self._clock.monotonic()))
        self._patience.excuse(min(pause.hint_s or 0.0, seconds))
        self._limiter.pause(seconds)

    # --- refusals that are not believed yet

    @property
    def held(self) -> int:
        """Rows whose refusal is not yet believed."""
        return len(self._held)

    def _hold(self, case: Case, verdict: Verdict, reply: Reply) -> None:
        # Nothing has worked yet, so a wrong address or path is likelier than a wrong row. Five of these,
        # and the run stops with the rows unharmed; one good reply, and they fail as they should.
        self._held.append((case, verdict, reply))
        self._refused_rows.add(case.job.row)
        if len(self._refused_rows) >= FIRST_REFUSALS:
            self._stop(Stop(4, f"the gateway refuses everything: {verdict.code} {verdict.message}".strip()))

    def release_held(self, now: float) -> None:
        """Fail the rows that were refused before any good reply: there is a good one now, or no other row."""
        held, self._held = self._held, []
        for case, verdict, reply in held:
            self._decide(case, verdict, reply, now)
        self._dispatcher.bell.ring()

    def give_back_held(self) -> set[int]:
        """Return the rows whose refusal was never believed: the run stops before it could be.

        Returns the rows that had to be failed meanwhile, because nothing else was left to try, although
        nothing ever worked: the journal is to take that back.
        """
        held, self._held = self._held, []
        for case, verdict, reply in held:
            self._moves.step(case, State.PENDING, finding_of(verdict, reply))
        if self._had_good or len(self._refused_rows) < FIRST_REFUSALS:
            return set()
        return self._refused_rows - {case.job.row for case, _, _ in held}
