"""JSON lines: what is accepted, which line is bad, and which file is refused."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.errors import InputError
from bulk_trigger.model import BadRow, Row
from bulk_trigger.reader import JobList

T = 1574385824000


def read(text: str) -> JobList:
    return JobList(io.BytesIO(text.encode()), format="jsonl", name="jobs.jsonl")


def job(members: str = "") -> str:
    return f'{{"flowId": 3377, "triggerTime": {T}{members}}}'


@pytest.mark.parametrize(
    "line",
    [
        job(),
        f'{{"flowId":3377,"triggerTime":{T}}}',
        f'  {{ "trigger_time" : "{T}" , "FLOW-ID" : "3377" }}  ',
        '{"flow\\u0049d": "33\\u00377", "triggerTime": "2019-11-22T01:23:44Z"}',
    ],
)
def test_numbers_and_strings_are_read_exactly(line: str) -> None:
    """P25: what is sent equals the text."""
    assert list(read(f"{line}\n")) == [Row(1, 3377, T)]


def test_other_values_are_carried_along_byte_for_byte() -> None:
    values = '"a":1e400,"b":18446744073709551616,"c":{"x":[1.0,{"x":1,"x":2}]},"d":"\\u00e9","e":null'
    jobs = read(f"{job(',' + values)}\n{job()}\n")
    first, second = jobs

    assert first == Row(1, 3377, T, f"{{{values}}}".encode())
    assert second == Row(2, 3377, T)
    assert jobs.columns == ("a", "b", "c", "d", "e")
    assert jobs.header == ("flowId", "triggerTime", "a", "b", "c", "d", "e")


def test_columns_come_in_order_of_first_appearance() -> None:
    jobs = read(job(', "b": 1') + "\n" + job(', "a": 2, "b": 3') + "\n")

    assert len(list(jobs)) == 2
    assert jobs.columns == ("b", "a")


def test_blank_lines_are_counted_but_are_no_rows() -> None:
    """P1: blank lines are counted apart."""
    jobs = read(f"\n{job()}\n  \n\n{job()}\n")

    assert [(record.row) for record in jobs] == [1, 2]
    assert (jobs.records, jobs.blank_lines) == (2, 3)


@pytest.mark.parametrize(
    ("line", "reason", "says"),
    [
        ("[1, 2]", "not-an-object", "jq"),
        ("3377", "not-an-object", "3377"),
        ("null", "not-an-object", ""),
        (job() + job(), "not-json", "line of its own"),
        (job() + ",", "not-json", "line of its own"),
        (job(","), "not-json", "comma"),
        ("# comment", "not-json", "no comments"),
        ("// comment", "not-json", "no comments"),
        ("\ufeff" + job(), "not-json", "byte order mark"),
        (job(', "a": NaN'), "not-json", ""),
        (job(', "a": Infinity'), "not-json", ""),
        (job(', "a": -Infinity'), "not-json", ""),
        (job(', "a": "\\ud800"'), "not-json", ""),
        (job(', "a": "\\udc00"'), "not-json", ""),
        (job(', "a": ' + "[" * 65 + "]" * 65), "not-json", "deeper"),
        (job(', "a": ' + "[" * 100_000 + "]" * 100_000), "not-json", "deeper"),
        (f"3377,{T}", "not-an-object", "--format csv"),
        (job(f', "triggerTime": {T}'), "duplicate-key", ""),
        (job(', "flow_id": 3377'), "duplicate-key", ""),
        (job(', "a": 1, "a": 1'), "duplicate-key", ""),
        (job(', "a": {"b": ":"}, "a": "c:d"'), "duplicate-key", ""),
        (job(', "a:": 1, "\\u0061:": 1'), "duplicate-key", ""),
        ('{"flowId": 3377}', "missing-key", "no triggerTime"),
        ("{}", "missing-key", "no flowId and triggerTime"),
    ],
)
def test_a_line_that_is_not_one_object_with_both_keys_is_bad(line: str, reason: str, says: str) -> None:
    """P24: with line, reason and cure."""
    good, bad = read(f"{job()}\n{line}\n")

    assert isinstance(bad, BadRow)
    assert (bad.row, bad.line, bad.reason) == (2, 2, reason)
    assert says in f"{bad.message}; {bad.cure}"
    assert good == Row(1, 3377, T)


@pytest.mark.parametrize(
    "value",
    [
        "3377.0",
        "1e3",
        "-1",
        "0",
        "true",
        "null",
        "[3377]",
        '{"a": 3377}',
        '" 3377"',
        '"03377"',
        '""',
        "2.0E3",
        "9223372036854775808",
        "1" * 5000,
        '"٣٣٧٧"',
    ],
)
def test_a_value_in_another_than_the_canonical_form_is_refused(value: str) -> None:
    """P25: only canonical whole numbers, as number or as string."""
    flow, time = read(
        f'{{"flowId": {value}, "triggerTime": {T}}}\n{{"flowId": 3377, "triggerTime": {value}}}\n'
    )

    assert isinstance(flow, BadRow)
    assert isinstance(time, BadRow)
    assert (flow.column, time.column) == ("flowId", "triggerTime")
    assert flow.flow_id == time.trigger_time == (json.loads(value) if value.startswith('"') else value)


def test_colons_in_keys_and_values_are_not_taken_for_repeated_keys() -> None:
    extra = {"a:b": "c:d", "e": {"f:": [":", {"g": 1}]}, "h": '":"'}
    (row,) = read(job(", " + json.dumps(extra)[1:-1]) + "\n")

    assert isinstance(row, Row)
    assert json.loads(row.extra or b"") == extra


def test_nesting_up_to_the_limit_is_carried_along() -> None:
    (row,) = read(job(', "a": ' + "[" * 63 + '"[[["' + "]" * 63) + "\n")

    assert isinstance(row, Row)


@pytest.mark.parametrize("length", range(1, len(job())))
def test_a_file_cut_off_within_its_last_line_is_refused(length: int) -> None:
    """P24: the rest of a row is not a row."""
    with pytest.raises(InputError, match=r"jobs.jsonl:2: .*cut off"):
        list(read(f"{job()}\n{job()[:length]}"))


def test_a_missing_newline_alone_is_no_damage() -> None:
    assert len(list(read(f"{job()}\n{job()}"))) == 2
    assert len(list(read(f"{job()}\n[1]"))) == 2


def test_a_row_in_doubt_is_not_taken_for_a_new_one() -> None:
    """P6: a row whose outcome is unknown is not sent again as if it were new."""
    (bad,) = read(job(', "status": "unknown", "code": "timeout", "message": ""') + "\n")

    assert isinstance(bad, BadRow)
    assert (bad.reason, bad.column) == ("status-unknown", "status")


def test_what_a_failed_row_says_about_itself_is_dropped() -> None:
    jobs = read(job(', "a": 1, "status": "failed", "code": "62104", "message": "no task"') + "\n")

    assert list(jobs) == [Row(1, 3377, T, b'{"a":1}')]
    assert jobs.columns == ("a",)


def test_keys_without_end_are_refused() -> None:
    """P26: what has to be kept in memory is bounded."""
    lines = "".join(job(f', "key{number}": 1') + "\n" for number in range(11_000))
    with pytest.raises(InputError, match="different keys"):
        list(read(lines))


def test_a_line_without_end_is_refused() -> None:
    """P26: one line is bounded."""
    long = job(', "a": "' + "x" * 2_000_000 + '"')
    with pytest.raises(InputError, match=r"jobs.jsonl:2: .*1 MiB"):
        list(read(f"{job()}\n{long}\n"))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(
    st.integers(1, 2**63 - 1),
    st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1).map("x".__add__), JSON),
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.booleans(),
)
def test_what_a_json_writer_wrote_is_read_unchanged(
    flow: int, extra: dict[str, Any], separators: tuple[str, str], ascii_only: bool
) -> None:
    """P25: accepted values equal the text; the other values go through unchanged."""
    value = {"flowId": flow, **extra, "triggerTime": T}
    (row,) = read(json.dumps(value, separators=separators, ensure_ascii=ascii_only) + "\n")

    assert isinstance(row, Row)
    assert (row.flow_id, row.trigger_time_ms) == (flow, T)
    assert json.loads(row.extra or b"{}") == extra


@given(
    st.lists(st.sampled_from(["a", "b", "c:", "flowId", "status"]), max_size=6),
    st.sampled_from([1, ":", {"a": ":"}]),
)
def test_every_repeated_key_is_found(keys: list[str], value: object) -> None:
    """P25: "the last one wins" would be a silent choice."""
    members = "".join(f", {json.dumps(key)}: {json.dumps(value)}" for key in keys)
    (record,) = read(job(members) + "\n")

    assert isinstance(record, BadRow) == (len({*keys, "flowId"}) < len(keys) + 1)
