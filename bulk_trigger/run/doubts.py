"""Cases that nobody may send again before the gateway was asked what it did: from the doubt to its end.

A case in doubt keeps its lane busy. It comes back here with every reading, until one settles it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..health import Patience
from ..lanes import Case, Lanes
from ..model import Evidence, Fault, Kind, State, Verdict
from ..ports import Clock
from ..reconcile import (
    Absent,
    Conclusion,
    Doubt,
    Found,
    Lookups,
    ReadAgain,
    Reading,
    Undecided,
    Waits,
    conclude,
    first_read,
    reread_after,
)
from ..retry import decide, decide_absent, decide_undecided
from ..settings import Settings
from .dispatch import Dispatcher
from .moves import Finding, Moves, Stop, finding_of
from .tally import Tally

CRASHED = Verdict(
    evidence=Evidence.UNKNOWN,
    kind=Kind.DOUBTFUL,
    answered=False,
    code=Fault.CRASHED,
    message="the process ended before the reply was recorded",
)


class Doubts:
    """Takes cases into doubt, and out of it."""

    def __init__(
        self,
        *,
        settings: Settings,
        lanes: Lanes,
        dispatcher: Dispatcher,
        lookups: Lookups,
        moves: Moves,
        patience: Patience,
        tally: Tally,
        clock: Clock,
        stop: Callable[[Stop], None],
        notice: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._dispatcher = dispatcher
        self._lookups = lookups
        self._moves = moves
        self._patience = patience
        self._tally = tally
        self._clock = clock
        self._stop = stop
        self._notice = notice
        self._unsure: Counter[int] = Counter()  # rows whose `--baseline` gave nothing, and how often

    # --- in

    def begin(
        self, case: Case, verdict: Verdict, since: float, *, after_s: float, resend_after_s: float
    ) -> None:
        """The case cannot go on before it was looked up. `since`: when the reply came, or it was sent."""
        doubt = Doubt(verdict=verdict, since=since, resend_at=since + resend_after_s)
        case.doubt = doubt
        self._dispatcher.doubt(case, first_read(doubt, self._waits, since + after_s))

    def recall(self, case: Case) -> None:
        """An earlier process left this case in doubt, and its turn has come: look it up."""
        now = self._clock.monotonic()
        verdict = case.doubt if isinstance(case.doubt, Verdict) else CRASHED
        if case.state is State.SENDING:  # its intent is open: it counts as sent at that moment
            self._moves.step(case, State.RECONCILING, finding_of(verdict))
        if self._lookups.available and not case.job.duplicate:
            self.begin(case, verdict, now, after_s=0.0, resend_after_s=0.0)
        else:
            self._settle_blindly(case, verdict, now)

    # --- out

    def reading(self, case: Case, reading: Reading, began: float) -> None:
        """The look-up of a case has its answer.

        What was absent was so when the look-up began: its later pages, which may have taken minutes, do not
        prove it for their own time.
        """
        now = began if reading.absent else self._clock.monotonic()
        if not isinstance(case.doubt, Doubt):
            self._baseline(case, reading, now)
        elif reading.not_permitted:
            self._cannot_look_up(case, case.doubt, reading.not_permitted, now)
        else:
            self._conclude(case, case.doubt, reading, now)

    def _conclude(self, case: Case, doubt: Doubt, reading: Reading, now: float) -> None:
        verdict = doubt.verdict
        match self._conclusion(case, doubt, reading, now):
            case Found(instance_id):
                case.doubt = None
                found = Finding(
                    evidence=Evidence.APPLIED,
                    code=verdict.code,
                    message="found by look-up",
                    instance_id=instance_id,
                    via="reconciled",
                )
                self._moves.step(case, State.SUCCEEDED, found)
                self._lanes.settle(case)
            case ReadAgain(at):
                text = reading.unsure or "not found yet"
                self._moves.step(case, State.RECONCILING, Finding(code=verdict.code, message=text))
                self._dispatcher.doubt(case, at)
            case Absent():
                case.doubt = None
                decision = decide_absent(
                    self._settings, charged=case.charged, resend_after_s=max(doubt.resend_at - now, 0.0)
                )
                absent = Finding(evidence=Evidence.NOT_APPLIED, code=verdict.code, message=verdict.message)
                self._moves.carry_out(case, decision, absent, now)
            case Undecided(reason):
                case.doubt = None
                undecided = Finding(evidence=Evidence.UNKNOWN, code=verdict.code, message=reason)
                self._moves.carry_out(case, decide_undecided(self._settings), undecided, now)

    def _conclusion(self, case: Case, doubt: Doubt, reading: Reading, now: float) -> Conclusion:
        if case.anomaly and (reading.absent or reading.stranger):
            # It was accepted under an ID that makes no sense: where the predicted one is missing, it is not.
            return Undecided("accepted under an instance ID that does not belong to it")
        ours = None
        if reading.found and case.first_sent_ms is not None:
            ours = self._lookups.calibration.is_ours(
                reading.found, case.job, case.first_sent_ms / 1000, self._clock.wall()
            )
        return conclude(doubt, reading, self._waits, now, ours=ours)

    def _cannot_look_up(self, case: Case, doubt: Doubt, why: str, now: float) -> None:
        if self._lookups.available:
            self._lookups.available = False
            self._notice(
                f"the gateway does not let us look instances up ({why}): from now on 62109 is retried "
                "without it, and such rows carry dup_risk; other rows in doubt end as unknown"
            )
        self._settle_blindly(case, doubt.verdict, now)

    def _settle_blindly(self, case: Case, verdict: Verdict, now: float) -> None:
        """What becomes of a case in doubt that cannot be looked up."""
        case.doubt = None
        decision = decide(
            verdict,
            self._settings,
            charged=case.charged,
            can_look_up=False,
            duplicate=case.job.duplicate,
            retry_after_s=None,
            dice=self._clock.dice(),
        )
        self._moves.carry_out(case, decision, finding_of(verdict), now)

    def _baseline(self, case: Case, reading: Reading, now: float) -> None:
        """A row was looked up before its first send (`--baseline`)."""
        if reading.not_permitted:
            why = f"--baseline needs look-ups, and the gateway does not allow them ({reading.not_permitted})"
            self._stop(Stop(4, why))
        elif reading.found:
            self._patience.good()
            self._tally.benign_skips += 1
            there = reading.found.instance_id
            exists = Finding(code="exists", message=f"instance {there} exists already", instance_id=there)
            self._moves.step(case, State.SKIPPED, exists)
            self._lanes.settle(case)
        elif reading.absent:
            self._patience.good()
            case.checked = True
            self._unsure.pop(case.job.row, None)
            self._lanes.release(case)
        elif self._patience.bad(now):
            self._stop(Stop(4, f"the look-ups that --baseline needs do not answer: {reading.unsure}"))
        else:
            self._unsure[case.job.row] += 1
            self._dispatcher.doubt(case, now + reread_after(self._unsure[case.job.row]))

    @property
    def _waits(self) -> Waits:
        """The waiting times of look-ups, as known by now."""
        return Waits(
            self._settings.reconcile_wait_s, self._settings.patience_s, self._lookups.calibration.lag_s
        )
