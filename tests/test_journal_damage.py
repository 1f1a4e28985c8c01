"""Values in a journal that nobody wrote: they are named as damage, never a traceback (F91, P21, P30)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import sqlite3
from typing import Any

from journals import T0, create, intent, job_rows, success
import pytest

from bulk_trigger.errors import BulkTriggerError, JournalError
from bulk_trigger.header import JOURNAL
from bulk_trigger.journal import Journal
from bulk_trigger.settings import Durability


def read_all(path: Path) -> None:
    """Look at all that there is, as `verify` and `export` do."""
    journal = Journal.read(path)
    try:
        with journal.blaming_damage():
            journal.check()
            journal.totals()
            list(journal.outcomes())
    finally:
        journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The journal of a run that was drained after its first row."""
    journal = create(tmp_path, job_rows(1, 2, 3))
    journal.write([intent(1)], [])
    journal.write([], [success(1)])
    journal.close()
    return tmp_path / JOURNAL


def change(path: Path, *statements: str) -> None:
    """Change what the journal's guards let nobody change."""
    connection = sqlite3.connect(path)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_sound_journal_is_read_to_its_end(path: Path) -> None:
    change(path)

    read_all(path)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE sessions SET durability = 'never'", "'never' is not a valid Durability"),
        ("UPDATE jobs SET extra = 5", "own columns are 5"),
        ("UPDATE jobs SET extra = '[1]'", r"own columns are '\[1\]'"),
        ("UPDATE steps SET row = 1000", "step of row 1000"),
        ("UPDATE steps SET row = -1", "step of row -1"),
        ("UPDATE steps SET state = 999", "step of row 1"),
        ("UPDATE steps SET state = 'x'", "step of row 1"),
    ],
)
def test_what_nobody_wrote_is_damage(path: Path, statement: str, says: str) -> None:
    change(path, statement)

    with pytest.raises(JournalError, match=says):
        read_all(path)


def without_not_null(connection: sqlite3.Connection, table: str, column: str) -> None:
    connection.execute("PRAGMA writable_schema = 1")
    connection.execute(
        "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ?",
        (f"{column} TEXT NOT NULL", f"{column} TEXT", table),
    )
    connection.commit()


def test_a_null_where_there_can_be_none_is_damage_wherever_it_trips_us_up(path: Path) -> None:
    """The page is sound and its records can be read; only the table's own rule tells."""
    change(path)
    connection = sqlite3.connect(path)
    ((schema,),) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'steps'")
    without_not_null(connection, "steps", "code")
    connection.close()
    change(path, "UPDATE steps SET code = NULL", "PRAGMA writable_schema = 1")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = 1")
    connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'steps'", (schema,))
    connection.commit()
    connection.close()
    journal = Journal.read(path)

    def trip() -> None:
        raise TypeError("a value of None")

    with pytest.raises(JournalError, match="damaged"), journal.blaming_damage():
        trip()
    journal.close()


@pytest.mark.parametrize(
    ("error", "kind"), [(TypeError("ours"), TypeError), (JournalError("theirs"), JournalError)]
)
def test_a_bug_in_front_of_a_sound_journal_is_no_damage(
    path: Path, error: Exception, kind: type[Exception]
) -> None:
    journal = Journal.read(path)

    def fail() -> None:
        raise error

    with pytest.raises(kind, match=r"ours|theirs"), journal.blaming_damage():
        fail()
    journal.close()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: change(path, "PRAGMA user_version = 99"), "has format 99"),
        (lambda path: change(path, "PRAGMA application_id = 7"), "not a journal"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(4000)), "damaged|cannot be used"),
        (lambda path: path.write_bytes(b"no database at all" * 300), "damaged"),
        (lambda path: path.unlink(), "holds no run"),
    ],
)
def test_what_is_no_journal_of_ours_is_not_opened(
    path: Path, damage: Callable[[Path], Any], says: str
) -> None:
    damage(path)

    with pytest.raises(BulkTriggerError, match=says):
        Journal.open(path, at_ms=T0, durability=Durability.POWER)
