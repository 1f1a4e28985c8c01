"""How one task wakes another."""

from __future__ import annotations

import asyncio
from math import inf


class Bell:
    """Wakes one waiting task; ringing while nobody waits is remembered."""

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the task that waits, or the next one that will."""
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float = inf) -> None:
        """Wait for a ring, for at most so long."""
        if not self._rung:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(max(seconds, 0.001), self.ring) if seconds != inf else None
            try:
                await self._waiter
            finally:
                if timer:
                    timer.cancel()
        self._rung = False
