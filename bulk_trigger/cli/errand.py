"""A command that works on what a run triggered: event loop, signals, view, and calls within the run's rate.

Its journal is only read. Whatever it finds out can be asked again, so it may be ended at any moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
import os
import time

import anyio

from ..calls import Calls
from ..cells import clean
from ..gateway import Credentials, HttpGateway
from ..launch import Opened, reach
from ..model import ENDINGS, State
from ..progress import Count, NoView, View
from ..recap import counted, resume_command
from ..run.recall import earlier_calls
from ..settings import Settings
from .console import Console
from .secrets import read_secrets
from .session import choose_view
from .signals import Signals

_LOOK_EVERY_S = 0.15
_SPARING = 20.0  #: times as long as a look takes passes before the next
Work = Callable[[Calls, HttpGateway], Awaitable[None]]


class Errand:
    """Does work at the gateway of a run that nobody operates."""

    def __init__(self, opened: Opened, console: Console, settings: Settings, *, progress: bool) -> None:
        """`opened` may be closed before the work begins. Raises `SettingsError` without credentials."""
        self._credentials = None if settings.is_sandbox else Credentials(*read_secrets(console.warn))
        longest_s = max((rate.per_s for rate in settings.rates), default=0.0)
        self._earlier = list(earlier_calls(opened.journal, time.time(), longest_s))
        self._opened = opened
        self._console = console
        self._settings = settings
        self._progress = progress
        self._view: View = NoView()
        self._code: int | None = None  #: of a signal

    def carry_out(self, work: Work, counts: Callable[[], tuple[int, int, Mapping[str, int]]]) -> int | None:
        """Work until it is done (None), or until a signal (its exit code).

        `counts` gives, for the view: how many instances, how many are over, and the counts by what is shown
        of them. Raises `GatewayError` and what `work` raises.
        """
        if self._progress:
            self._view = choose_view(self._opened, self._console)
        try:
            anyio.run(self._execute, work, counts, backend_options={"use_uvloop": os.name != "nt"})
        finally:
            self._view.close()
        return self._code

    async def _execute(self, work: Work, counts: Callable[[], tuple[int, int, Mapping[str, int]]]) -> None:
        with anyio.CancelScope() as self._scope:
            Signals(self._stop, self._scope.cancel).listen()
            async with reach(self._settings, self._opened.directory, self._credentials) as gateway:
                calls = self._calls(gateway)
                self._look(calls, counts, time.monotonic())
                try:
                    await work(calls, gateway)
                finally:
                    with anyio.CancelScope(shield=True):
                        await gateway.aclose()

    def _calls(self, gateway: HttpGateway) -> Calls:
        return Calls(
            gateway,
            self._settings,
            notice=lambda text: self._console.tell("notice", f"note: {clean(text)}"),
            earlier=self._earlier,
        )

    def _look(
        self, calls: Calls, counts: Callable[[], tuple[int, int, Mapping[str, int]]], started: float
    ) -> None:
        """Show how far it is, and come back soon. No task: it must not outlive the loop's work.

        Counting a million instances takes its time: it is done the less often.
        """
        now = time.monotonic()
        total, ended, by_word = counts()
        try:
            self._view.show(
                Count(
                    total=total,
                    ended=ended,
                    counts=by_word,
                    calls=calls.made,
                    elapsed_s=now - started,
                    paused_s=calls.paused_for(),
                )
            )
        except OSError:  # the terminal has gone
            self._view = NoView()
        pause_s = max(_LOOK_EVERY_S, _SPARING * (time.monotonic() - now))
        asyncio.get_running_loop().call_later(pause_s, self._look, calls, counts, started)

    def _stop(self, code: int) -> None:
        self._code = code
        self._scope.cancel()
        self._console.tell("stopping", "stopping; what is known so far is written")


def warn_of_gaps(opened: Opened, console: Console) -> None:
    """Say what of the run has no instance that is known."""
    counts = opened.journal.counts()
    if left := sum(count for state, count in counts.items() if state not in ENDINGS):
        console.warn(
            f"{counted(left, 'row')} of the run not done yet; what they trigger is not part of this: "
            f"{resume_command(opened.directory)}"
        )
    if counts[State.UNKNOWN]:
        console.warn(
            f"{counted(counts[State.UNKNOWN], 'row')} unknown: whether they have instances is not known"
        )
