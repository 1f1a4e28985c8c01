"""`-o -`: the results on standard output, one JSON object per row, as rows end.

A thread writes, so that a slow reader cannot hold up the run's event loop: replies would look late, and rows
would fall into doubt. When too much waits to be read (`is_behind`), the sending pauses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import SimpleQueue
import sys
from threading import Thread

from ..model import Outcome, Sighting
from ..results import JsonResults, result_lines
from .console import silence_stdout

_AHEAD = 100_000  #: lines that may wait to be read


class Lines:
    """An observer of a run. `closed` is called, in the thread, when nobody reads any more."""

    def __init__(self, closed: Callable[[], None]) -> None:
        self._closed = closed
        self._is_read = True
        self._table = JsonResults()
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread = Thread(target=self._write, name="stdout", daemon=True)
        self._thread.start()

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be read that nothing more should be sent."""
        return self._queue.qsize() > _AHEAD

    def settled(self, outcome: Outcome) -> None:
        """A row ended: its line goes out."""
        if self._is_read:
            self._queue.put(self._table.lines([outcome]))

    def finish(self) -> None:
        """Wait until all is written, or nobody reads any more."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        stdout = sys.stdout.buffer
        try:
            while (line := self._queue.get()) is not None:
                stdout.write(line)
                if self._queue.empty():
                    stdout.flush()
            stdout.flush()
        except OSError:
            self._is_read = False
            silence_stdout()
            self._closed()


def print_results(outcomes: Iterable[Outcome], sightings: dict[int, Sighting] | None = None) -> None:
    """Write outcomes as JSONL to standard output, with what was seen of their instances.

    Raises `BrokenPipeError` when nobody reads any more.
    """
    for line in result_lines(outcomes, sightings):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
