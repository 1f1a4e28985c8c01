"""What signals mean to a run: the first one drains it, the second leaves at once.

Handlers are set in the run's event loop only, so the library never touches signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
import os
import signal
from threading import Timer

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
_GRACE_S = 2.0  #: after the second signal
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Signals:
    """`drain` is called with the exit code at the first signal, `leave` at the second."""

    def __init__(self, drain: Callable[[int], None], leave: Callable[[], None]) -> None:
        self._drain = drain
        self._leave = leave
        self._count = 0

    def listen(self) -> None:
        """Take the signals in the running loop. One that is ignored on purpose (`nohup`, `&`) stays so."""
        loop = asyncio.get_running_loop()
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                with suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
                    loop.add_signal_handler(number, self._arrived, number)

    def _arrived(self, number: int) -> None:
        code = INTERRUPTED if number == signal.SIGINT else TERMINATED
        self._count += 1
        if self._count == 1:
            self._drain(code)
            return
        if self._count == 2:
            timer = Timer(_GRACE_S, os._exit, (code,))  # a stuck disk or pipe must not keep us
            timer.daemon = True
            timer.start()
            self._leave()
            return
        os._exit(code)
