"""One session of a run at the terminal: event loop, signals, view, and the last words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
import os
from pathlib import Path
import sys
from typing import Any

import anyio

from ..cells import clean
from ..gateway import Credentials
from ..launch import Opened, execute
from ..progress import LineView, NoView, View, Watch
from ..recap import recap, resume_command
from ..run import Ending, Run, Stop
from .console import Console
from .lines import Lines
from .secrets import read_secrets
from .signals import INTERRUPTED, Signals

_LOOK_EVERY_S = 0.15
_PIPE_CLOSED = 141
_WAIT_FOR_READER_S = 1.0


class Session:
    """Carries an opened run out. `outputs` are more files for the results; `stream`: `-o -` was given."""

    def __init__(
        self,
        opened: Opened,
        console: Console,
        *,
        outputs: Sequence[Path] = (),
        stream: bool = False,
        progress: bool = True,
    ) -> None:
        self._opened = opened
        self._console = console
        self._outputs = outputs
        self._view = choose_view(opened, console, stream=stream) if progress else NoView()
        self._lines = Lines(self._unread) if stream else None
        self._run: Run | None = None
        self._watch: Watch | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._early_code = INTERRUPTED  #: of a signal that came before the first send

    def carry_out(self) -> int:
        """Run until every row has ended, or until it stops; returns the exit code."""
        try:
            ending = anyio.run(
                self._execute, self._credentials(), backend_options={"use_uvloop": os.name != "nt"}
            )
        finally:
            with suppress(OSError):  # the terminal has gone
                self._view.close()
        if self._lines:
            self._lines.finish()
        if ending is None:
            return self._early_code
        self._last_words(ending)
        return ending.exit_code

    def _credentials(self) -> Credentials | None:
        """Read the secrets before anything is started that would need them."""
        if self._opened.settings.is_sandbox:
            return None
        return Credentials(*read_secrets(self._console.warn))

    async def _execute(self, credentials: Credentials | None) -> Ending | None:
        self._loop = asyncio.get_running_loop()
        with anyio.CancelScope() as self._before_start:
            Signals(self._drain, self._leave).listen()
            return await execute(
                self._opened,
                credentials,
                outputs=self._outputs,
                observer=self._lines,
                notice=lambda text: self._console.tell("notice", f"note: {clean(text)}"),
                ready=self._ready,
            )
        return None

    # --- while it runs

    def _ready(self, run: Run) -> None:
        self._run = run
        self._watch = Watch(run)
        self._look()

    def _look(self) -> None:
        """Look at the run, show it, and come back soon. No task: it must not outlive the loop's work."""
        assert self._run is not None  # noqa: S101 - `_ready` has been called
        assert self._watch is not None  # noqa: S101 - as above
        assert self._loop is not None  # noqa: S101 - as above
        unread = self._lines is not None and self._lines.is_behind
        if unread:
            self._run.limiter.pause(_WAIT_FOR_READER_S)
        try:
            self._view.show(self._watch.look(unread=unread))
        except OSError:  # the terminal has gone; the run goes on
            self._view = NoView()
        self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _drain(self, code: int) -> None:
        if self._run is None:
            self._early_code = code
            self._before_start.cancel()
            self._say_stopping("stopping; nothing was sent in this session")
            return
        self._run.stop(Stop(code, "interrupted"))
        drain_s = self._opened.settings.drain_s
        self._say_stopping(
            f"stopping: nothing more is sent; replies may still come for {drain_s:g} s. "
            "A second signal leaves at once"
        )

    def _leave(self) -> None:
        if self._run:
            self._run.leave()
        self._say_stopping("leaving; `resume` looks up what had no answer yet")

    def _say_stopping(self, text: str) -> None:
        self._console.tell("stopping", text)

    def _unread(self) -> None:
        """Nobody reads our results any more: stop, as a program in a pipe does. Called in a thread."""
        if self._run is None or self._loop is None:
            return
        with suppress(RuntimeError):  # the run has ended meanwhile
            self._loop.call_soon_threadsafe(self._run.stop, Stop(_PIPE_CLOSED, "standard output was closed"))

    # --- afterwards

    def _last_words(self, ending: Ending) -> None:
        directory = self._opened.directory
        facts: Mapping[str, Any] = {"exitCode": ending.exit_code, "runDir": str(directory)}
        if not ending.summary:  # the journal is broken: there is nothing to count from
            self._console.error(f"{clean(ending.reason)}\n  then: {resume_command(directory, self._outputs)}")
            return
        lines = recap(directory, ending.summary, reason=ending.reason, outputs=self._outputs)
        self._console.tell_end("summary", lines, **facts, summary=ending.summary)


def choose_view(opened: Opened, console: Console, *, stream: bool = False) -> View:
    """The view for what listens on standard error; `stream`: results go to standard output meanwhile."""
    if console.quiet:
        return NoView()
    if console.as_json or not _is_live_terminal(stream=stream):
        return LineView(lambda event, text, facts: console.tell(event, text, **facts))
    from ..view import LiveView  # noqa: PLC0415 - rich is dear, and logs do without

    view = LiveView(Path(opened.header.input.name).name)
    console.print = view.print
    return view


def _is_live_terminal(*, stream: bool) -> bool:
    if os.environ.get("TERM") in {"dumb", "unknown"} or os.environ.get("CI"):
        return False
    if stream and sys.stdout.isatty():  # the lines of the results would run through the view
        return False
    return sys.stderr.isatty()
