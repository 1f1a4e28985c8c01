"""Fuzz target: results of any job list and any words of a gateway; what comes out can be read back."""

from __future__ import annotations

import csv
import io
import json
import random

from fuzzed_lists import CSV_WORDS, GOOD_CSV, GOOD_JSONL, JSON_WORDS
import msgspec

from bulk_trigger import InputError, Settings
from bulk_trigger.header import Header, Input
from bulk_trigger.launch import describe
from bulk_trigger.model import BadRow, Outcome, Row, State
from bulk_trigger.reader import JobList
from bulk_trigger.reader.job_list import Format
from bulk_trigger.results import (
    COLUMNS,
    TRIO,
    CsvResults,
    JsonResults,
    RowsAgain,
    Table,
    is_failed,
    is_unknown,
)

GOOD = (
    *GOOD_CSV,
    *GOOD_JSONL,
    b'{"flowId":1,"triggerTime":1574385824000,"n":"a\\rb","m":"\\u0000\\u2028=1","":{}}\n',
)
WORDS = (*CSV_WORDS, *JSON_WORDS, b"\\r", b"\\u0000", b'"row":1', b"@x", b"flowInstanceId,", b"message,")
FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r")


def report(data: bytes) -> None:
    """F119, F120, P23, P27: results are strict CSV with inert cells, and failed rows can be fed back."""
    form: Format = "jsonl" if data.lstrip()[:1] == b"{" else "csv"
    jobs = JobList(io.BytesIO(data), format=form, name="jobs")
    try:
        records = list(jobs)
    except InputError:
        return
    if not any(isinstance(record, Row) for record in records):
        return  # nothing of it can be sent, nor fail
    dice = random.Random(data)
    outcomes = [_outcome(record, data, dice) for record in records]
    header = _header(describe(jobs), outcomes)
    _check_results(_content(CsvResults(header), outcomes), _content(JsonResults(), outcomes), outcomes)
    failed = _content(RowsAgain(header, is_failed), outcomes)
    unknown = _content(RowsAgain(header, is_unknown), outcomes)
    _check_again(failed, unknown, records, outcomes, header.input)


def _content(table: Table, outcomes: list[Outcome]) -> bytes:
    """What a file of the results would hold."""
    return table.head() + table.lines(outcomes)


def _outcome(record: Row | BadRow, data: bytes, dice: random.Random) -> Outcome:
    """How a row may have ended, told in words that the input made up."""
    start = dice.randrange(len(data))
    words = data[start : start + dice.randrange(400)].decode("utf-8", "replace")
    extra = msgspec.json.decode(record.extra, type=dict[str, msgspec.Raw]) if record.extra else {}
    bad = isinstance(record, BadRow)
    return Outcome(
        row=record.row,
        flow_id=record.flow_id,
        trigger_time_ms=record.trigger_time if isinstance(record, BadRow) else record.trigger_time_ms,
        state=State.INVALID if bad else dice.choice((State.SUCCEEDED, State.FAILED, State.UNKNOWN)),
        instance_id=words or None,
        code=dice.choice(("0", "-5", "http-500", words[:20])),
        message=words,
        sent_ms=1574385824000,
        extra=extra,
    )


def _header(described: Input, outcomes: list[Outcome]) -> Header:
    return Header(
        run="run",
        tool="1",
        sqlite="3",
        created_ms=0,
        settings=Settings(gateway="sandbox"),
        input=described,
        first_row=1,
        rows=len(outcomes),
        invalid=0,
        duplicates=0,
        flows=0,
    )


def _check_results(results: bytes, lines: bytes, outcomes: list[Outcome]) -> None:
    table = _table(results)
    assert len(table) == len(outcomes) + 1
    head, *rows = table
    assert head[: len(COLUMNS)] == list(COLUMNS)
    assert len(set(head)) == len(head)
    for cells, outcome in zip(rows, outcomes, strict=True):
        ours = dict(zip(COLUMNS, cells, strict=False))
        assert (ours["row"], ours["status"]) == (str(outcome.row), outcome.state.value)
        for name in ("flowInstanceId", "message"):
            assert ours[name].isprintable()
            assert not ours[name].startswith(FORMULAS)
    objects = [json.loads(line) for line in lines.splitlines()]
    assert [each["row"] for each in objects] == [outcome.row for outcome in outcomes]


def _check_again(
    failed: bytes, unknown: bytes, records: list[Row | BadRow], outcomes: list[Outcome], source: Input
) -> None:
    wanted = [
        record for record, outcome in zip(records, outcomes, strict=True) if outcome.state is State.FAILED
    ]
    again = list(JobList(io.BytesIO(failed), format="csv"))
    assert len(again) == len(wanted)
    for back, row in zip(again, wanted, strict=True):
        assert isinstance(back, Row), back
        assert isinstance(row, Row)
        assert (back.flow_id, back.trigger_time_ms) == (row.flow_id, row.trigger_time_ms)
        assert json.loads(back.extra or b"{}") == _as_cells(row, source)
    doubts = [outcome for outcome in outcomes if outcome.state is State.UNKNOWN]
    refused = list(JobList(io.BytesIO(unknown), format="csv"))
    assert [record.reason for record in refused if isinstance(record, BadRow)] == ["status-unknown"] * len(
        doubts
    )
    assert len(refused) == len(doubts)


def _as_cells(row: Row, source: Input) -> dict[str, str]:
    """A row's other columns as the cells of a CSV file."""
    values = msgspec.json.decode(row.extra, type=dict[str, msgspec.Raw]) if row.extra else {}
    texts = {}
    for name in source.extra_columns:
        if name not in TRIO:
            raw = bytes(values.get(name, b""))
            text = json.loads(raw) if raw.startswith(b'"') else raw.decode()
            texts[_without_nul(name)] = _without_nul(text)
    return texts


def _without_nul(text: str) -> str:
    """No CSV file may hold a NUL, ours included."""
    return text.replace("\0", "\\u0000")


def _table(content: bytes) -> list[list[str]]:
    csv.field_size_limit(1 << 24)
    return list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
