"""A virtual-time event loop: waiting is free, and durations are exact.

Threads are invisible to it: while one works and a timer is pending, the time jumps and the timer fires early.
So nothing under this loop may hop to a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
import random
import selectors
from typing import Any

from bulk_trigger.model import Reply
from bulk_trigger.ports import Answered

IO_GRACE = 0.002  # real seconds to let loopback traffic arrive before jumping; 0 without sockets
TURN = 1e-9  # virtual seconds per loop turn, so time never stands still: aiolimiter spins where it does
EPOCH = 1_700_000_000.0  # what the wall shows when the virtual time is 0


def tell_later(reply: Coroutine[Any, Any, Reply], answered: Answered) -> None:
    """Let a coroutine make the reply to a trigger."""
    call = asyncio.ensure_future(reply)
    call.add_done_callback(lambda done: None if done.cancelled() else answered(done.result()))


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer, it sets the clock to it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += TURN
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(min(timeout, IO_GRACE)) if len(self.get_map()) > 1 else super().select(0)
        if not events:
            self.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, which starts at 0."""

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


class LoopClock:
    """The `ports.Clock` of a test: the running loop's time, and chance from a seed."""

    def __init__(self, seed: int = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self.dice = random.Random(seed).random

    def monotonic(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return EPOCH + self._loop.time()
