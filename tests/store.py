"""The disk below the journal and the result files, made of the real one: it records, fails and loses power.

    with Store(folder) as store:
        trip = store.cut("sync", 7)                # the power goes before the seventh sync
        ... a run in `folder` ...                  # for it, the disk is broken from there on
        assert trip.struck
        store.power_on(random.Random(seed), Loss.TORN)
        ... the resume ...

SQLite is stood in for by its other Python binding, which lets us put ourselves between it and its files; the
few calls of `os` that make, name and sync files are watched likewise. Everything is also done to the real
files, except syncing; when the power comes back they are written again as the cut has left them, under new
inodes, and the machine has another boot ID. Only files inside `folder` take part; the plain ones among them
are known by what they hold at a sync.

A journal that was open at the cut has to be closed (it raises), or dropped, before the power comes back: its
process is dead, and dead processes clean nothing up. All of this is for one thread, and no other test may run
in the process meanwhile.

It costs about 0.05 ms for each commit (no real sync is done), and 2 ms for a power cut.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import dataclass
import errno
from fnmatch import fnmatch
import os
from pathlib import Path
import shutil
import sqlite3
from typing import Any, Self

from platter import Content, Dice, Folder, Loss, Names
import pytest
from sqlite_files import Connection, Kind, Vfs

from bulk_trigger.journal import marker


class PowerIsOff(OSError):  # noqa: N818 - what has happened
    """Nothing can be changed any more."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the power is off")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was asked of the disk; `file` is relative to the folder, of a directory it ends in /."""

    number: int
    kind: Kind
    file: str


@dataclass(slots=True)
class Trip:
    """Something that is going to go wrong: at the nth event of a kind, or from it on."""

    kind: str  #: a `Kind`, or * for any
    nth: int
    file: str = "*"
    error: int = 0  #: an errno; 0: the power goes
    after: bool = False  #: the power goes when it has been done
    forever: bool = False
    seen: int = 0
    struck: int = 0  #: how often it has gone wrong
    first: Event | None = None  #: what went wrong first

    def strikes(self, event: Event) -> bool:
        if not (fnmatch(event.kind, self.kind) and fnmatch(event.file, self.file)):
            return False
        self.seen += 1
        if self.seen == self.nth or (self.forever and self.seen > self.nth):
            self.struck += 1
            self.first = self.first or event
            return True
        return False


class Store:
    """A folder on a disk of our own. As a context manager it stands in for SQLite and `os` in the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.is_off = False
        self.events: list[Event] = []  #: since the power came on
        self._trips: list[Trip] = []
        self._names = Names()
        self._connections: list[Connection] = []
        self._boot = self.folder.with_name(f"{self.folder.name}.boot")
        self._boots = 0
        self._patch = pytest.MonkeyPatch()
        self._connect = sqlite3.connect
        self._os = _Os()
        self._vfs = Vfs(self)

    # --- what a test asks for

    def cut(self, kind: str, nth: int, *, after: bool = False, file: str = "*") -> Trip:
        """Let the power go before (or after) the nth event of that kind from now on."""
        return self._set(Trip(kind, nth, file, after=after))

    def fail(self, kind: str, nth: int, error: int, *, forever: bool = False, file: str = "*") -> Trip:
        """Let the nth event of that kind from now on fail with an errno, once or for ever."""
        return self._set(Trip(kind, nth, file, error=error, forever=forever))

    def mend(self) -> None:
        """Nothing that was asked for goes wrong any more."""
        self._trips.clear()

    def count(self, kind: Kind, file: str = "*") -> int:
        """How many events of a kind there were since the power came on."""
        return sum(event.kind == kind and fnmatch(event.file, file) for event in self.events)

    @property
    def has_failed(self) -> bool:
        """Whether something has gone wrong since the last `mend`."""
        return any(trip.struck for trip in self._trips)

    def power_off(self) -> None:
        """From here on nothing is changed any more; who tries gets an I/O error."""
        self.is_off = True

    def end_process(self) -> None:
        """The process ends, and with it the connections that it has left open."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def power_on(self, dice: Dice, loss: Loss) -> None:
        """Let chance decide what has survived of what was not synced, and start again from that.

        `Loss.NONE`: only the process has died, not the machine, and what was not synced still is not.
        """
        self.is_off = True
        self.end_process()
        if loss is Loss.NONE:
            self._begin()
            return
        self._patch.undo()
        self._read_plain_files()
        left = self._names.survivors(dice, loss)
        data = {path: each.survivors(dice, loss) for path, each in left.items() if isinstance(each, Content)}
        for path, thing in sorted(self._names.now.items(), reverse=True):
            if isinstance(thing, Content):
                path.unlink(missing_ok=True)
            elif path not in left:
                shutil.rmtree(path)
        self._boots += 1
        self._names = Names()
        for path in sorted(left):
            if path in data:
                path.write_bytes(data[path])
                path.chmod(0o600)
            else:
                path.mkdir(mode=0o700, exist_ok=True)
        self._start()

    # --- in place of SQLite and os

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end_process()
        self._patch.undo()
        self._vfs.unregister()

    def connect(self, address: str, **options: Any) -> Connection | sqlite3.Connection:
        """Stand in for `sqlite3.connect`, for files in the folder."""
        if self.holds(address.removeprefix("file://").partition("?")[0]):
            connection = Connection(address, self._vfs)
            self._connections.append(connection)
            return connection
        plain: sqlite3.Connection = self._connect(address, **options)
        return plain

    def holds(self, path: object) -> bool:
        """Whether a path is one of a file that takes part."""
        return isinstance(path, str | Path) and self.folder in Path(path).parents

    def content(self, path: Path) -> Content:
        """The bytes of a file that takes part."""
        found = self._names.now[path]
        assert isinstance(found, Content)
        return found

    def knows(self, path: Path) -> bool:
        return path in self._names.now

    def happen(
        self, kind: Kind, path: Path, act: Callable[[], None], failing: Callable[[], None] | None = None
    ) -> None:
        """Do something to the disk, unless something goes wrong; `failing` is done if it fails."""
        if self.is_off:
            raise PowerIsOff
        name = path.relative_to(self.folder).as_posix()
        event = Event(len(self.events) + 1, kind, f"{name}/" if kind == "sync" and path.is_dir() else name)
        self.events.append(event)
        trip = next((trip for trip in self._trips if trip.strikes(event)), None)
        if trip and trip.error:
            if failing:
                failing()
            raise OSError(trip.error, os.strerror(trip.error), str(path))
        if trip and not trip.after:
            self.is_off = True
            raise PowerIsOff
        act()
        if trip:
            self.is_off = True
            raise PowerIsOff

    def make(self, path: Path) -> None:
        """Take note of a new file."""
        self.happen("create", path, lambda: self._names.change(((path, Content()),)))

    def delete(self, path: Path, act: Callable[[], None]) -> None:
        """Delete a file that takes part."""

        def forget() -> None:
            act()
            self._names.change(((path, None),))

        self.happen("delete", path, forget)

    def sync_names(self, directory: Path) -> None:
        """Make the names of a directory safe."""
        self.happen("sync", directory, lambda: self._names.sync(directory))

    # --- the calls of os

    def _open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if self.holds(path) and flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            if self.is_off:
                raise PowerIsOff
            if flags & os.O_CREAT and not os.path.lexists(path):
                self.make(Path(path))
        return self._os.open(path, flags, mode, **more)

    def _fsync(self, descriptor: int) -> None:
        if (path := self._path_of(descriptor)) is None:
            self._os.fsync(descriptor)
        elif path.is_dir():
            self.sync_names(path)
        else:
            content = self.content(path)
            if not content.by_sqlite:
                content.replace(path.read_bytes())
            self.happen("sync", path, content.sync, content.fail_sync)

    def _rename(self, source: Any, target: Any, **more: Any) -> None:
        self._move(self._os.rename, source, target, **more)

    def _replace(self, source: Any, target: Any, **more: Any) -> None:
        self._move(self._os.replace, source, target, **more)

    def _move(self, act: Callable[..., None], source: Any, target: Any, **more: Any) -> None:
        if not self.holds(source):
            act(source, target, **more)
            return
        old, new = Path(source), Path(target)

        def move() -> None:
            self._read_plain_file(new)  # for the case that its name comes back
            act(source, target, **more)
            self._names.change(((old, None), (new, self._names.now[old])))

        self.happen("rename", new, move)

    def _unlink(self, path: Any, **more: Any) -> None:
        if not self.holds(path):
            self._os.unlink(path, **more)
        elif os.path.lexists(path):
            self._read_plain_file(Path(path))
            self.delete(Path(path), lambda: self._os.unlink(path))
        else:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    def _mkdir(self, path: Any, mode: int = 0o777, **more: Any) -> None:
        if not self.holds(path):
            self._os.mkdir(path, mode, **more)
            return

        def make() -> None:
            self._os.mkdir(path, mode, **more)
            self._names.change(((Path(path), Folder()),))

        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self.happen("mkdir", Path(path), make)

    def _rmdir(self, path: Any, **more: Any) -> None:
        if self.holds(path):
            self.delete(Path(path), lambda: self._os.rmdir(path))
        else:
            self._os.rmdir(path, **more)

    # --- inside

    def _start(self) -> None:
        """The power comes on: what is there now is on the platter."""
        self._names.find(self.folder, Folder())
        for path in self.folder.rglob("*"):
            if path.is_dir():
                self._names.find(path, Folder())
            elif path.is_file() and not path.is_symlink():
                self._names.find(path, Content(path.read_bytes()))
        self._boot.write_text(f"boot {self._boots}")
        self._patch.setattr(marker, "_BOOT", self._boot)
        self._patch.setattr(sqlite3, "connect", self.connect)
        self._patch.setattr(shutil, "_use_fd_functions", False, raising=False)
        for name in ("open", "fsync", "rename", "replace", "unlink", "mkdir", "rmdir"):
            self._patch.setattr(os, name, getattr(self, f"_{name}"))
        self._begin()

    def _begin(self) -> None:
        """A process begins."""
        self._trips.clear()
        self.events = []
        self.is_off = False

    def _set(self, trip: Trip) -> Trip:
        self._trips.append(trip)
        return trip

    def _path_of(self, descriptor: int) -> Path | None:
        found = os.fstat(descriptor)
        for path in self._names.now:
            with contextlib.suppress(OSError):
                if os.path.samestat(path.stat(), found):
                    return path
        return None

    def _read_plain_files(self) -> None:
        for path in self._names.now:
            self._read_plain_file(path)

    def _read_plain_file(self, path: Path) -> None:
        content = self._names.now.get(path)
        if isinstance(content, Content) and not content.by_sqlite and path.is_file():
            content.replace(path.read_bytes())


class _Os:
    """The calls as they were."""

    def __init__(self) -> None:
        self.open, self.fsync, self.rename, self.replace = os.open, os.fsync, os.rename, os.replace
        self.unlink, self.mkdir, self.rmdir = os.unlink, os.mkdir, os.rmdir
