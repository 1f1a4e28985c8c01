"""Engines with one safeguard broken. Each has to be found out, or the simulation proves nothing.

A sabotage replaces one attribute of the engine, in the process that plays the histories, while it is on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
from typing import Any

from bulk_trigger import limiter, verdicts
from bulk_trigger.health import Budget
from bulk_trigger.lanes import Case, Lanes
from bulk_trigger.model import Fault, Intent, State
from bulk_trigger.reconcile import doubt, lookups
from bulk_trigger.reconcile.calibration import Calibration
from bulk_trigger.reconcile.doubt import Absent, Reading, Waits
from bulk_trigger.retry import Decision, Retry
from bulk_trigger.run import doubts, feed, outputs, run
from bulk_trigger.run.dispatch import Dispatcher
from bulk_trigger.run.doubts import CRASHED, Doubts
from bulk_trigger.run.moves import finding_of
from bulk_trigger.run.scribe import Scribe

Patch = tuple[Any, str, Any]  #: whose attribute, its name, and what it is replaced by


def _intent_after_the_send() -> list[Patch]:
    """D1 comes 20 ms too late: the send does not wait for it."""
    intend, committed = Scribe.intend, Dispatcher.committed

    def later(self: Scribe, intent: Intent) -> None:
        self._committed((intent,), ())
        self._loop.call_later(0.02, intend, self, intent)

    def known(self: Dispatcher, intents: Sequence[Intent]) -> None:
        committed(self, [intent for intent in intents if intent.row in self._intended])

    return [(Scribe, "intend", later), (Dispatcher, "committed", known)]


def _open_intents_are_sent_again() -> list[Patch]:
    """What was sending when the process died is taken for not sent."""

    def recall(self: Doubts, case: Case) -> None:
        self._moves.step(case, State.PENDING, finding_of(CRASHED))
        case.doubt = None
        self._lanes.release(case)

    return [(Doubts, "recall", recall)]


def _lane_released_early() -> list[Patch]:
    """The next row of a flow may go as soon as the one before it has been taken."""
    take = Lanes.take

    def taken(self: Lanes, *args: Any, **how: Any) -> Case | None:
        case = take(self, *args, **how)
        if case is not None and case.state is State.PENDING and not case.attempts:
            self._advance(self._lanes[case.job.flow_id])
        return case

    def let_go(self: Lanes, case: Case, *_: object) -> bool:
        lane = self._lanes.get(case.job.flow_id)
        if lane is not None and lane.case is case:
            self._advance(lane, ended=True)
        return False

    names = ("settle", "stop", "release", "wait")
    return [(Lanes, "take", taken), *((Lanes, name, let_go) for name in names)]


def _blindly(table: Mapping[Any, Any], key: object) -> Patch:
    """What a table calls doubtful counts as provably not applied."""
    return table, "__setitem__", (key, verdicts._TRANSIENT)


def _always(value: object) -> Callable[..., Any]:
    return lambda *_, **__: value


def _dropping(every: int) -> Callable[..., None]:
    record, count = Scribe.record, 0

    def drop(self: Scribe, step: Any) -> None:
        nonlocal count
        count += 1
        if count % every or step.state is not State.SUCCEEDED:
            record(self, step)

    return drop


def _one_more_than_allowed() -> list[Patch]:
    room = limiter._Window.room
    return [(limiter._Window, "room", lambda self, now: room(self, now) + 1)]


def _unflushed() -> list[Patch]:
    """A lane that opens again is fed before the journal has heard of its endings."""

    async def flushed(_: Scribe) -> None:
        await asyncio.sleep(0)

    class Hasty:
        def __init__(self, scribe: Scribe) -> None:
            self.ask = scribe.ask

        flushed = flushed

    begin = feed.Feed.__init__

    def hasty(self: feed.Feed, journal: Any, scribe: Any, *args: Any, **how: Any) -> None:
        begin(self, journal, Hasty(scribe), *args, **how)  # type: ignore[arg-type]  # that is the point

    return [(feed.Feed, "__init__", hasty)]


#: What is broken, by name.
SABOTAGES: Mapping[str, Callable[[], list[Patch]]] = {
    "the intent is written after the send": _intent_after_the_send,
    "open intents are sent again": _open_intents_are_sent_again,
    "a lane is released early": _lane_released_early,
    "no quarantine": lambda: [(doubt, "_absent", _always(Absent()))],
    "the lag of the look-ups is not waited for": lambda: [(Waits, "answered_s", property(_always(2.0)))],
    "a timeout is retried blindly": lambda: [_blindly(verdicts.BY_FAULT, Fault.TIMEOUT)],
    "a reset is taken for not sent": lambda: [_blindly(verdicts.BY_FAULT, Fault.RESET)],
    "a cut reply is taken for not sent": lambda: [_blindly(verdicts.BY_FAULT, Fault.CUT)],
    "62109 is retried blindly": lambda: [_blindly(verdicts.BY_CODE, 62109)],
    "a 503 is retried blindly": lambda: [_blindly(verdicts.BY_STATUS, 503)],
    "a list that failed is taken for empty": lambda: [(lookups, "_refused", _always(Reading(absent=True)))],
    "whoever's instance is found is ours": lambda: [(Calibration, "is_ours", _always(True))],
    "the limiter forgets at a restart": lambda: [(run, "earlier_calls", _always(()))],
    "a window holds one more": _one_more_than_allowed,
    "a pause does not pause": lambda: [(limiter.Limiter, "pause", _always(None))],
    "retries are free": lambda: [(Budget, "spend", _always(0.0))],
    "retries never end": lambda: [
        (doubts, "decide_absent", lambda *_, **how: Decision(Retry(how["resend_after_s"])))
    ],
    "every seventh success is forgotten": lambda: [(Scribe, "record", _dropping(7))],
    "all is always well": lambda: [(run, "exit_code_of", _always(0)), (outputs, "exit_code_of", _always(0))],
    "any instance ID will do": lambda: [(Calibration, "check_id", lambda _, __, verdict: verdict)],
}


@contextlib.contextmanager
def sabotaged(name: str) -> Iterator[None]:
    """Break the engine in this process for a while; an empty name breaks nothing."""
    undo: list[Callable[[], None]] = []
    try:
        for owner, attribute, value in SABOTAGES[name]() if name else ():
            if attribute == "__setitem__":
                key, verdict = value
                undo.append(lambda owner=owner, key=key, before=owner[key]: owner.__setitem__(key, before))  # type: ignore[misc]
                owner[key] = verdict
            else:
                before = owner.__dict__[attribute]
                undo.append(
                    lambda owner=owner, attribute=attribute, before=before: setattr(owner, attribute, before)  # type: ignore[misc]
                )
                setattr(owner, attribute, value)
        yield
    finally:
        for take_back in reversed(undo):
            take_back()
