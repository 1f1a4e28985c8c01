"""The proof of the accounting: a sound history passes, and each kind of lie is found."""

from collections.abc import Callable
from pathlib import Path
import sqlite3

from journals import T0, create, intent, job_rows, step, success
import pytest

from bulk_trigger.journal import Journal
from bulk_trigger.model import State


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Rows 1 to 4 of flow 7: two succeeded, the second after a wait; the third is sending."""
    journal = create(tmp_path, job_rows(7, 7, 7, 7))
    journal.write([intent(1)], [])
    journal.write([intent(2)], [success(1)])
    journal.write([], [step(2, State.WAITING, code="62109", sent_ms=T0)])
    journal.write([intent(2, 2)], [])
    journal.write([intent(3)], [success(2, attempt=2)])
    journal.close()
    return tmp_path / "journal.db"


def found(path: Path) -> str:
    journal = Journal.read(path)
    try:
        return "\n".join(journal.check())
    finally:
        journal.close()


def test_a_sound_history_has_nothing_to_complain_about(path: Path) -> None:
    """P1, P12."""
    assert found(path) == ""


def insert(table: str, *values: object) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute(
        f"INSERT INTO {table} VALUES ({','.join('?' * len(values))})", values
    )


def a_step(
    seq: int, row: int, state: int, attempt: int = 1, instance: str | None = None
) -> Callable[..., object]:
    return insert(
        "steps", seq, 1, row, state, T0, attempt, None, "", "", instance, "", "", None, None, None, None
    )


def a_removal(table: str, where: str) -> Callable[[sqlite3.Connection], object]:
    def remove(connection: sqlite3.Connection) -> None:
        connection.execute(f"DROP TRIGGER {table}_stand_DELETE")
        connection.execute(f"DELETE FROM {table} WHERE {where}")

    return remove


def a_leap(connection: sqlite3.Connection) -> None:
    a_removal("intents", "row = 3")(connection)
    insert("intents", 100, 1, 4, 1, T0)(connection)


@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        (a_step(100, 1, 5), "row 1 is succeeded and cannot become failed"),
        (a_step(100, 3, 5, attempt=2), "row 3: a step answers attempt 2, the last one was 1"),
        (insert("intents", 100, 1, 4, 2, T0), "row 4: attempt 2 follows attempt 0"),
        (a_removal("intents", "row = 2 AND attempt = 1"), "row 2: attempt 2 follows attempt 0"),
        (a_removal("steps", "row = 1"), "row 2: it was sent while row 1 of the same flow was under way"),
        (
            insert("intents", 100, 1, 4, 1, T0),
            "row 4: it was sent while row 3 of the same flow was under way",
        ),
        (a_leap, "row 4: it was sent before row 3 of the same flow had ended"),
        (a_step(100, 3, 4, instance="id-1"), "row 1: 1 other rows have its instance ID id-1"),
        (a_step(100, 3, 4), "row 3: it succeeded without an instance ID"),
        (
            a_removal("jobs", "row = 4"),
            "the input had 4 rows, 0 of them invalid; here are 3 jobs and 0 bad rows",
        ),
        (a_removal("jobs", "row = 1"), "row 1: it has steps, but is not in the input"),
    ],
)
def test_a_lie_is_found(path: Path, lie: Callable[[sqlite3.Connection], object], complaint: str) -> None:
    """P1, P3, P12, P20."""
    connection = sqlite3.connect(path)
    with connection:
        lie(connection)
    connection.close()

    assert complaint in found(path)
