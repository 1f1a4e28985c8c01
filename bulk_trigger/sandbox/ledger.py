"""The sandbox's own record: what was asked, and what took effect. It can contradict the tool.

Rule 1: an effect is on disk before the first byte of its reply leaves (the caller awaits `synced`).
Rule 2: nothing is ever changed or removed, save a last line that was torn by a crash.

A file of JSON lines. Each has a `kind`; keys without a value are left out.

    open    the sandbox started: seed, scenario (digest), at, mono
    call    one request, written when it is over: n (its number, from 1), api (`trigger`, `get`, `list`,
            `cancel`, `flow`, `flows`, `switch`, `time`, `token`, `unknown`), conn (the client's port),
            flowId, triggerTime (ms), about (instance id, or the expression of a list),
            attempt (how many calls of this kind about the same thing so far; none when it was turned away
            at the door by the limit or the signature), status and code (of the reply), fault (its name),
            at, mono (the request was complete), done (monotonic; the whole reply was handed to the kernel;
            none when no or only half a reply was)
    effect  an instance was created: n (of the call), flowId, triggerTime, instanceId, at, mono
    cancel  an instance was cancelled: n, instanceId, at, mono

`at` is the sandbox's wall clock in epoch seconds; `mono` and `done` are seconds of the machine's monotonic
clock, comparable between processes until the next boot.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
import os
from pathlib import Path
import sys
import time

import msgspec

if sys.platform != "win32":
    import fcntl

_LOCK_TRIES = 100
_LOCK_PAUSE_S = 0.1
_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class LedgerError(OSError):
    """The ledger cannot be written."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", tag_field="kind"):
    """What all lines have: when."""

    at: float
    mono: float


class Opened(Line, frozen=True, tag="open"):
    """The sandbox started."""

    seed: int
    scenario: str


class Called(Line, frozen=True, tag="call"):
    """One request, and what became of it."""

    n: int
    api: str
    conn: int
    flow_id: int | None = None
    trigger_time: int | None = None
    about: str | None = None
    attempt: int | None = None
    status: int | None = None
    code: int | None = None
    fault: str | None = None
    done: float | None = None

    @property
    def subject(self) -> tuple[str, int | None, int | None, str | None]:
        """What makes two calls attempts at the same thing."""
        return (self.api, self.flow_id, self.trigger_time, self.about)


class Effect(Line, frozen=True, tag="effect"):
    """An instance was created."""

    n: int
    flow_id: int
    trigger_time: int
    instance_id: str


class Cancelled(Line, frozen=True, tag="cancel"):
    """An instance was cancelled."""

    n: int
    instance_id: str


Event = Opened | Called | Effect | Cancelled
_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Record:
    """What a ledger holds, to be looked at."""

    events: Sequence[Event]

    @property
    def calls(self) -> list[Called]:
        """Every call that is over, in the order in which they ended."""
        return [event for event in self.events if isinstance(event, Called)]

    @property
    def effects(self) -> list[Effect]:
        """Every instance that a call created, in the order of creation."""
        return [event for event in self.events if isinstance(event, Effect)]

    @property
    def effects_by_job(self) -> Counter[tuple[int, int]]:
        """How often each (flow id, trigger time in ms) took effect."""
        return Counter((effect.flow_id, effect.trigger_time) for effect in self.effects)


class Ledger:
    """The record being written: in memory without a *path*, else in that file, which may hold earlier runs.

    With `durable=False` lines are written but not synced: they survive the sandbox's death, not a power cut.
    """

    def __init__(self, path: Path | None = None, *, durable: bool = True) -> None:
        self.path = path
        self._durable = durable and path is not None
        self._kept: list[Event] = []
        self._file = -1 if path is None else _open_whole(path)
        self._group: asyncio.Future[None] | None = None  # those who wait for the next sync
        self._syncing: asyncio.Task[None] | None = None

    @staticmethod
    def read(path: Path | str) -> Record:
        """Load a file, also one that is being written or whose last line is torn."""
        return Record(list(_whole_lines(Path(path).read_bytes())))

    @property
    def record(self) -> Record:
        """What has been written so far, earlier runs included."""
        return Record(self._kept) if self.path is None else self.read(self.path)

    @property
    def calls(self) -> list[Called]:
        """See `Record.calls`."""
        return self.record.calls

    @property
    def effects(self) -> list[Effect]:
        """See `Record.effects`."""
        return self.record.effects

    @property
    def effects_by_job(self) -> Counter[tuple[int, int]]:
        """See `Record.effects_by_job`."""
        return self.record.effects_by_job

    def append(self, event: Event) -> None:
        """Write one line. Not yet synced."""
        if self.path is None:
            self._kept.append(event)
        else:
            os.write(self._file, _encoder.encode(event) + b"\n")

    async def synced(self) -> None:
        """Return when all that was appended before is on disk. Those who wait together share one sync."""
        if not self._durable:
            return
        if self._group is None:
            self._group = asyncio.get_running_loop().create_future()
        group = self._group
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())
        await asyncio.shield(group)

    async def _sync(self) -> None:
        while (group := self._group) is not None:
            self._group = None
            try:
                await asyncio.to_thread(_sync_data, self._file)
            except OSError as error:
                group.set_exception(error)
            else:
                group.set_result(None)
        self._syncing = None

    async def close(self) -> None:
        """Sync, and let go of the file."""
        await self.synced()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _open_whole(path: Path) -> int:
    """Open *path* for appending, without a torn last line, when nobody else writes to it any more.

    The sandbox of a run that was killed needs a moment to notice; what it still writes has to be seen.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    _wait_for_lock(file, path)
    os.ftruncate(file, path.read_bytes().rfind(b"\n") + 1)
    return file


def _wait_for_lock(file: int, path: Path) -> None:
    if sys.platform == "win32":
        return
    for _ in range(_LOCK_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOCK_PAUSE_S)
    os.close(file)
    raise LedgerError(f"{path} is written by another sandbox")


def _whole_lines(content: bytes) -> Iterator[Event]:
    whole, _, _torn = content.rpartition(b"\n")
    return (_decoder.decode(line) for line in whole.split(b"\n") if line)
