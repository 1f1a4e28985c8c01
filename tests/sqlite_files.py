"""SQLite with somebody between it and its files: a VFS for `apsw`, and a connection like those of `sqlite3`.

Reads go to the real files. Each change is first shown to a disk, which may refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import contextlib
import errno
import itertools
from pathlib import Path
import sqlite3
from typing import Any, Literal, Protocol

import apsw
from platter import Content

Kind = Literal["write", "truncate", "sync", "create", "rename", "delete", "mkdir"]

_OURS = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
_BUSY_MS = 5000  # as sqlite3's own default

#: What SQLite's own layer for files says when the system refuses one of these.
_IOERR = {
    "write": apsw.SQLITE_IOERR_WRITE,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "create": apsw.SQLITE_CANTOPEN,
    "delete": apsw.SQLITE_IOERR_DELETE,
}
_KINDS: dict[type[apsw.Error], type[sqlite3.Error]] = {
    apsw.CorruptError: sqlite3.DatabaseError,
    apsw.NotADBError: sqlite3.DatabaseError,
    apsw.ConstraintError: sqlite3.IntegrityError,
    apsw.ConnectionClosedError: sqlite3.ProgrammingError,
    apsw.CursorClosedError: sqlite3.ProgrammingError,
}
_NAMES = {**apsw.mapping_result_codes, **apsw.mapping_extended_result_codes}
_numbers = itertools.count(1)


class Disk(Protocol):
    """Who is shown each change, and may refuse it with an `OSError`."""

    def holds(self, path: object) -> bool: ...
    def knows(self, path: Path) -> bool: ...
    def content(self, path: Path) -> Content: ...
    def make(self, path: Path) -> None: ...
    def delete(self, path: Path, act: Callable[[], None]) -> None: ...
    def sync_names(self, directory: Path) -> None: ...
    def happen(
        self, kind: Kind, path: Path, act: Callable[[], None], failing: Callable[[], None] | None = None
    ) -> None: ...


class Vfs(apsw.VFS):
    """SQLite's way to its files."""

    def __init__(self, disk: Disk) -> None:
        self.name = f"watched-{next(_numbers)}"
        self._disk = disk
        super().__init__(self.name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's word
        path = Path(name.filename()) if isinstance(name, apsw.URIFilename) else Path(name or "")
        if not (name and flags[0] & _OURS and self._disk.holds(path)):
            return apsw.VFSFile("", name, flags)  # a temporary file: it needs no power to be forgotten
        new = not self._disk.knows(path)
        if new and flags[0] & apsw.SQLITE_OPEN_CREATE:
            with _as_sqlite("create"):
                self._disk.make(path)
        return _File(self._disk, path, name, flags, names_unsynced=new and bool(flags[0] & _JOURNALS))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's word
        path = Path(filename)
        if self._disk.knows(path):
            with _as_sqlite("delete"):
                self._disk.delete(path, lambda: super(Vfs, self).xDelete(filename, syncdir))
        else:
            super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, path: Path, name: Any, flags: list[int], *, names_unsynced: bool) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = path
        self._content = disk.content(path)
        self._content.by_sqlite = True
        self._names_unsynced = names_unsynced

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's word
        def write(part: bytes = data) -> None:
            super(_File, self).xWrite(part, offset)
            self._content.write(offset, part)

        with _as_sqlite("write"):
            self._disk.happen("write", self._path, write, lambda: write(data[: len(data) // 2]))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's word
        def truncate() -> None:
            super(_File, self).xTruncate(newsize)
            self._content.truncate(newsize)

        with _as_sqlite("truncate"):
            self._disk.happen("truncate", self._path, truncate)

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802 - SQLite's words
        with _as_sqlite("sync"):
            self._disk.happen("sync", self._path, self._content.sync, self._content.fail_sync)
        if self._names_unsynced:  # as SQLite's own layer does, and like it without a word if that fails
            self._names_unsynced = False
            with contextlib.suppress(OSError):
                self._disk.sync_names(self._path.parent)


@contextlib.contextmanager
def _as_sqlite(kind: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = apsw.SQLITE_FULL if error.errno == errno.ENOSPC and kind == "write" else _IOERR[kind]
        raise apsw.exception_for(code) from error


class Connection:
    """As much of a `sqlite3.Connection` in autocommit mode as a journal uses."""

    def __init__(self, uri: str, vfs: Vfs) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
        with _as_sqlite3():
            self._connection = apsw.Connection(uri, flags=flags, vfs=vfs.name)
            self._connection.set_busy_timeout(_BUSY_MS)

    def execute(self, query: str, parameters: Sequence[Any] = ()) -> Records:
        with _as_sqlite3():
            return Records(self._connection.execute(query, parameters))

    def executemany(self, query: str, parameters: Sequence[Sequence[Any]]) -> Records:
        with _as_sqlite3():
            return Records(self._connection.executemany(query, parameters))

    def executescript(self, script: str) -> Records:
        return self.execute(script)

    def create_function(self, name: str, narg: int, func: Callable[..., Any]) -> None:
        with _as_sqlite3():
            self._connection.create_scalar_function(name, func, narg)

    def close(self) -> None:
        """Close; what goes wrong with the files meanwhile is not told, as with sqlite3."""
        with contextlib.suppress(apsw.Error):
            self._connection.close(True)


class Records:
    """What a query gives: as much of a `sqlite3.Cursor` as a journal uses."""

    def __init__(self, cursor: apsw.Cursor) -> None:
        self._cursor = cursor

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        with _as_sqlite3():
            yield from self._cursor

    def fetchone(self) -> tuple[Any, ...] | None:
        with _as_sqlite3():
            return next(iter(self._cursor), None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        with _as_sqlite3():
            return list(self._cursor)


@contextlib.contextmanager
def _as_sqlite3() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        kind = _KINDS.get(type(error), sqlite3.OperationalError)
        named = kind(str(error))
        code = getattr(error, "extendedresult", 0)
        named.sqlite_errorcode, named.sqlite_errorname = code, str(_NAMES.get(code, ""))
        raise named from error
