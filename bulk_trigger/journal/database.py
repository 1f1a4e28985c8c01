"""The one connection to a journal: how it is opened, how it commits, and how it fails.

Rule 1: one connection, in one process, used by one thread at a time. Two connections that write or checkpoint
        at the same instant can corrupt a WAL database in every SQLite before 3.51.3.
Rule 2: after the first error nothing is written any more. SQLite goes on after a failed fsync, and the later
        successes may be lies.
Rule 3: every pragma is read back. SQLite ignores the ones that it cannot follow, without a word.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from ..errors import JournalError, RunRefused
from ..files import sync_directory
from ..header import SCHEMA
from ..settings import Durability
from .schema import APPLICATION_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_CACHE = -32_768  # KiB: what the import sorts in memory, and the pages that a run keeps
_WAL_PAGES = 4000  # 16 MiB of WAL between two checkpoints

#: WAL + FULL syncs every commit. WAL + NORMAL syncs at checkpoints only: it costs next to nothing, and after
#: a power cut the journal is intact, but its last commits are missing. OFF would risk the whole file.
_SYNCHRONOUS: Mapping[Durability, int] = {Durability.POWER: 2, Durability.PROCESS: 1}

_ALWAYS: Mapping[str, Any] = {
    "locking_mode": "exclusive",
    "temp_store": 1,
    "cache_size": _CACHE,
    "mmap_size": 0,
}

#: An import that did not end is no run, so it needs neither a rollback nor a sync on the way.
IMPORTING: Mapping[str, Any] = {**_ALWAYS, "journal_mode": "off", "synchronous": 0}


def running(durability: Durability) -> Mapping[str, Any]:
    """The pragmas of a run. EXCLUSIVE comes first, so that WAL never needs shared memory."""
    syncs: dict[str, Any] = {"journal_mode": "wal", "synchronous": _SYNCHRONOUS[durability]}
    if sys.platform == "darwin":  # there, a plain fsync leaves the data in the drive's cache
        syncs |= {"fullfsync": 1, "checkpoint_fullfsync": 1}
    return {**_ALWAYS, **syncs, "wal_autocheckpoint": _WAL_PAGES, "foreign_keys": 1}


def connect(path: Path, pragmas: Mapping[str, Any]) -> sqlite3.Connection:
    """Open an existing file. Raises `JournalError` when it cannot be used as asked."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise journal_error(path, error) from error
    try:
        for name, value in pragmas.items():
            _set(connection, name, value)
    except sqlite3.Error as error:
        connection.close()
        raise journal_error(path, error) from error
    except JournalError as error:
        connection.close()
        raise JournalError(f"{path}: {error}") from None
    return connection


def _set(connection: sqlite3.Connection, name: str, value: object) -> None:
    connection.execute(f"PRAGMA {name} = {value}").fetchall()
    if name == "locking_mode":
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # a read is what takes the lock
    found = connection.execute(f"PRAGMA {name}").fetchone()
    if name == "mmap_size" and found is None:
        return  # this SQLite was built without it
    if found is None or found[0] != value:
        raise JournalError(f"SQLite does not accept {name}={value} here (it says {found and found[0]})")


class Database:
    """A connection that latches: after its first error it refuses everything that follows."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, wal_found: bool) -> None:
        self.path = path
        self._connection = connection
        self._broken: JournalError | None = None
        self._check_identity()
        ((epoch, closed),) = self.read("SELECT epoch, closed FROM fence")
        self.epoch: int = epoch
        #: Whether the last session was killed, and the file with its latest commits is gone since.
        self.wal_lost = not closed and not wal_found

    @classmethod
    def open(cls, path: Path, durability: Durability) -> Database:
        """Open a journal. Raises `RunRefused` when there is none, `JournalError` when it cannot be used."""
        if not path.is_file():
            raise RunRefused(f"{path.parent} holds no run; start one with `run`")
        wal_found = path.with_name(f"{path.name}-wal").exists()
        return cls(path, connect(path, running(durability)), wal_found=wal_found)

    def begin_session(self, at_ms: int, durability: Durability) -> None:
        """Raise the epoch: whoever still holds the old one can write no more. Raises `JournalError`."""
        if self.wal_lost:
            raise JournalError(
                f"{self.path}-wal is missing: it held the last commits of a run that was killed, so what was "
                "sent last is not known; put the file back, or look with `export` at what is known"
            )
        with self.transaction() as connection:
            connection.execute("UPDATE fence SET epoch = epoch + 1, closed = 0")
            connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?)", (self.epoch + 1, at_ms, durability.value)
            )
        self.epoch += 1
        self._execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the file itself must say that it is not closed
        sync_directory(self.path.parent)  # SQLite does not tell when that fails

    def settle_reading(self) -> None:
        """Bring what a killed run left in the WAL into the file, then forbid every write."""
        if not self.wal_lost:
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
            ((closed,),) = self.read("SELECT closed FROM fence")
            if not closed:
                self._execute("UPDATE fence SET closed = 1")
        self._execute("PRAGMA query_only = 1")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at the end of the block. Raises `JournalError`, and latches."""
        self._check_usable()
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._check_fence()
            yield connection
            connection.execute("COMMIT")
        except JournalError as error:
            self._roll_back()
            self._broken = error
            raise
        except (sqlite3.Error, OSError) as error:
            self._roll_back()
            raise self._latch(error) from error
        except BaseException:  # a bug of ours, or a cancellation: nothing is wrong with the disk
            self._roll_back()
            raise

    def read(self, query: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Read records, as they are asked for. Raises `JournalError`, and latches."""
        self._check_usable()
        try:
            yield from self._connection.execute(query, parameters)
        except sqlite3.Error as error:
            raise self._latch(error) from error

    def define(self, name: str, function: Callable[[int], bool]) -> None:
        """Make a predicate on one number known to queries."""
        self._connection.create_function(name, 1, function)

    def check_pages(self) -> None:
        """Look for damage in the whole file. Raises `JournalError`."""
        found = [text for (text,) in self.read("PRAGMA quick_check(5)")]
        if found != ["ok"]:
            raise JournalError(f"{self.path} is damaged and is not used: {'; '.join(found)}")

    def close(self) -> None:
        """Close for good; whoever opens it next knows that nothing is missing."""
        try:
            ((closed,),) = self.read("SELECT closed FROM fence") if self._broken is None else ((1,),)
            if not closed and not self.wal_lost:
                with self.transaction() as connection:
                    connection.execute("UPDATE fence SET closed = 1")
        finally:
            self._broken = self._broken or JournalError(f"{self.path} is closed")
            self._connection.close()

    def _execute(self, statement: str) -> None:
        self._check_usable()
        try:
            self._connection.execute(statement).fetchall()
        except sqlite3.Error as error:
            raise self._latch(error) from error

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise JournalError(str(self._broken))

    def _check_fence(self) -> None:
        (epoch,) = self._connection.execute("SELECT epoch FROM fence").fetchone()
        if epoch != self.epoch:
            raise JournalError(f"{self.path}: another process has taken over this run (session {epoch})")

    def _check_identity(self) -> None:
        ((application,),) = self.read("PRAGMA application_id")
        ((schema,),) = self.read("PRAGMA user_version")
        if application != APPLICATION_ID:
            self._connection.close()
            raise RunRefused(f"{self.path} is not a journal of bulk-trigger")
        if schema != SCHEMA:
            self._connection.close()
            raise RunRefused(
                f"{self.path} has format {schema}, this version of bulk-trigger knows {SCHEMA}; "
                "go on with the version that started the run"
            )

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have done it by itself
            self._connection.execute("ROLLBACK")

    def _latch(self, error: sqlite3.Error | OSError) -> JournalError:
        self._broken = journal_error(self.path, error)
        return self._broken


_WORDS: Mapping[str, str] = {
    "SQLITE_FULL": "the disk is full; make room, then `resume`",
    "SQLITE_BUSY": "another program has it open; close that, then `resume`",
    "SQLITE_LOCKED": "another program has it open; close that, then `resume`",
    "SQLITE_READONLY": "it cannot be written; look at the permissions of the file and its directory",
    "SQLITE_CANTOPEN": "it cannot be opened; look at the permissions of the file and its directory",
    "SQLITE_CORRUPT": "it is damaged and is not used any more",
    "SQLITE_NOTADB": "it is damaged and is not used any more",
    "SQLITE_IOERR": "the disk reported an error (or is full); see to it, then `resume`",
}


def journal_error(path: Path, error: BaseException) -> JournalError:
    """Say in the user's words what is wrong with the journal."""
    name = getattr(error, "sqlite_errorname", "")
    words = next((words for prefix, words in _WORDS.items() if name.startswith(prefix)), "it cannot be used")
    return JournalError(f"{path}: {words} ({name + ': ' if name else ''}{error})")
