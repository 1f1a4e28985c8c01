"""From rows to a journal: built as `journal.db.part`, and renamed when it is complete.

Until it has its name there is no run, so the import needs no protection on its way.
"""

from __future__ import annotations

from itertools import islice
import os
import sqlite3
from typing import TYPE_CHECKING
from zlib import crc32

from ..errors import IllegalMove, InputError, JournalError, RunRefused
from ..files import sync_directory, sync_file
from ..header import SCHEMA, Header, Input, encode_header, write_sidecar
from ..model import BadRow, Row, State
from ..settings import Duplicates
from .database import IMPORTING, connect
from .filesystem import check_place, check_room
from .grouping import SHOWN, Twins, index_lanes, list_flows
from .schema import APPLICATION_ID, CODE_OF, GUARDS, RUN_NUMBER, TABLES, append
from .words import journal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ..settings import Settings

_CHUNK = 64  # rows at a time; larger ones gain nothing, and each row may carry a megabyte
DUPLICATE = "duplicate"


class Import:
    """The import of one job list. `rows` is read once; `source` is asked when it has been read to its end."""

    def __init__(  # noqa: PLR0913 - what a header is made of
        self,
        path: Path,
        rows: Iterable[Row | BadRow],
        *,
        settings: Settings,
        tool: str,
        created_ms: int,
        source: Callable[[], Input],
        explain: Callable[[Sequence[BadRow], int], str],
    ) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._rows = iter(rows)
        self._settings = settings
        self._tool = tool
        self._created_ms = created_ms
        self._source = source
        self._explain = explain
        self._first_row = 1
        self._count = 0  #: rows read
        self._bad = 0
        self._first_bad: list[BadRow] = []

    def run(self) -> None:
        """Build the journal and name it. Raises `InputError`, `JournalError`, `RunRefused`."""
        if self._path.exists():
            raise RunRefused(
                f"{self._path.parent} holds a run already; go on with `resume`, or name another directory"
            )
        check_place(self._path.parent)
        try:
            self._clear()
            os.close(
                os.open(self._part, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600)
            )
            header = self._build()
            check_room(self._path.parent, header.rows)
            self._verify(header)
            sync_file(self._part)
            write_sidecar(self._path.parent, header)
            self._part.rename(self._path)
            sync_directory(self._path.parent)
        except (sqlite3.Error, OSError) as error:
            raise journal_error(self._path, error) from error
        finally:
            self._clear()

    def _build(self) -> Header:
        connection = connect(self._part, IMPORTING)
        try:
            connection.executescript(TABLES)
            connection.execute("BEGIN")
            self._take_rows(connection)
            if self._bad and not self._settings.skip_invalid:
                raise InputError(self._explain(self._first_bad, self._bad))
            index_lanes(connection, self._settings.order)
            duplicates = self._settle_duplicates(connection)
            header = self._header(duplicates, list_flows(connection, self._settings.order))
            connection.execute("INSERT INTO header VALUES (1, ?)", (encode_header(header),))
            connection.execute("INSERT INTO fence VALUES (1, 0)")
            connection.execute("COMMIT")
            connection.executescript(GUARDS)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            number = crc32(encode_header(header)) >> 9  # see `wal`; what is left of 31 bits
            connection.execute(f"PRAGMA user_version = {SCHEMA + RUN_NUMBER * number}")
        finally:
            connection.close()
        return header

    def _take_rows(self, connection: sqlite3.Connection) -> None:
        while chunk := list(islice(self._rows, _CHUNK)):
            if self._count == 0:
                self._first_row = chunk[0].row
            start = self._first_row + self._count
            if any(row.row != number for number, row in enumerate(chunk, start)):
                raise IllegalMove(f"the reader left out a row between {start} and {chunk[-1].row}")
            self._count += len(chunk)
            bad = [row for row in chunk if isinstance(row, BadRow)]
            if bad:
                self._take_bad_rows(connection, bad)
            if self._bad and not self._settings.skip_invalid:
                continue  # there will be no run; the rest is read to tell all that is wrong at once
            connection.executemany(
                "INSERT INTO jobs VALUES (?, ?, ?, ?)",
                [
                    (row.row, row.flow_id, row.trigger_time_ms, row.extra)
                    for row in chunk
                    if isinstance(row, Row)
                ],
            )

    def _take_bad_rows(self, connection: sqlite3.Connection, bad: list[BadRow]) -> None:
        self._first_bad += bad[: SHOWN - len(self._first_bad)]
        if self._settings.skip_invalid:
            connection.executemany(
                "INSERT INTO bad_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (b.row, b.line, b.column, b.reason, b.message, b.cure, b.flow_id, b.trigger_time, b.extra)
                    for b in bad
                ],
            )
            self._end(
                connection,
                State.INVALID,
                [(b.row, b.reason, f"{b.message}; {b.cure}") for b in bad],
                self._bad,
            )
        self._bad += len(bad)

    def _end(
        self, connection: sqlite3.Connection, state: State, rows: Iterable[tuple[int, str, str]], after: int
    ) -> None:
        """Write the endings of rows (row, code, message) that are never going to be sent."""
        code_of_state, at_ms = CODE_OF[state], self._created_ms
        append(
            connection,
            "steps",
            (
                (
                    seq,
                    0,
                    row,
                    code_of_state,
                    at_ms,
                    0,
                    None,
                    code,
                    message,
                    None,
                    "",
                    "",
                    None,
                    None,
                    None,
                    None,
                )
                for seq, (row, code, message) in enumerate(rows, after + 1)
            ),
        )

    def _settle_duplicates(self, connection: sqlite3.Connection) -> int:
        """Do with the duplicates as the settings say; returns how many there are. Raises `InputError`."""
        twins = Twins(connection, self._settings.order)
        count = len(twins)
        match self._settings.duplicates:
            case Duplicates.REFUSE if count:
                raise InputError(twins.describe(self._source().name, list(islice(twins, SHOWN))))
            case Duplicates.SKIP:
                text = "row {} has the same flow and UTC minute"
                rows = ((row, DUPLICATE, text.format(first)) for row, first in twins)
                self._end(connection, State.SKIPPED, rows, self._bad)
            case Duplicates.REFUSE | Duplicates.SEND:
                twins.mark()
                twins.forget()
        return count

    def _header(self, duplicates: int, flows: int) -> Header:
        return Header(
            run=self._path.parent.absolute().name,
            tool=self._tool,
            sqlite=sqlite3.sqlite_version,
            created_ms=self._created_ms,
            settings=self._settings,
            input=self._source(),
            first_row=self._first_row,
            rows=self._count,
            invalid=self._bad,
            duplicates=duplicates,
            flows=flows,
        )

    def _verify(self, header: Header) -> None:
        """Open the file again, and see whether it holds what went into it."""
        connection = connect(self._part, {"locking_mode": "exclusive"})
        try:
            found = [text for (text,) in connection.execute("PRAGMA quick_check(5)")]
            jobs, bad = connection.execute(
                "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM bad_rows)"
            ).fetchone()
        finally:
            connection.close()
        if found != ["ok"] or (jobs + bad, bad) != (header.rows, header.invalid):
            raise JournalError(f"{self._part}: what was written is not what is read back: {'; '.join(found)}")

    def _clear(self) -> None:
        """Remove what an import that died has left."""
        for suffix in ("", "-journal", "-wal", "-shm"):
            self._part.with_name(self._part.name + suffix).unlink(missing_ok=True)
