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
from typing import TYPE_CHECKING, Any, TypeVar
import weakref

from ..errors import BulkTriggerError, JournalError, RunRefused
from ..header import SCHEMA
from ..settings import Durability
from .marker import find_losses, leave_mark, take_leave
from .schema import APPLICATION_ID, RUN_NUMBER
from .wal import check_wal, find_damage
from .words import SQLITE_ERRORS, journal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_CACHE = -32_768  # KiB: what the import sorts in memory, and the pages that a run keeps
_WAL_PAGES = 500  # 2 MiB of WAL between two checkpoints: a sync is cheaper where the file need not grow
CALLS_AHEAD = 4  #: calls that are no trigger: so many may start before they are on disk
ENDED = "endedSession"  #: the note about the last session that ended in order

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

T = TypeVar("T")


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
    except SQLITE_ERRORS as error:
        raise journal_error(path, error) from error
    try:
        for name, value in pragmas.items():
            _set(connection, name, value)
    except SQLITE_ERRORS as error:
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

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._inode = path.stat().st_ino
        self._epoch: int = 0
        self._broken: JournalError | None = None
        self.lost = ""  #: why the last commits are missing, if they are
        #: Runs at the latest when the interpreter ends: SQLite would then close without us.
        self._finish = weakref.finalize(self, _leave_at_last, connection, path)

    @classmethod
    def open(cls, path: Path, durability: Durability) -> Database:
        """Open a journal. Raises `RunRefused` when there is none, `JournalError` when it cannot be used."""
        if not path.is_file():
            raise RunRefused(f"{path.parent} holds no run; start one with `run`")
        check_wal(path)
        lost = find_losses(path)
        database = cls(path, connect(path, running(durability)))
        try:
            database.lost = lost or database._find_damage()
            if database.lost:
                database._finish.detach()  # the marker stays
            database.check_identity()
        except BaseException:
            database.close()
            raise
        return database

    @property
    def epoch(self) -> int:
        """Number of the session that this connection belongs to."""
        return self._epoch

    def begin_session(self, at_ms: int, durability: Durability) -> None:
        """Raise the epoch: whoever still holds the old one can write no more. Raises `JournalError`."""
        if self.lost:
            raise JournalError(f"{self.path.parent}: {self.lost}")
        self._empty_wal()
        with self.transaction() as connection:
            ((number,),) = connection.execute("PRAGMA user_version").fetchall()
            connection.execute(f"PRAGMA user_version = {number}")  # the WAL now says whose it is
            connection.execute("UPDATE fence SET epoch = epoch + 1")
            connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?)", (self._epoch + 1, at_ms, durability.value)
            )
            _charge_lost_calls(connection, self._epoch, at_ms)
            self._epoch += 1
        try:
            leave_mark(self.path, durability)
        except OSError as error:
            raise self._latch(error) from error

    def forbid_writing(self) -> None:
        """From here on this connection only reads."""
        for _ in self.read("PRAGMA query_only = 1"):
            pass

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
            self._check_place()
        except JournalError as error:
            self._roll_back()
            self._broken = error
            raise
        except (*SQLITE_ERRORS, OSError) as error:
            self._roll_back()
            raise self._latch(error) from error
        except BaseException:  # a bug of ours, or a cancellation: nothing is wrong with the disk
            self._roll_back()
            raise

    def read(self, query: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Read records, as they are asked for. Raises `JournalError`, and latches."""
        self._check_usable()
        try:
            # Not `yield from`: dropped half-way, that closes the cursor, maybe after the connection.
            for record in self._connection.execute(query, parameters):  # noqa: UP028 - see above
                yield record
        except SQLITE_ERRORS as error:
            raise self._latch(error) from error

    def only(self, query: str, kind: type[T]) -> T:
        """Read the one value of the one record that there must be. Raises `JournalError`, and latches."""
        match list(self.read(query)):
            case [(value,)] if isinstance(value, kind):
                return value
            case _:
                self._broken = JournalError(f"{self.path} is damaged and is not used: {query}")
                raise self._broken

    def define(self, name: str, function: Callable[[int], bool]) -> None:
        """Make a predicate on one number known to queries."""
        self._connection.create_function(name, 1, function)

    def check_pages(self) -> None:
        """Look for damage in the whole file. Raises `JournalError`."""
        found = [text for (text,) in self.read("PRAGMA quick_check(5)")]
        if found != ["ok"]:
            raise JournalError(f"{self.path} is damaged and is not used: {'; '.join(found)}")

    @contextlib.contextmanager
    def blaming_damage(self) -> Iterator[None]:
        """A value that trips us up in the block may be one that nobody wrote. Raises `JournalError` then."""
        try:
            yield
        except (BulkTriggerError, OSError):
            raise
        except Exception as error:
            try:
                self.check_pages()
            except JournalError as damage:
                raise damage from error
            raise

    def check_identity(self) -> None:
        """Make sure that this is a journal, and of our format. Raises `RunRefused`."""
        ((application,),) = self.read("PRAGMA application_id")
        ((number,),) = self.read("PRAGMA user_version")
        if application != APPLICATION_ID:
            raise RunRefused(f"{self.path} is not a journal of bulk-trigger")
        if (schema := number % RUN_NUMBER) != SCHEMA:
            raise RunRefused(
                f"{self.path} has format {schema}, this version of bulk-trigger knows {SCHEMA}; "
                "go on with the version that started the run"
            )
        self._epoch = self.only("SELECT epoch FROM fence", int)

    def close(self) -> None:
        """Close for good. Raises `JournalError`; safe to call twice."""
        self._broken = self._broken or JournalError(f"{self.path} is closed")
        try:
            if self.lost:
                self._connection.close()
            if self._finish.alive:
                take_leave(self._connection, self.path)
        except (*SQLITE_ERRORS, OSError) as error:
            raise journal_error(self.path, error) from error
        self._finish.detach()  # not in a `finally`: what failed is tried once more at the end

    def _find_damage(self) -> str:
        """Why commits in the WAL that was found cannot be read; empty if they all can."""
        ((_, frames, _),) = self.read("PRAGMA wal_checkpoint(PASSIVE)")
        return find_damage(self.path, max(frames, 0))

    def _empty_wal(self) -> None:
        """Move all commits of older sessions into the file itself, and begin the WAL anew.

        A sync of it may have failed then. What is read back is the kernel's memory of it; no later sync would
        bring that to the disk, and behind such a gap a power cut would take every commit of this session too.
        """
        ((busy, _, _),) = self.read("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise JournalError(f"{self.path}: another program has it open; close that, then `resume`")

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise JournalError(str(self._broken))

    def _check_fence(self) -> None:
        (epoch,) = self._connection.execute("SELECT epoch FROM fence").fetchone()
        if epoch != self._epoch:
            raise JournalError(f"{self.path}: another process has taken over this run (session {epoch})")

    def _check_place(self) -> None:
        """A file that was moved or deleted takes commits as before, but no resume would find them."""
        try:
            inode = self.path.stat().st_ino
        except FileNotFoundError:
            inode = 0
        if inode != self._inode:
            raise JournalError(
                f"{self.path} was moved or deleted while the run was under way; put it back, then `resume`"
            )

    def _roll_back(self) -> None:
        with contextlib.suppress(*SQLITE_ERRORS):  # SQLite may have done it by itself
            self._connection.execute("ROLLBACK")

    def _latch(self, error: Exception) -> JournalError:
        self._broken = journal_error(self.path, error)
        return self._broken


def _leave_at_last(connection: sqlite3.Connection, path: Path) -> None:
    """Nobody is left to be told of an error; then the marker stays. The file is locked until here."""
    with contextlib.suppress(*SQLITE_ERRORS, OSError):
        take_leave(connection, path)


def _charge_lost_calls(connection: sqlite3.Connection, before: int, at_ms: int) -> None:
    """A session that was killed may have made calls that nobody wrote down: the rate counts them."""
    ended = connection.execute("SELECT json FROM notes WHERE key = ?", (ENDED,)).fetchone()
    if before and (ended is None or int(ended[0]) != before):
        connection.executemany("INSERT INTO calls VALUES (?)", [(at_ms,)] * CALLS_AHEAD)
