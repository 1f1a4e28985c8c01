"""From a job list to a run: the import, the refusals, the lock, and the gateway that is meant.

    create()  a job list, a directory, settings     -> Opened      (nothing was sent yet)
    reopen()  a run directory                       -> Opened
    execute() an Opened, credentials                -> Ending      (the run itself)

All that can be refused is refused here, before the first send.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
import shutil
import time
from typing import Any, Self

import msgspec

from .child import sandbox_process
from .errors import RunRefused, SettingsError
from .files import check_target, is_open_to_all
from .gateway import Credentials, HttpGateway
from .header import JOURNAL, Header, Input, find_same, read_sidecar, write_sidecar
from .journal import Journal
from .model import State
from .ports import Gateway, Observer
from .reader import JobList, JobTuples, describe_problems
from .run import Ending, Run, discard_results, write_outputs
from .runlock import RunLock
from .settings import Durability, Settings
from .sightings import INSTANCES
from .version import VERSION

#: What `resume` may be given anew (design decision 17); everything else is the run's own for good.
OVERRIDABLE = frozenset(
    {
        "rates",
        "in_flight",
        "timeout_s",
        "patience_s",
        "reconcile_wait_s",
        "durability",
        "drain_s",
    }
)


class Opened:
    """A run directory that is ours: locked, its journal open. A context manager."""

    def __init__(self, directory: Path, journal: Journal, settings: Settings, lock: RunLock) -> None:
        self.directory = directory
        self.journal = journal
        self.settings = settings  #: the header's, with what was given anew
        self._lock = lock

    @property
    def header(self) -> Header:
        """What is known about the run from its first moment on."""
        return self.journal.header

    def close(self) -> None:
        """Close the journal and give the directory back; safe to call twice."""
        try:
            self.journal.close()
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create(  # noqa: PLR0913 - what a run is made of
    jobs: JobList | JobTuples,
    directory: Path,
    settings: Settings,
    *,
    outputs: Sequence[Path] = (),
    force: bool = False,
    again: bool = False,
    name: str | None = None,
) -> Opened:
    """Read and validate the whole job list into a new run directory.

    `again`: also if this directory's parent holds a run of the same input and target. `outputs` must not
    exist without `force`. Raises `InputError`, `SettingsError`, `RunRefused`, `JournalError`: nothing was
    sent then, and no run is left.
    """
    for output in outputs:
        check_target(output, force=force)
    if (directory / JOURNAL).exists():
        raise RunRefused(f"{directory} holds a run already; go on with it: bulk-trigger resume {directory}")
    existed = directory.exists()
    if existed and is_open_to_all(directory):
        raise RunRefused(
            f"{directory} can be changed by everybody on this machine; name a directory inside it that does "
            f"not exist yet, or take their permission away: chmod o-w {directory}"
        )
    with ExitStack() as undo:
        lock = RunLock(directory)
        lock.acquire()
        undo.callback(_remove if not existed else _leave, directory)
        undo.callback(lock.release)
        (directory / INSTANCES).unlink(missing_ok=True)  # of a run whose journal somebody removed
        journal = Journal.create(
            directory / JOURNAL,
            jobs,
            settings=settings,
            tool=VERSION,
            at_ms=_now_ms(),
            source=lambda: describe(jobs, name),
            explain=lambda problems, total: describe_problems(jobs.name, problems, total),
        )
        undo.callback(journal.close)
        if not again:
            _refuse_same(directory, journal.header)
        undo.pop_all()
    return Opened(directory, journal, settings, lock)


def reopen(
    directory: Path, overrides: Mapping[str, Any] | None = None, *, rerun: Collection[State] = ()
) -> Opened:
    """Take up a run where it stopped; `rerun`: run again what these states hold.

    Raises `RunRefused`, `SettingsError`, `JournalError`.
    """
    changes = dict(overrides or {})
    if fixed := changes.keys() - OVERRIDABLE:
        raise SettingsError(f"{', '.join(sorted(fixed))} cannot change in a resumed run; start a new one")
    with ExitStack() as undo:
        lock = _lock_existing(directory)
        undo.callback(lock.release)
        durability = changes.get("durability") or _durability(directory)
        journal = Journal.open(directory / JOURNAL, at_ms=_now_ms(), durability=durability)
        undo.callback(journal.close)
        write_sidecar(directory, journal.header)  # a crash right after the import may have left none
        settings = _changed(journal.header.settings, changes)
        if rerun:
            _refuse_doubts(directory, journal)
            discard_results(directory)
            journal.reopen(rerun, _now_ms())
        undo.pop_all()
    return Opened(directory, journal, settings, lock)


@contextmanager
def look_into(directory: Path) -> Iterator[Opened]:
    """Open a run that nobody operates, to look at it: nothing can be written to it.

    Raises `RunRefused` while it runs, or if there is none, and `JournalError`.
    """
    with ExitStack() as undo:
        lock = _lock_existing(directory)
        undo.callback(lock.release)
        journal = Journal.read(directory / JOURNAL)
        undo.callback(journal.close)
        with journal.blaming_damage():
            yield Opened(directory, journal, journal.header.settings, lock)


async def execute(  # noqa: PLR0913 - what a run is made of
    opened: Opened,
    credentials: Credentials | None = None,
    *,
    gateway: Gateway | None = None,
    outputs: Sequence[Path] = (),
    observer: Observer | None = None,
    notice: Callable[[str], None] = lambda _: None,
    ready: Callable[[Run], None] = lambda _: None,
) -> Ending:
    """Run an opened run to its end, or until it stops; closes its journal.

    The gateway is the one of the settings, unless one is brought along. `observer` is told how every job
    ended, `notice` what the user should hear once, in a sentence. `ready` is given the run before it
    starts, to stop it or to look at it.
    """
    async with _gateway(opened, credentials, gateway) as (settings, target):
        run = Run(
            opened.directory,
            opened.journal,
            settings,
            target,
            outputs=outputs,
            observer=observer,
            notice=notice,
        )
        ready(run)
        return await run.execute()


def export(opened: Opened, outputs: Sequence[Path]) -> dict[str, Any]:
    """Write results and summary again from the journal; see `run.write_outputs`."""
    return write_outputs(opened.directory, opened.journal, outputs)


def describe(jobs: JobList | JobTuples, name: str | None = None) -> Input:
    """What a job list that was read to its end is known by."""
    ours = {jobs.flow_column, jobs.time_column}
    return Input(
        name=name or jobs.name,
        format=jobs.format,
        sha256=jobs.sha256,
        size=jobs.size,
        columns=tuple(column for column in jobs.header if column in ours or column in jobs.columns),
        flow_column=jobs.flow_column,
        time_column=jobs.time_column,
    )


def check_credentials(settings: Settings, credentials: Credentials | None, gateway: Gateway | None) -> None:
    """Refuse, before a run is made, what could not be sent. Raises `SettingsError`."""
    if credentials is None and gateway is None and not settings.is_sandbox:
        raise SettingsError(
            "no credentials; set BULK_TRIGGER_APP_KEY and BULK_TRIGGER_APP_SECRET, or ..._FILE for each"
        )


@asynccontextmanager
async def _gateway(
    opened: Opened, credentials: Credentials | None, gateway: Gateway | None
) -> AsyncIterator[tuple[Settings, Gateway]]:
    if gateway is not None:
        yield opened.settings, gateway
    else:
        async with reach(opened.settings, opened.directory, credentials) as reached:
            yield opened.settings, reached


@asynccontextmanager
async def reach(
    settings: Settings, directory: Path, credentials: Credentials | None
) -> AsyncIterator[HttpGateway]:
    """Give the gateway that the settings name; whoever uses it closes it. A sandbox lives in `directory`.

    Raises `SettingsError` without credentials for a real one, `GatewayError` if a sandbox does not start.
    """
    if settings.is_sandbox:
        async with sandbox_process(settings, directory) as (here, own):
            yield HttpGateway(here, own)
    else:
        check_credentials(settings, credentials, None)
        assert credentials is not None  # noqa: S101 - just checked
        yield HttpGateway(settings, credentials)


def _refuse_same(directory: Path, header: Header) -> None:
    if same := find_same(directory, header):
        raise RunRefused(
            f"{same} is a run of the same job list against the same gateway.\n"
            f"  go on with it:            bulk-trigger resume {same}\n"
            f"  or trigger it all again:  the same command with --new"
        )


def _refuse_doubts(directory: Path, journal: Journal) -> None:
    """A row in doubt must be settled before an earlier row of its flow may be sent again (P12)."""
    counts = journal.counts()
    if in_doubt := counts[State.SENDING] + counts[State.RECONCILING]:
        raise RunRefused(
            f"{in_doubt} rows are in doubt since the run stopped; settle them first, then run rows again:\n"
            f"  bulk-trigger resume {directory}"
        )


def _lock_existing(directory: Path) -> RunLock:
    if not (directory / JOURNAL).is_file():
        raise RunRefused(f"{directory} is not a run directory: it has no {JOURNAL}")
    lock = RunLock(directory)
    lock.acquire()
    return lock


def _durability(directory: Path) -> Durability:
    try:
        return read_sidecar(directory).settings.durability
    except RunRefused:
        return Durability.POWER


def _changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    changed: Settings = msgspec.structs.replace(settings, **changes)
    return changed


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def _leave(directory: Path) -> None:
    """A directory that was there before stays."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
