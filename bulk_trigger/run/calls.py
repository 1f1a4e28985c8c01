"""The calls of a run that are under way: sends and look-ups, together never more than the in-flight cap.

A send costs no task: its reply comes to a callback. `Alarm` hears what goes wrong there.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from ..lanes import Case
from ..model import Reply
from ..ports import Clock, Gateway
from ..reconcile import Calibration
from ..settings import Settings
from .scribe import Scribe
from .tally import Tally


class Calls:
    """Begins calls, and passes on how they ended."""

    def __init__(
        self,
        *,
        settings: Settings,
        gateway: Gateway,
        scribe: Scribe,
        calibration: Calibration,
        tally: Tally,
        clock: Clock,
        replied: Callable[[Case, Reply], None],
        look_up: Callable[[Case], Coroutine[Any, Any, None]],
        start: Callable[[Coroutine[Any, Any, None]], None],
        freed: Callable[[], None],
    ) -> None:
        self._cap = settings.in_flight
        self._gateway = gateway
        self._scribe = scribe
        self._calibration = calibration
        self._tally = tally
        self._clock = clock
        self._replied = replied  #: is told what came of a send
        self._look_up = look_up  #: finds out what became of a job
        self._start = start  #: makes a task of it
        self._freed = freed  #: is told that one more call may be under way
        self._listens = True

    def __repr__(self) -> str:
        return f"<Calls {self._cap - self.free} of {self._cap} under way>"

    @property
    def free(self) -> int:
        """How many more calls may be under way."""
        return max(self._cap - self._tally.in_flight - self._tally.lookups_under_way, 0)

    def send(self, case: Case) -> None:
        """Send the job of a case; its intent is on disk."""
        if self._scribe.broken:  # after that, but before the first byte: nothing may leave any more
            return
        self._tally.sent(retry=case.attempts > 1)
        case.sent_ms = sent_ms = int(self._clock.wall() * 1000)
        if case.first_sent_ms is None:
            case.first_sent_ms = sent_ms + int(self._calibration.clock_ahead_s * 1000)
        self._gateway.trigger(case.job, partial(self._answered, case))

    def look_up(self, case: Case) -> None:
        """Find out what became of the job of a case."""
        self._tally.lookups_under_way += 1
        self._start(self._ask(case))

    def hang_up(self) -> None:
        """Listen to no send any more. What is under way stays in flight, for a later session to settle."""
        self._listens = False

    def _answered(self, case: Case, reply: Reply) -> None:
        if self._listens:
            self._replied(case, reply)

    async def _ask(self, case: Case) -> None:
        try:
            await self._look_up(case)
        finally:
            self._tally.lookups_under_way -= 1
            self._freed()
