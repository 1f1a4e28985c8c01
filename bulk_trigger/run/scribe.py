"""The journal's own thread, and the group commit.

Rule 1: the journal is touched by this thread only, from its opening to its closing.
Rule 2: nothing hops to the thread for one job. What is to be written collects in a batch; one batch at a time
        is on its way; what collects meanwhile is the next batch. So a slow disk makes larger batches.
Rule 3: batches are written in the order of their making. The outcome of a lane's row is therefore on disk
        before, or together with, the intent of the lane's next row.
Rule 4: the first error is the last word: it is kept, every later write fails with it, and nothing is sent
        any more (P21). A failed sync is never tried again: its later success would prove nothing.

When nobody waits for the disk, a batch lingers for some milliseconds so that it is worth its commit; `urgent`
means that a send is waiting, and the batch goes at the end of this turn of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
import queue
import threading
from typing import Any, ParamSpec, TypeVar

from ..errors import JournalError
from ..journal import Journal
from ..model import Intent, Step

LINGER_S = 0.010

P = ParamSpec("P")
T = TypeVar("T")
Committed = Callable[[Sequence[Intent], Sequence[Step]], None]


class Scribe:
    """Writes to a journal in batches, on a thread of its own (or in place, for a virtual clock)."""

    def __init__(self, journal: Journal, committed: Committed, *, threaded: bool = True) -> None:
        self._journal = journal
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._intents: list[Intent] = []
        self._steps: list[Step] = []
        self._calls: list[int] = []
        self.unwritten_calls = 0  #: calls that were counted and are not on disk yet
        self._writing = False
        self._flush_at: asyncio.Handle | None = None
        self._urgent = False
        self._idle: list[asyncio.Future[None]] = []
        self.broken: JournalError | None = None
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True) if threaded else None
        if self._thread:
            self._thread.start()

    # --- what is written

    def intend(self, intent: Intent) -> None:
        """Add an intent to the batch; `committed` tells when it is on disk."""
        self._intents.append(intent)

    @property
    def has_intents(self) -> bool:
        """Whether there are some that are not on their way to the disk yet."""
        return bool(self._intents)

    def record(self, step: Step) -> None:
        """Add a step to the batch."""
        self._steps.append(step)
        self._linger()

    def count_call(self, at_ms: int) -> None:
        """Add a call that is no trigger, for the windows of a later process."""
        self._calls.append(at_ms)
        self.unwritten_calls += 1
        self._linger()

    def hurry(self) -> None:
        """Somebody waits for the batch: write it at the end of this turn of the loop."""
        if not self._urgent:
            self._urgent = True
            if not self._writing:
                self._schedule()

    async def flushed(self) -> None:
        """Wait until everything added so far is on disk. Raises `JournalError`."""
        while self._intents or self._steps or self._calls or self._writing:
            if self.broken:
                break
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            self.hurry()
            await waiter
        if self.broken:
            raise self.broken

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of the journal on its thread; behind everything added so far only after `flushed`.

        Raises what the method raises.
        """
        answer: asyncio.Future[T] = self._loop.create_future()
        self._do(lambda: function(*args, **kwargs), lambda value, error: _answer(answer, value, error))
        return await answer

    async def aclose(self) -> None:
        """Write what is left if that is possible, close the journal, and end the thread."""
        try:
            await self.flushed()
        finally:
            closed = self._loop.create_future()
            self._do(self._journal.close, lambda value, error: _answer(closed, value, error))
            await closed
            if self._thread:
                self._work.put(None)
                self._thread.join()

    # --- inside: on the loop

    def _linger(self) -> None:
        if not self._writing and self._flush_at is None:
            self._flush_at = self._loop.call_later(LINGER_S, self._flush)

    def _schedule(self) -> None:
        if self._flush_at is not None:
            self._flush_at.cancel()
        self._flush_at = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_at = None
        if self._writing:
            return
        if self.broken:
            self._wake()
            return
        intents, steps, calls = self._intents, self._steps, self._calls
        if not (intents or steps or calls):
            self._urgent = False
            return
        self._intents, self._steps, self._calls = [], [], []
        self._writing, self._urgent = True, False
        self._do(
            lambda: self._journal.write(intents, steps, calls),
            lambda _, error: self._written(intents, steps, calls, error),
        )

    def _written(
        self, intents: list[Intent], steps: list[Step], calls: list[int], error: BaseException | None
    ) -> None:
        self._writing = False
        self.unwritten_calls -= len(calls)
        if error is not None:
            self.broken = error if isinstance(error, JournalError) else JournalError(f"journal: {error}")
        if self.broken or not (self._intents or self._steps or self._calls):
            self._wake()  # whoever hurried meanwhile was waiting for this batch
        elif self._urgent or self._idle:
            self._schedule()
        elif self._flush_at is None:
            self._flush_at = self._loop.call_later(LINGER_S, self._flush)
        if error is None:
            self._committed(intents, steps)
        else:
            self._committed([], [])

    def _wake(self) -> None:
        self._urgent = False
        waiters, self._idle = self._idle, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _do(self, act: Callable[[], T], then: Callable[[Any, BaseException | None], None]) -> None:
        if self._thread:
            self._work.put(lambda: self._act(act, then, self._tell))
        else:
            self._act(act, then, self._loop.call_soon)

    # --- inside: on the thread

    def _act(
        self,
        act: Callable[[], T],
        then: Callable[[Any, BaseException | None], None],
        tell: Callable[..., object],
    ) -> None:
        try:
            value = act()
        except Exception as error:  # noqa: BLE001 - handed on, whatever it is
            if isinstance(error, JournalError):
                self.broken = self.broken or error  # at once: no send may start before the loop hears of it
            tell(then, None, error)
        else:
            tell(then, value, None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _tell(
        self, then: Callable[[Any, BaseException | None], None], value: Any, error: BaseException | None
    ) -> None:
        try:
            self._loop.call_soon_threadsafe(then, value, error)
        except RuntimeError:  # the loop has gone: the process is leaving, and the journal says what it knows
            return


def _answer(future: asyncio.Future[T], value: T, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
