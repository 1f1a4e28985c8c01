"""The job list as a whole: formats, sources, damage; and what the user is told."""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.errors import InputError, SettingsError
from bulk_trigger.model import BadRow, Row
from bulk_trigger.reader import Format, JobList, describe_problems

SAMPLES = Path(__file__).parent.parent / "samples"
CSV = b"flowId,triggerTime\n3377,1574385824000\n3378,1574385824000\n"
JSONL = b'{"flowId": 3377, "triggerTime": 1574385824000}\n{"flowId": 3378, "triggerTime": 1574385824000}\n'
ROWS = [Row(1, 3377, 1574385824000), Row(2, 3378, 1574385824000)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("jobs.csv", CSV),
        ("JOBS.CSV", CSV),
        ("jobs.csv.gz", gzip.compress(CSV, mtime=0)),
        ("packed.csv", gzip.compress(CSV, mtime=0)),
        ("plain.csv.gz", CSV),
        ("members.csv.gz", gzip.compress(CSV[:30], mtime=0) + gzip.compress(CSV[30:], mtime=0)),
        ("mark.csv", b"\xef\xbb\xbf" + CSV),
        ("jobs.jsonl", JSONL),
        ("jobs.ndjson", JSONL),
        ("jobs.jsonl.gz", gzip.compress(JSONL, mtime=0)),
        ("mark.jsonl", b"\xef\xbb\xbf" + JSONL),
    ],
)
def test_the_ending_tells_the_format_and_a_mark_tells_gzip(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    jobs = JobList(tmp_path / name)

    assert list(jobs) == ROWS
    assert (jobs.sha256, jobs.size) == (hashlib.sha256(content).hexdigest(), len(content))


def test_a_stream_needs_the_format_in_words() -> None:
    with pytest.raises(InputError, match="--format"):
        JobList(io.BytesIO(CSV))
    assert list(JobList(io.BytesIO(CSV), format="csv")) == ROWS


def test_the_format_in_words_wins_over_the_ending(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_bytes(JSONL)

    assert list(JobList(tmp_path / "jobs.csv", format="jsonl")) == ROWS


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("format", "content"), [("csv", CSV), ("jsonl", JSONL)])
@pytest.mark.parametrize("ended", [True, False])
def test_every_line_end_gives_the_same_rows(ending: str, format: Format, content: bytes, ended: bool) -> None:  # noqa: A002
    text = content.decode().replace("\n", ending)

    assert list(JobList(io.BytesIO((text if ended else text.rstrip()).encode()), format=format)) == ROWS


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (CSV.decode().encode("utf-16"), ":1: .*UTF-16"),
        (CSV.decode().encode("utf-16-le"), ":1: .*UTF-16"),
        (CSV.decode().encode("utf-16-be"), ":1: .*UTF-16"),
        (CSV.decode().encode("utf-32"), ":1: .*UTF-32"),
        (CSV.decode().encode("utf-32-be"), ":1: .*UTF-32"),
        (b"flowId,triggerTime,site\n1,1574385824000,ok\n2,1574385824000,M\xfcnchen\n", ":3: .*Latin-1"),
        ("flowId,triggerTime,site\n1,1574385824000,江阴\n".encode("gbk"), ":2: .*GBK"),
        (CSV + b"33\x0077,1574385824000\n", ":4: .*NUL"),
        (b"flowId,triggerTime,note\n" + b"x" * 2_000_000, ":2: .*1 MiB"),
        (b"x" * 100_000_000, ":1: .*1 MiB"),
        (gzip.compress(CSV, mtime=0)[:-9], "gzip"),
        (gzip.compress(CSV, mtime=0)[:20], "gzip"),
        (gzip.compress(CSV, mtime=0)[:-8] + b"\0" * 8, "gzip"),
        (gzip.compress(CSV, mtime=0) + b"junk", "gzip"),
    ],
)
@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_what_is_not_text_is_refused_whole(content: bytes, says: str, format: Format) -> None:  # noqa: A002
    """P24: a file that cannot be trusted is refused, with the line and the guess."""
    with pytest.raises(InputError, match=says):
        list(JobList(io.BytesIO(content), format=format))


def test_a_source_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(JobList(tmp_path / "missing.csv"))
    with pytest.raises(InputError, match="directory"):
        list(JobList(tmp_path, format="csv"))
    with pytest.raises(InputError, match="cannot be opened"):
        list(JobList("jo\0bs.csv"))
    with pytest.raises(InputError, match="--format"):
        JobList(tmp_path / "jobs.xlsx")


class _Impatient(io.BytesIO):
    def read(self, _size: int | None = -1, /) -> bytes:
        return None  # type: ignore[return-value]  # what a non-blocking stream does


class _Failing(io.BytesIO):
    def read(self, _size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("stream", "says"), [(_Impatient(CSV), "does not wait"), (_Failing(CSV), "Input/output error")]
)
def test_a_stream_that_fails_is_not_taken_for_one_that_ended(stream: io.BytesIO, says: str) -> None:
    """P1: no row is lost because a stream had nothing to say."""
    with pytest.raises(InputError, match=says):
        list(JobList(stream, format="csv"))


def test_a_part_of_the_rows_keeps_numbers_and_hash() -> None:
    content = CSV + b"bad,row\n3380,1574385824000\n"
    jobs = JobList(io.BytesIO(content), format="csv", rows=(2, 2))

    assert list(jobs) == [ROWS[1]]
    assert jobs.records == 4
    assert jobs.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("rows", [(0, 1), (3, 2), (-1, 5)])
def test_a_part_that_makes_no_sense_is_refused(rows: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match="--rows"):
        JobList("jobs.csv", rows=rows)


class _Long(io.BytesIO):
    """A list that is made while it is read."""

    chunks = 80
    line = b"3377,1574385824000" + b" " * 2000 + b"\n"

    def read(self, size: int | None = -1, /) -> bytes:
        head = super().read(len(CSV))
        self.chunks -= 1
        return head or (self.line * ((size or 0) // len(self.line)) if self.chunks > 0 else b"")


def test_memory_does_not_grow_with_the_file() -> None:
    """P26: the input streams."""
    jobs = JobList(_Long(CSV), format="csv", rows=(1, 10))
    tracemalloc.start()
    count = sum(1 for _ in jobs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 10
    assert peak < jobs.size / 4


def test_problems_are_told_with_file_line_column_reason_and_cure() -> None:
    """P24: what is wrong, where, and what to do."""
    content = CSV + b"3379,2024-01-05T08:00\n" + b"3380\n" + b"1e3,1\n"
    bad = [record for record in JobList(io.BytesIO(content), format="csv") if isinstance(record, BadRow)]
    lines = describe_problems("jobs.csv", bad[:2], len(bad)).splitlines()

    assert lines[0] == (
        "jobs.csv:4: triggerTime: '2024-01-05T08:00' has no UTC offset; "
        "write 2024-01-05T08:00+08:00, or pass --timezone"
    )
    assert lines[1].startswith("jobs.csv:5: the row has 1 of 2 fields; ")
    assert lines[2] == "... and 1 more"
    assert lines[3].startswith("3 rows of jobs.csv cannot be used, so nothing was sent.")
    assert "--skip-invalid" in lines[3]


def test_problems_never_carry_control_characters() -> None:
    """P27: what is told is inert."""
    content = 'flow\x20Id,triggerTime,a\n\x1b[31m,1,x\n"3\n3",1,x\n' + "9" * 1000 + ",1,x\n"
    bad = [
        record for record in JobList(io.BytesIO(content.encode()), format="csv") if isinstance(record, BadRow)
    ]
    text = describe_problems("jobs.csv", bad, len(bad))

    assert len(bad) == 3
    assert text.replace("\n", "").isprintable()
    assert len(max(text.splitlines(), key=len)) < 200


def test_the_samples_are_what_they_say() -> None:
    jobs, retrigger, bad = (JobList(SAMPLES / name) for name in ("jobs.csv", "retrigger.jsonl", "bad.csv"))

    assert sum(isinstance(record, Row) for record in jobs) == jobs.records == 40 * 168
    assert jobs.columns == ("site",)
    assert sum(isinstance(record, Row) for record in retrigger) == retrigger.records == 60
    assert [record.row for record in bad if isinstance(record, Row)] == [1]
    assert bad.records > 30


@given(st.binary(), st.sampled_from(["csv", "jsonl"]))
def test_random_bytes_raise_nothing_but_an_input_error(content: bytes, format: Format) -> None:  # noqa: A002
    """P24: never a traceback."""
    _read_safely(content, format)


@given(
    st.sampled_from([(CSV, "csv"), (JSONL, "jsonl"), (gzip.compress(CSV, mtime=0), "csv")]),
    st.lists(st.tuples(st.integers(0, 120), st.binary(max_size=4)), max_size=3),
)
def test_a_mutated_file_raises_nothing_but_an_input_error(
    file: tuple[bytes, Format], changes: list[tuple[int, bytes]]
) -> None:
    """P24: never a traceback."""
    content, format_ = file
    for at, replacement in changes:
        content = content[:at] + replacement + content[at + len(replacement) :]
    _read_safely(content, format_)


def _read_safely(content: bytes, format_: Format) -> None:
    jobs = JobList(io.BytesIO(content), format=format_)
    try:
        records = list(jobs)
    except InputError:
        return

    assert [record.row for record in records] == list(range(1, jobs.records + 1))
    assert jobs.sha256 == hashlib.sha256(content).hexdigest()
