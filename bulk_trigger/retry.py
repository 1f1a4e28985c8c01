"""What to do now: the decision that follows from a verdict. Pure; chance is an argument.

A decision has two halves. `fate` is what becomes of the job:

    Settle      it has ended
    Retry       another attempt after a delay: the earlier one did not take effect (or the user took the risk)
    Release     another attempt as soon as sending goes on; this one does not count against `--retries`
    Reconcile   nobody knows: look it up before anything else

and `others` is what it means for everybody else: nothing, `StopLane`, `Pause` or `StopRun`.
The table behind it is `promises.md` section 5 with the decisions of the design's section 8.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .model import Kind, Scope, State, Verdict
from .settings import On62109, OnFailure, OnUnknown, Settings

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 30.0
MAX_PAUSE_S = 900.0
REPEAT_DELAY_S = 60.0  #: the service refuses a flow twice within a minute

#: Why the rows behind one that ended like this are skipped, by the settings.
STOPPED_BEHIND: Mapping[State, str] = {
    State.FAILED: "flow stopped: an earlier row failed",
    State.UNKNOWN: "flow stopped: an earlier row ended as unknown",
}


class Settle(msgspec.Struct, frozen=True):
    """The job has ended."""

    state: State
    dup_risk: bool = False  #: it may have taken effect all the same


class Retry(msgspec.Struct, frozen=True):
    """Another attempt, `after_s` from now."""

    after_s: float
    dup_risk: bool = False  #: the earlier attempt may have taken effect all the same


class Release(msgspec.Struct, frozen=True):
    """Another attempt as soon as sending goes on; this one is not charged."""


class Reconcile(msgspec.Struct, frozen=True):
    """Look it up. `after_s`: not before that; `resend_after_s`: if absent, send again not before that."""

    after_s: float
    resend_after_s: float


class StopLane(msgspec.Struct, frozen=True):
    """The other rows of the flow end as skipped, with this reason."""

    reason: str


class Pause(msgspec.Struct, frozen=True):
    """Nothing starts for a while. `hint_s`: what the gateway asked for; `cut`: and then slower."""

    hint_s: float | None
    cut: bool


class StopRun(msgspec.Struct, frozen=True):
    """It concerns everyone: nothing more is sent, no row failed, and the run can be resumed."""

    reason: str


Fate = Settle | Retry | Release | Reconcile
Others = tuple[StopLane | Pause | StopRun, ...]


class Decision(msgspec.Struct, frozen=True):
    """What becomes of the job, and of everybody else."""

    fate: Fate
    others: Others = ()


_SUCCEEDED = Decision(Settle(State.SUCCEEDED))


def backoff(tries: int, dice: float) -> float:
    """Seconds to wait after the `tries`-th try: full jitter, doubled each time."""
    return dice * min(FIRST_DELAY_S * 2.0 ** min(tries - 1, 30), MAX_DELAY_S)


def pause_length(hint_s: float | None, in_a_row: int) -> float:
    """Seconds of a pause: what the gateway asked for, at least our own doubling wait, at most 15 minutes."""
    own = min(FIRST_DELAY_S * 2.0 ** min(in_a_row, 30), MAX_DELAY_S)
    return min(max(hint_s or 0.0, own), MAX_PAUSE_S)


def decide(  # noqa: PLR0911, PLR0913 - one return per row of the table, one argument per column
    verdict: Verdict,
    settings: Settings,
    *,
    charged: int,
    can_look_up: bool,
    duplicate: bool = False,
    retry_after_s: float | None,
    dice: float,
) -> Decision:
    """What to do about a reply.

    `charged`: the attempts that count against `--retries`, this one included. `can_look_up`: whether the
    gateway may be asked for instances. `duplicate`: whether another row has the same instance ID, so that no
    look-up can tell them apart. `dice`: a random number from 0 to 1.
    """
    if verdict.kind is Kind.ACCEPTED:
        return _SUCCEEDED
    others: Others = (Pause(retry_after_s, cut=verdict.kind is Kind.THROTTLED),) if verdict.pause else ()
    if verdict.scope is Scope.EVERYONE:
        others += (StopRun(f"{verdict.code} {verdict.message}".strip()),)
    match verdict.kind:
        case Kind.REFUSED:
            return _refused(verdict, settings, others)
        case Kind.THROTTLED | Kind.TOKEN:
            return Decision(Release(), others)
        case Kind.TRANSIENT | Kind.UNREACHABLE:
            return _again(settings, charged, Retry(backoff(charged, dice)), others)
        case Kind.INTERNAL if settings.on_62109 is On62109.FAIL:
            return Decision(Settle(State.FAILED, dup_risk=True), others + _after_failure(settings))
        case Kind.INTERNAL if settings.on_62109 is On62109.RETRY or not (can_look_up or duplicate):
            return _again(settings, charged, Retry(backoff(charged, dice), dup_risk=True), others)
        case Kind.INTERNAL | Kind.REPEATED | Kind.DOUBTFUL if can_look_up and not duplicate:
            resend_after_s = REPEAT_DELAY_S if verdict.kind is Kind.REPEATED else 0.0
            after_s = backoff(charged, dice) if verdict.answered else 0.0
            return Decision(Reconcile(after_s, resend_after_s), others)
        case _:
            return Decision(Settle(State.UNKNOWN), others + _after_unknown(settings))


def decide_absent(settings: Settings, *, charged: int, resend_after_s: float) -> Decision:
    """What to do about a job whose last attempt provably did not take effect."""
    return _again(settings, charged, Retry(resend_after_s), ())


def decide_undecided(settings: Settings) -> Decision:
    """What to do about a job that no look-up can tell us about."""
    return Decision(Settle(State.UNKNOWN), _after_unknown(settings))


def _again(settings: Settings, charged: int, retry: Retry, others: Others) -> Decision:
    if charged <= settings.retries:
        return Decision(retry, others)
    return Decision(Settle(State.FAILED, dup_risk=retry.dup_risk), others + _after_failure(settings))


def _refused(verdict: Verdict, settings: Settings, others: Others) -> Decision:
    match verdict.scope:
        case Scope.EVERYONE:
            return Decision(Release(), others)
        case Scope.FLOW:
            reason = f"flow stopped: {verdict.code} {verdict.message}".strip()
            return Decision(Settle(State.FAILED), (*others, StopLane(reason)))
        case Scope.ROW:
            return Decision(Settle(State.FAILED), others + _after_failure(settings))


def _after_failure(settings: Settings) -> Others:
    stop = settings.on_failure is OnFailure.STOP_FLOW
    return (StopLane(STOPPED_BEHIND[State.FAILED]),) if stop else ()


def _after_unknown(settings: Settings) -> Others:
    stop = settings.on_unknown is OnUnknown.STOP_FLOW
    return (StopLane(STOPPED_BEHIND[State.UNKNOWN]),) if stop else ()
