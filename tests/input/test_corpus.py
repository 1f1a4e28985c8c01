"""Every file of the corpus gets exactly its verdict: from the reader, from the import, and from the program.

The oracle of the import is the journal's file itself, read with plain SQLite.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
import hashlib
import io
from pathlib import Path
import sqlite3

from corpus import CORPUS, mixed_list
import corpus_values
from entries import Bad, Entry, Good
import pytest

from bulk_trigger import InputError, Settings
from bulk_trigger.launch import create
from bulk_trigger.model import BadRow, Row
from bulk_trigger.reader import JobList
from bulk_trigger.settings import Duplicates

LENIENT = Settings(gateway="sandbox", skip_invalid=True, duplicates=Duplicates.SEND)
EACH = pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry.name)


def written(entry: Entry, folder: Path) -> Path:
    path = folder / f"jobs.{entry.format}"
    path.write_bytes(entry.make())
    return path


def reading(entry: Entry, path: Path) -> JobList:
    return JobList(path, name=path.name, timezone=entry.zone, time_unit=entry.unit)


def as_verdict(record: Row | BadRow) -> Good | Bad:
    if isinstance(record, Row):
        return Good(record.flow_id, record.trigger_time_ms, record.extra)
    return Bad(record.reason, record.line, record.column, "")


@EACH
def test_the_reader_gives_exactly_the_verdict(entry: Entry, tmp_path: Path) -> None:
    """P24, P25, F106, F107, F108, F109, F110, F111, F112, F113, F114, F115, F116, F118, F120."""
    path = written(entry, tmp_path)
    jobs = reading(entry, path)
    if refusal := entry.refusal:
        with pytest.raises(InputError) as refused:
            list(jobs)
        assert_says(str(refused.value), path, refusal.line, refusal.says)
        return

    records = list(jobs)

    assert [record.row for record in records] == list(range(1, len(records) + 1))
    expected = [row if isinstance(row, Good) else row._replace(says="") for row in entry.rows]
    assert [as_verdict(record) for record in records] == expected
    for record, row in zip(records, entry.rows, strict=True):
        if isinstance(record, Row):
            assert (type(record.flow_id), type(record.trigger_time_ms)) == (int, int)
        if isinstance(record, BadRow) and isinstance(row, Bad):
            assert row.says in f"{record.message}; {record.cure}"
            assert record.message
            assert record.cure
            assert f"{record.message}{record.cure}".isprintable()
    assert (jobs.records, jobs.blank_lines) == (len(entry.rows), entry.blanks)
    assert jobs.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


#: Most values differ in nothing but their text: they are imported together, see below.
LISTS = [entry for entry in CORPUS if entry not in corpus_values.VALUES]


@pytest.mark.parametrize("entry", LISTS, ids=lambda entry: entry.name)
def test_the_import_makes_a_run_only_of_a_list_without_fault(entry: Entry, tmp_path: Path) -> None:
    """P24, P25, F117: without flags one bad row or one duplicate is enough, and nothing is left."""
    path, directory = written(entry, tmp_path), tmp_path / "run"
    if entry.is_sent:
        create(reading(entry, path), directory, Settings(gateway="sandbox")).close()
        jobs, bad_rows = imported(directory)
        assert jobs == [(row, *good) for row, good in enumerate(entry.rows, 1)]
        assert bad_rows == []
        return

    with pytest.raises(InputError) as refused:
        create(reading(entry, path), directory, Settings(gateway="sandbox"))
    assert not directory.exists()
    problems = [row for row in entry.rows if isinstance(row, Bad)]
    if problems:
        assert_says(str(refused.value), path, problems[0].line, problems[0].says)
        assert f"{len(problems)} row" in str(refused.value)
    elif entry.duplicates:
        assert f"{entry.duplicates} row" in str(refused.value)
        assert "same flow and UTC minute as row" in str(refused.value)


@pytest.mark.parametrize(
    "entry",
    [entry for entry in LISTS if not entry.refusal and not entry.is_sent],
    ids=lambda entry: entry.name,
)
def test_the_import_holds_every_row_once_when_bad_ones_may_be_skipped(entry: Entry, tmp_path: Path) -> None:
    """P1, P25: what would be sent is the good rows, to the digit, and all others are there as invalid."""
    create(reading(entry, written(entry, tmp_path)), tmp_path / "run", LENIENT).close()

    jobs, bad_rows = imported(tmp_path / "run")

    numbered = list(enumerate(entry.rows, 1))
    assert jobs == [(row, *good) for row, good in numbered if isinstance(good, Good)]
    assert bad_rows == [
        (row, bad.line, bad.column, bad.reason) for row, bad in numbered if isinstance(bad, Bad)
    ]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_good_and_bad_values_of_one_list_are_told_apart(form: str, tmp_path: Path) -> None:
    """P1, P25, F113, F114: all values of the corpus that need no flag, in one list."""
    content, rows = mixed_list(form)
    path = tmp_path / f"jobs.{form}"
    path.write_bytes(content)

    create(JobList(path), tmp_path / "run", LENIENT).close()

    jobs, bad_rows = imported(tmp_path / "run")
    assert jobs == [(row, *good) for row, good in enumerate(rows, 1) if isinstance(good, Good)]
    assert [(row, reason) for row, _, _, reason in bad_rows] == [
        (row, bad.reason) for row, bad in enumerate(rows, 1) if isinstance(bad, Bad)
    ]
    assert min(len(jobs), len(bad_rows)) >= 30


def imported(directory: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """The jobs and the bad rows of a journal."""
    with closing(sqlite3.connect(directory / "journal.db")) as journal:
        jobs = journal.execute("SELECT row, flow_id, trigger_time_ms, extra FROM jobs ORDER BY row")
        bad = journal.execute("SELECT row, line, field, reason FROM bad_rows ORDER BY row")
        return jobs.fetchall(), bad.fetchall()


def assert_says(text: str, path: Path, line: int | None, says: str) -> None:
    place = path.name if line is None else f"{path.name}:{line}: "
    assert text.startswith(place), text
    assert says in text
    assert text.replace("\n", "").isprintable()


def test_the_corpus_is_large_and_every_entry_is_another_one() -> None:
    names = Counter(entry.name for entry in CORPUS)
    contents = Counter(
        (entry.format, entry.unit, entry.zone, entry.make()) for entry in CORPUS if not entry.is_large
    )

    assert len(CORPUS) >= 200
    assert [name for name, times in names.items() if times > 1] == []
    assert [content for content, times in contents.items() if times > 1] == []


def test_a_stream_gets_the_same_verdicts_as_a_file() -> None:
    """F118: /dev/stdin and pipes give their bytes in pieces of any size."""
    for entry in CORPUS:
        if entry.is_large:
            continue
        jobs = JobList(
            Dribble(entry.make()),
            name=f"jobs.{entry.format}",
            timezone=entry.zone,
            time_unit=entry.unit,
        )
        if entry.refusal:
            with pytest.raises(InputError):
                list(jobs)
        else:
            assert [as_verdict(record)[:3] for record in jobs] == [row[:3] for row in entry.rows], entry.name


class Dribble(io.BytesIO):
    """A pipe whose writer writes one to seven bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 1, 1 + self.tell() % 7))
