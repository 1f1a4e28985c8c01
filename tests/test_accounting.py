"""The proof behind `verify`, where rows are invalid, commits are lost or the lies are many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import sqlite3

from journals import bad_row, create, intent, job_rows, success
import pytest

from bulk_trigger.journal import Journal
from bulk_trigger.model import BadRow, Row

TWICE = """
INSERT INTO steps SELECT 99, epoch, row, state, at_ms, attempt, evidence, code, message, instance_id, via,
flags, sent_ms, latency_ms, status, bytes_out FROM steps WHERE row = 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Rows 1 and 4 are invalid, rows 2 and 3 of flow 7 succeeded."""
    rows: list[Row | BadRow] = [bad_row(1), *job_rows(7, 7, first=2), bad_row(4)]
    journal = create(tmp_path, rows, skip_invalid=True)
    journal.write([intent(2)], [])
    journal.write([intent(3)], [success(2)])
    journal.write([], [success(3)])
    journal.close()
    return tmp_path / "journal.db"


def found(path: Path) -> list[str]:
    journal = Journal.read(path)
    try:
        return journal.check()
    finally:
        journal.close()


def change(path: Path, lie: Callable[[sqlite3.Connection], object]) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for table in ("steps", "intents", "bad_rows", "jobs"):
            connection.execute(f"DROP TRIGGER IF EXISTS {table}_stand_DELETE")
            connection.execute(f"DROP TRIGGER IF EXISTS {table}_stand_UPDATE")
        lie(connection)
    connection.close()


def test_invalid_rows_that_only_ended_are_sound(path: Path) -> None:
    """P1, P24."""
    assert found(path) == []


@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        ("DELETE FROM bad_rows WHERE row = 1", "the input had 4 rows, 2 of them invalid"),
        ("UPDATE steps SET state = 5 WHERE row = 4", "row 4: it is a bad row, but did more"),
        (TWICE, "row 1: it is a bad row, but did more"),
    ],
)
def test_a_lie_about_an_invalid_row_is_found(path: Path, lie: str, complaint: str) -> None:
    """P1, P24."""
    change(path, lambda connection: connection.execute(lie))

    assert complaint in "\n".join(found(path))


def test_lost_commits_are_the_first_thing_that_is_said(path: Path) -> None:
    """P20: what stands in the journal may be sound, and not be all."""
    path.with_name("journal.db-open").write_bytes(b"")

    assert "is missing" in found(path)[0]


def test_of_many_lies_a_hundred_are_told(tmp_path: Path) -> None:
    journal = create(tmp_path, job_rows(*range(1, 151)))
    journal.write([intent(row) for row in range(1, 151)], [])
    journal.write([], [success(row) for row in range(1, 151)])
    journal.close()
    change(tmp_path / "journal.db", lambda connection: connection.execute("UPDATE steps SET attempt = 2"))

    assert len(found(tmp_path / "journal.db")) == 100
