"""Bugs in callbacks. An event loop only logs what a callback raises, and whoever waits for it waits for ever;
here it stops the run, as a bug in one of its tasks does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
import traceback
from typing import Any, Self

import anyio

_PACKAGE = __name__.partition(".")[0]


class Alarm:
    """Listens, as a context manager, to the running loop; what others' callbacks raise is left to others."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._rung = anyio.Event()

    async def ring(self) -> None:
        """Wait for a callback of ours to fail, and raise what it raised."""
        await self._rung.wait()
        self.check()

    def check(self) -> None:
        """Raise what a callback of ours has raised, if one has."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._others = self._loop.get_exception_handler()
        self._loop.set_exception_handler(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.set_exception_handler(self._others)

    def _hear(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and _is_bug_of_ours(error):
            self._error = self._error or error
            self._rung.set()
        elif self._others:
            self._others(loop, dict(context))
        else:
            loop.default_exception_handler(dict(context))


def _is_bug_of_ours(error: BaseException) -> bool:
    """Whether our code is on the way of an error that is not the network's doing."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return not isinstance(error, OSError) and any(
        str(frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE for frame in frames
    )
