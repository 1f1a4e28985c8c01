"""The library: run a job list from Python. No prints, no signal handlers, no global state.

    ending = await run_jobs("jobs.csv", "runs/march", Settings(gateway="sandbox"))

    async with stream_jobs(jobs, "runs/march", settings, credentials=credentials) as run:
        async for outcome in run:
            print(outcome.row, outcome.state, outcome.instance_id)
    print(run.ending.exit_code)

Needs asyncio underneath (aiohttp does); inside it, anyio and plain asyncio code may call it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread

from .gateway import Credentials
from .launch import Opened, check_credentials, create, execute, reopen
from .model import Outcome, State
from .ports import Gateway, Observer
from .reader import JobList, JobTuple, JobTuples
from .run import Ending, Run, Stop
from .run.bell import Bell
from .settings import Settings

Jobs = str | Path | Iterable[JobTuple]


async def run_jobs(  # noqa: PLR0913 - what a run is made of
    jobs: Jobs,
    directory: str | Path,
    settings: Settings,
    *,
    credentials: Credentials | None = None,
    gateway: Gateway | None = None,
    observer: Observer | None = None,
    outputs: Sequence[Path] = (),
    again: bool = False,
) -> Ending:
    """Run a job list to its end, or until it stops; returns how it ended.

    `jobs`: a path (CSV, JSONL, .gz), or tuples (flow ID, trigger time in epoch ms[, other columns]).
    `directory`: a new run directory. `gateway`: instead of the one that the settings name. `again`: also if
    the directory beside it holds a run of the same jobs.

    Raises `InputError`, `SettingsError`, `RunRefused` (nothing was sent), `GatewayError`, `JournalError`.
    Whatever becomes of single jobs is no exception: it is in the ending's counts and in the results.
    """
    check_credentials(settings, credentials, gateway)
    opened = await _create(jobs, Path(directory), settings, outputs=outputs, again=again)
    with opened:
        return await execute(opened, credentials, gateway=gateway, observer=observer, outputs=outputs)


async def resume_run(  # noqa: PLR0913 - what a run is made of
    directory: str | Path,
    *,
    credentials: Credentials | None = None,
    gateway: Gateway | None = None,
    observer: Observer | None = None,
    overrides: Mapping[str, Any] | None = None,
    rerun: Collection[State] = (),
) -> Ending:
    """Go on with an interrupted run, or run again what the states in `rerun` hold.

    `overrides`: fields of `Settings` that may change in a resumed run (see `launch.OVERRIDABLE`).
    """
    opened = await anyio.to_thread.run_sync(partial(reopen, Path(directory), overrides, rerun=rerun))
    with opened:
        return await execute(opened, credentials, gateway=gateway, observer=observer)


class JobStream:
    """A run that gives its outcomes as they come. Outcomes wait in memory until they are taken."""

    def __init__(self) -> None:
        self._outcomes: deque[Outcome] = deque()
        self._bell = Bell()
        self._run: Run | None = None
        self._left = False
        self._over = False
        self._ending: Ending | None = None
        self._error: Exception | None = None

    @property
    def ending(self) -> Ending:
        """How the run ended; complete when the iteration has ended."""
        if self._ending is None:
            raise RuntimeError("the run has not ended yet: iterate to the end first")
        return self._ending

    def settled(self, outcome: Outcome) -> None:
        """Take an outcome (`ports.Observer`)."""
        self._outcomes.append(outcome)
        self._bell.ring()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        while not self._outcomes:
            if self._error:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            await self._bell.wait()
        return self._outcomes.popleft()

    async def _carry_out(
        self, opened: Opened, credentials: Credentials | None, gateway: Gateway | None
    ) -> None:
        try:
            self._ending = await execute(
                opened, credentials, gateway=gateway, observer=self, ready=self._begin
            )
        except Exception as error:  # noqa: BLE001 - raised again by whoever iterates, or leaves the block
            self._error = error
        finally:
            self._over = True
            self._bell.ring()

    def _begin(self, run: Run) -> None:
        self._run = run
        if self._left:
            self._leave()

    def _leave(self) -> None:
        self._left = True
        if self._run:
            self._run.stop(Stop(7, "the caller left"))


@asynccontextmanager
async def stream_jobs(  # noqa: PLR0913 - what a run is made of
    jobs: Jobs,
    directory: str | Path,
    settings: Settings,
    *,
    credentials: Credentials | None = None,
    gateway: Gateway | None = None,
    again: bool = False,
) -> AsyncIterator[JobStream]:
    """Run a job list, and iterate over its outcomes as they come; arguments and errors as in `run_jobs`.

    Leaving the block early, by an exception too, stops the run: it drains, and can be resumed.
    """
    check_credentials(settings, credentials, gateway)
    stream = JobStream()
    raised: Exception | None = None
    with await _create(jobs, Path(directory), settings, again=again) as opened:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream._carry_out, opened, credentials, gateway)  # noqa: SLF001 - its own module
            try:
                yield stream
            except Exception as error:  # noqa: BLE001 - raised again when the run has drained
                raised = error
            finally:
                stream._leave()  # noqa: SLF001 - as above
    raised = raised or stream._error  # noqa: SLF001 - as above
    if raised:
        raise raised


async def _create(
    jobs: Jobs, directory: Path, settings: Settings, *, outputs: Sequence[Path] = (), again: bool = False
) -> Opened:
    """Import on a thread: a long list must not hold up the caller's event loop."""
    if isinstance(jobs, str | Path):
        source: JobList | JobTuples = JobList(
            jobs, timezone=settings.timezone, time_unit=settings.time_unit, rows=settings.rows
        )
    else:
        source = JobTuples(jobs)
    make = partial(create, source, directory, settings, outputs=outputs, again=again)
    return await anyio.to_thread.run_sync(make)
