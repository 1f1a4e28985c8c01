"""The files that people get: complete, inert, and the same each time."""

from collections.abc import Iterator
import csv
from datetime import UTC, datetime
import io
from itertools import islice
import json
import os
from pathlib import Path
import stat

from hypothesis import example, given
from hypothesis import strategies as st
from journals import MINUTE, T0, bad_row, create, intent, job_rows, step, success
import msgspec
import pytest

from bulk_trigger.cells import carried_cell, clean, code_cell, iso_time
from bulk_trigger.csv_text import csv_lines
from bulk_trigger.errors import SettingsError
from bulk_trigger.files import WholeFile, check_target, write_progress
from bulk_trigger.journal import Journal
from bulk_trigger.model import BadRow, Job, Outcome, Row, State
from bulk_trigger.results import COLUMNS, _cells, _success, result_lines, write_results
from bulk_trigger.settings import Durability
from bulk_trigger.summary import summarise, write_summary

INPUT_COLUMNS = ("note", "Flow_ID", "status", "TRIGGERTIME", "row")


def finished(directory: Path, **changes: object) -> Journal:
    """Six rows: succeeded, failed, invalid, unknown, skipped (stopped), skipped (exists)."""
    rows: list[Row | BadRow] = [
        Row(1, 7, T0, b'{"note":"=1+1, \\"x\\"","status":"failed","row":1.10}'),
        Row(2, 8, T0, b'{"note":"caf\xc3\xa9","row":null}'),
        bad_row(3),
        Row(4, 9, T0 + MINUTE, b'{"row":{"a":[1, 2]}}'),
        Row(5, 8, T0 + 5 * MINUTE),
        Row(6, 10, T0),
    ]
    journal = create(directory, rows, columns=INPUT_COLUMNS, skip_invalid=True, **changes)
    facts = journal.header.input
    journal.header = msgspec.structs.replace(
        journal.header, input=msgspec.structs.replace(facts, flow_column="Flow_ID", time_column="TRIGGERTIME")
    )
    journal.write([intent(1), intent(2), intent(4)], [step(6, State.SKIPPED, code="exists", attempt=0)])
    journal.write(
        [],
        [
            success(1, instance_id="7-202311142213", sent_ms=T0 + 5, latency_ms=12.34),
            step(2, State.FAILED, code="62104", message="=cmd|' /C calc'!A0\n\x1b[31m", sent_ms=T0),
            step(4, State.UNKNOWN, code="timeout", message="no reply", sent_ms=T0),
        ],
    )
    journal.skip_rest(Job(0, 8, 0), T0, "62104", "the flow has no task")
    return journal


def write(journal: Journal, directory: Path) -> dict[str, bytes]:
    places = {
        name: directory / name for name in ("results.csv", "results.jsonl", "failed.csv", "unknown.csv")
    }
    write_results(
        journal.outcomes(),
        journal.header,
        [places["results.csv"], places["results.jsonl"]],
        failed=places["failed.csv"],
        unknown=places["unknown.csv"],
    )
    return {name: path.read_bytes() for name, path in places.items()}


def table(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    journal = finished(tmp_path)
    try:
        return write(journal, tmp_path)
    finally:
        journal.close()


def test_the_results_hold_every_row_in_input_order(files: dict[str, bytes]) -> None:
    """P1, P23."""
    head, *rows = table(files["results.csv"])

    assert tuple(head) == (*COLUMNS, "note", "input.status", "input.row")
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row[3] for row in rows] == ["succeeded", "failed", "invalid", "unknown", "skipped", "skipped"]
    assert rows[0] == [
        *["1", "7", str(T0), "succeeded", "7-202311142213", "0", "", "1", "reply", ""],
        *["2023-11-14T22:13:20.005Z", "2023-11-14T22:13:21.001Z", "12.3", '=1+1, "x"', "failed", "1.10"],
    ]


def test_invalid_rows_keep_their_raw_text(files: dict[str, bytes]) -> None:
    """P24."""
    row = table(files["results.csv"])[3]

    assert row[:6] == ["3", "x", "1700000000000", "invalid", "", "not-a-number"]
    assert row[-3:] == ["kept", "", ""]


def test_text_of_the_gateway_is_inert_and_text_of_the_user_unchanged(files: dict[str, bytes]) -> None:
    """P27."""
    row = table(files["results.csv"])[2]

    assert row[6] == "'=cmd|' /C calc'!A0 [31m"
    assert b"\x1b" not in files["results.csv"] + files["results.jsonl"] + files["failed.csv"]
    assert table(files["results.csv"])[1][13] == '=1+1, "x"'


@given(
    st.builds(
        Outcome,
        row=st.integers(1, 10**7),
        flow_id=st.integers(1, 2**63),
        trigger_time_ms=st.integers(0, 10**13),
        state=st.sampled_from([State.SUCCEEDED, State.FAILED]),
        instance_id=st.sampled_from(
            ["7-20240101000000", "-7", "", "7,8", '"7"', "7\n", "=7", "7" * 101, None]
        ),
        code=st.sampled_from(["", "0", "-1"]),
        message=st.sampled_from(["", "x"]),
        attempts=st.integers(0, 9),
        via=st.sampled_from(["reply", "reconciled", ""]),
        flags=st.sampled_from(["", "dup_risk anomaly"]),
        sent_ms=st.none() | st.integers(0, 10**13),
        settled_ms=st.none() | st.integers(0, 10**13),
        latency_ms=st.none() | st.floats(0, 1e7),
    )
)
def test_the_short_way_to_a_line_gives_the_same_line(outcome: Outcome) -> None:
    assert (_success(outcome) or csv_lines([_cells(outcome)])) == csv_lines([_cells(outcome)])


def test_jsonl_has_the_same_keys_and_the_raw_values_of_the_input(files: dict[str, bytes]) -> None:
    lines = files["results.jsonl"].splitlines()
    first, _, third, fourth, *_ = (json.loads(line, parse_float=str) for line in lines)

    assert tuple(first) == (*COLUMNS, "note", "input.status", "input.row")
    assert b'"input.row":1.10' in lines[0]
    assert (first["flowId"], first["latencyMs"], first["sentAt"]) == (7, "12.3", "2023-11-14T22:13:20.005Z")
    assert (third["flowId"], third["flowInstanceId"]) == ("x", None)
    assert fourth["input.row"] == {"a": [1, 2]}


def test_failed_rows_are_a_job_list_in_the_words_of_the_input(files: dict[str, bytes]) -> None:
    """The rows that exist already are not in it, nor those in doubt."""
    head, *rows = table(files["failed.csv"])

    assert head == ["note", "Flow_ID", "TRIGGERTIME", "row", "status", "code", "message"]
    assert rows == [
        ["café", "8", str(T0), "null", "failed", "62104", "'=cmd|' /C calc'!A0 [31m"],
        ["", "8", str(T0 + 5 * MINUTE), "", "skipped", "62104", "the flow has no task"],
    ]


def test_rows_in_doubt_have_a_file_of_their_own(files: dict[str, bytes]) -> None:
    """P6: a doubtful row must not come back to `run` as a failed one."""
    _, *rows = table(files["unknown.csv"])

    assert rows == [["", "9", str(T0 + MINUTE), '{"a":[1, 2]}', "unknown", "timeout", "no reply"]]


def test_times_of_rows_to_run_again_are_read_the_same_with_and_without_flags(tmp_path: Path) -> None:
    """P25: the unit of a time is never guessed."""
    journal = finished(tmp_path, time_unit="s")

    rows = table(write(journal, tmp_path)["failed.csv"])[1:]

    assert [row[2] for row in rows] == ["2023-11-14T22:13:20.000Z", "2023-11-14T22:18:20.000Z"]
    journal.close()


def test_everything_written_again_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    """P23."""
    journal = finished(tmp_path)
    first = write(journal, tmp_path)
    summary = msgspec.json.encode(summarise(journal.header, journal.totals()))
    journal.close()

    journal = Journal.read(tmp_path / "journal.db")
    facts = journal.header.input
    journal.header = msgspec.structs.replace(
        journal.header, input=msgspec.structs.replace(facts, flow_column="Flow_ID", time_column="TRIGGERTIME")
    )

    assert write(journal, tmp_path) == first
    assert msgspec.json.encode(summarise(journal.header, journal.totals())) == summary
    assert b"".join(result_lines(journal.outcomes())) == first["results.jsonl"]
    journal.close()


def test_the_summary_adds_up(tmp_path: Path) -> None:
    """P5."""
    journal = finished(tmp_path)
    journal.note("stop", "drained")

    summary = summarise(journal.header, journal.totals())
    write_summary(tmp_path / "summary.json", summary)

    assert sum(summary["counts"].values()) == summary["rows"] == 6
    assert (summary["sends"], summary["retries"], summary["notes"]) == (3, 0, {"stop": "drained"})
    assert summary["endings"][0] == {
        "status": "failed",
        "code": "62104",
        "rows": 1,
        "message": "=cmd|' /C calc'!A0 [31m",
    }
    assert summary["startedAt"] == "2023-11-14T22:13:20.000Z"
    assert summary["durability"] == "power"
    assert json.loads((tmp_path / "summary.json").read_bytes()) == summary
    journal.close()


def test_a_run_that_a_power_cut_may_have_touched_says_so(tmp_path: Path) -> None:
    journal = create(tmp_path, job_rows(1), durability=Durability.PROCESS)

    assert "not a power cut" in summarise(journal.header, journal.totals())["durabilityNote"]
    journal.close()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("", ""),
        ("plain", "plain"),
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'=1"),
        ("\r\n@x", "'@x"),
        ("＝1", "'＝1"),  # noqa: RUF001 - spreadsheets take the wide ones too
        ("a\x00b\x1b[0m\x7f", "ab[0m"),
        ("two\nlines\u2028three", "two lines three"),
        ("\u202etxt.exe", "txt.exe"),
        ("\ud800", ""),
        ("x" * 400, "x" * 300),
        ("1 = 1", "1 = 1"),
    ],
)
def test_text_of_the_gateway_becomes_one_harmless_line(text: str, cell: str) -> None:
    """P27."""
    assert clean(text, cell=True) == cell


@given(st.text())
@example("\x85=\x1c")
def test_no_text_gets_through_that_a_spreadsheet_or_a_terminal_would_run(text: str) -> None:
    """P27, P30."""
    cell = clean(text, cell=True)

    assert cell.isprintable()
    assert not cell.startswith(("=", "+", "-", "@"))
    assert len(cell) <= 301
    cell.encode()


@pytest.mark.parametrize(
    ("code", "cell"), [("62109", "62109"), ("-1", "-1"), ("-1+1", "'-1+1"), ("http-500", "http-500")]
)
def test_a_negative_service_code_stays_a_number(code: str, cell: str) -> None:
    assert code_cell(code) == cell


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        ("text", "text"),
        (msgspec.Raw(b'"text"'), "text"),
        (msgspec.Raw(b'{"a":  [1, 2]}'), '{"a":  [1, 2]}'),
        (7, "7"),
        (True, "true"),
        (["a", None], '["a",null]'),
    ],
)
def test_a_carried_value_is_its_own_text_or_json(value: object, cell: str) -> None:
    assert carried_cell(value) == cell


@given(st.integers(0, 4_102_444_800_000))
@example(999)
def test_times_are_utc_with_milliseconds(ms: int) -> None:
    assert datetime.fromisoformat(iso_time(ms)) == datetime.fromtimestamp(ms // 1000, UTC).replace(
        microsecond=ms % 1000 * 1000
    )
    assert len(iso_time(ms)) == 24


def test_a_file_that_was_not_finished_leaves_what_was_there(tmp_path: Path) -> None:
    """P23: whole or absent."""
    path = tmp_path / "results.csv"
    path.write_text("old")

    def tear() -> None:
        with WholeFile(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        tear()

    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.csv"]


def test_when_one_file_fails_none_is_replaced(tmp_path: Path) -> None:
    """P23."""
    journal = finished(tmp_path)

    def torn() -> Iterator[Outcome]:
        yield from islice(journal.outcomes(), 3)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_results(
            torn(), journal.header, [tmp_path / "a.csv", tmp_path / "b.jsonl"], failed=tmp_path / "c.csv"
        )
    assert not {"a.csv", "b.jsonl", "c.csv"} & {entry.name for entry in tmp_path.iterdir()}
    journal.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_while_writing_results_is_an_error(tmp_path: Path) -> None:
    """F85, P23."""
    """P23: the write, and not only the close, has to be looked at."""
    file = WholeFile(tmp_path / "results.csv")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file._file.fileno())
    os.close(full)
    file.write(b"x")

    with pytest.raises(OSError, match="No space left"), file:
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """P27, F121: nobody's file is overwritten through a link."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "results.csv").symlink_to(victim)

    with WholeFile(tmp_path / "results.csv") as file:
        file.write(b"new")
    write_progress(tmp_path / "progress.json", {"rows": 1})

    assert victim.read_text() == "mine"
    assert not (tmp_path / "results.csv").is_symlink()
    assert stat.S_IMODE((tmp_path / "results.csv").stat().st_mode) == 0o600
    assert json.loads((tmp_path / "progress.json").read_bytes()) == {"rows": 1}


def test_a_place_where_no_file_can_go_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("")
    os.mkfifo(tmp_path / "pipe")
    check_target(tmp_path / "new.csv", force=False)
    check_target(tmp_path / "there.csv", force=True)

    for name, force, complaint in (
        ("there.csv", False, "say --force"),
        ("pipe", True, "not a regular file"),
        (".", True, "not a regular file"),
        ("none/new.csv", True, "there is no directory"),
        ("there.csv/new.csv", True, "Not a directory"),
    ):
        with pytest.raises(SettingsError, match=complaint):
            check_target(tmp_path / name, force=force)
