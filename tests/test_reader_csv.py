"""CSV: what is accepted, which row is bad, and which file is refused."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.errors import InputError
from bulk_trigger.model import BadRow, Row
from bulk_trigger.reader import JobList

T = 1574385824000
HEAD = "flowId,triggerTime\n"


def read(text: str) -> JobList:
    return JobList(io.BytesIO(text.encode()), format="csv", name="jobs.csv")


def only_bad(text: str) -> BadRow:
    (bad,) = (record for record in read(text) if isinstance(record, BadRow))
    return bad


@pytest.mark.parametrize(
    "header",
    [
        "flowId,triggerTime",
        "FLOWID,TRIGGERTIME",
        "flow_id,trigger_time",
        "flow-id,Trigger Time",
        " flowId , triggerTime ",
        '"flowId","triggerTime"',
    ],
)
def test_case_spaces_and_underscores_of_the_two_names_do_not_matter(header: str) -> None:
    assert list(read(f"{header}\n3377,{T}\n")) == [Row(1, 3377, T)]


def test_columns_may_stand_in_any_order_and_the_others_are_carried_along() -> None:
    jobs = read(f'site,trigger_time,Note,flow_id\n=x,{T},"a ""b"",\nc\u2028d",3377\n')
    (row,) = jobs

    assert isinstance(row, Row)
    assert (row.flow_id, row.trigger_time_ms) == (3377, T)
    assert list(json.loads(row.extra or b"").items()) == [("site", "=x"), ("Note", 'a "b",\nc\u2028d')]
    assert jobs.header == ("site", "trigger_time", "Note", "flow_id")
    assert jobs.columns == ("site", "Note")


def test_blank_lines_are_counted_but_are_no_rows() -> None:
    """P1: blank lines are counted apart."""
    jobs = read(f"\n{HEAD}\n1,{T}\n  \n\r\n2,{T}\n\n")

    assert list(jobs) == [Row(1, 1, T), Row(2, 2, T)]
    assert (jobs.records, jobs.blank_lines) == (2, 5)


@pytest.mark.parametrize("text", [HEAD, HEAD.strip(), f"{HEAD}\n\n"])
def test_a_header_alone_is_a_list_without_rows(text: str) -> None:
    jobs = read(text)

    assert list(jobs) == []
    assert jobs.records == 0
    assert jobs.header == ("flowId", "triggerTime")


def test_spaces_around_the_two_fields_are_taken_off() -> None:
    assert list(read(f"{HEAD} 3377\t,  {T} \n")) == [Row(1, 3377, T)]


@pytest.mark.parametrize(
    "text",
    [
        "3377.0",
        "1e3",
        "1.57E+12",
        "03377",
        "+3377",
        "3_377",
        "3 377",
        "٣٣٧٧",
        "\uff13\uff13\uff17\uff17",
        "0x1",
        "-1",
        "0",
        "",
        "null",
        "true",
        "9223372036854775808",
        "9" * 5000,
        "\u00a03377",
        "\ufeff3377",
        "²",
        "flowId",
    ],
)
def test_a_flow_id_in_another_than_the_canonical_form_is_refused(text: str) -> None:
    """P25: only `[1-9][0-9]*` within 64 bits."""
    bad = only_bad(f"{HEAD}{text},{T}\n")

    assert (bad.reason, bad.column, bad.line) == ("bad-flow-id", "flowId", 2)
    assert (bad.flow_id, bad.trigger_time) == (text, str(T))
    assert bad.cure


@pytest.mark.parametrize("number", [1, 3377, 2**31, 2**53 + 1, 2**63 - 1])
def test_a_flow_id_is_exact_up_to_64_bits(number: int) -> None:
    """P25: no detour by a float."""
    assert list(read(f"{HEAD}{number},{T}\n")) == [Row(1, number, T)]


def test_excel_damage_is_called_by_its_name() -> None:
    assert "Excel" in only_bad(f"{HEAD}1.57E+12,{T}\n").message
    assert "Excel" in only_bad(f"{HEAD}3377,1.57439E+12\n").message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("3377", "1 of 2"),
        (f"3377,{T},", "delete the empty columns"),
        (f"3377,{T},,,", "delete the empty columns"),
        (f"3377,{T},x", "quotes around the field"),
        ("# a comment", "no comments"),
    ],
)
def test_a_row_with_too_few_or_too_many_fields_is_bad(line: str, says: str) -> None:
    bad = only_bad(f"{HEAD}{line}\n1,{T}\n")

    assert (bad.row, bad.line, bad.column, bad.reason) == (1, 2, "", "ragged")
    assert says in f"{bad.message}; {bad.cure}"


def test_a_bad_row_tells_the_line_where_its_record_starts() -> None:
    bad = only_bad(f'{HEAD.strip()},note\n1,{T},"a\nb\r\nc"\n\nx,{T},"d\ne"\n')

    assert (bad.row, bad.line) == (2, 6)
    assert json.loads(bad.extra or b"") == {"note": "d\ne"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flowId;triggerTime\n1;2\n", r"delimiter is ';'"),
        ("flowId\ttriggerTime\n1\t2\n", r"delimiter is '\\t'"),
        ("flowId|triggerTime\n1|2\n", r"delimiter is '\|'"),
        (f"3377,{T}\n", "looks like data"),
        ("flowId\n1\n", "no column triggerTime; found: 'flowId'"),
        ("when,triggerTime\n", "no column flowId; found: 'when', 'triggerTime'"),
        ("a,b\n", "no column flowId and triggerTime"),
        ('{"flowId": 1, "triggerTime": 2}\n', "--format jsonl"),
        ("flowId,flow_id,triggerTime\n", "column flowId is there more than once"),
        ("flowId,triggerTime,TRIGGERTIME\n", "column triggerTime is there more than once"),
        ("flowId,triggerTime,a,a\n", "column 'a' is there more than once"),
        ("flowId,triggerTime,,\n", "column '' is there more than once"),
    ],
)
def test_a_header_that_does_not_name_the_two_columns_is_refused(text: str, says: str) -> None:
    """P24: the tool does not guess which column is which."""
    with pytest.raises(InputError, match=rf"jobs.csv:1: .*{says}"):
        list(read(text))


def test_columns_that_differ_in_case_are_two_columns() -> None:
    jobs = read(f"flowId,triggerTime,a,A\n1,{T},x,y\n")

    assert len(list(jobs)) == 1
    assert jobs.columns == ("a", "A")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (f'1,{T},ok\n2,{T},"open\n3,{T},swallowed\n', 3),
        (f'1,{T},"open', 2),
        (f'1,{T},"closed" junk\n', 2),
        (f'1,{T}, "late"\n', 2),
        (f'1,{T}, "a\n2,{T}, b"\n', 2),
        (f'1,{T},5" pipe\n2,{T},4" pipe\n', 2),
        (f'1,="{T}",x\n', 2),
        (f'1,{T},"' + "x\n" * 600_000 + '"\n', 2),
    ],
)
def test_quotes_that_cannot_be_trusted_refuse_the_file(body: str, line: int) -> None:
    """P24: a quote out of place may hide rows, or make up some."""
    with pytest.raises(InputError, match=f"jobs.csv:{line}: "):
        list(read(f"flowId,triggerTime,note\n{body}"))


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}1,{T}\n2",
        f"{HEAD}1,{T}\n2,{T // 10}",
        f"{HEAD}1,{T}\n2,{T // 1000}",
        f"{HEAD}1,{T}\n2,",
        f"{HEAD}1,2024-01-05T08:00:00+08:00\n2,2024-01-05T08:00:00+08",
        f"flowId,triggerTime,site\n1,{T},x\n2,{T}",
        f"triggerTime,flowId\n{T},3377\n{T},337",
    ],
)
def test_a_file_that_seems_cut_off_is_refused(text: str) -> None:
    """P24: a number that lost its last digits is another number."""
    with pytest.raises(InputError, match=r"jobs.csv:3: .*cut off"):
        list(read(text))
    assert len(list(read(text + "\n"))) == 2


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}1,{T}\n22,{T}",
        f"{HEAD}1,{T}",
        f"flowId,triggerTime,site\n1,{T},Berlin\n2,{T},B",
        f"{HEAD}1,2024-01-05T08:00:00+08:00\n2,2024-01-05T08:00Z\n  ",
    ],
)
def test_a_missing_newline_alone_is_no_damage(text: str) -> None:
    assert all(isinstance(row, Row) for row in read(text))


def test_a_failed_csv_can_be_fed_back() -> None:
    jobs = read(f"flow_id,triggerTime,site,status,code,message\n1,{T},x,failed,62104,no task\n")
    (row,) = jobs

    assert row == Row(1, 1, T, b'{"site":"x"}')
    assert jobs.header == ("flow_id", "triggerTime", "site")


def test_a_failed_csv_of_an_input_with_a_status_of_its_own_can_be_fed_back() -> None:
    jobs = read(f"flowId,triggerTime,status,status,code,message\n1,{T},unknown,failed,62104,no task\n")

    assert list(jobs) == [Row(1, 1, T, b'{"status":"unknown"}')]
    assert jobs.columns == ("status",)


@pytest.mark.parametrize(
    "text",
    [
        f"flowId,triggerTime,status,code,message\n1,{T},unknown,timeout,\n",
        f"row,flowId,triggerTime,status,flowInstanceId\n1,1,{T}, Unknown ,\n",
    ],
)
def test_a_row_in_doubt_is_not_taken_for_a_new_one(text: str) -> None:
    """P6: a row whose outcome is unknown is not sent again as if it were new."""
    bad = only_bad(text)

    assert (bad.reason, bad.column) == ("status-unknown", "status")
    assert "resume RUN_DIR --rerun unknown" in bad.cure


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2**63 - 1),
            st.integers(10**11, 253_402_300_799_999).filter(lambda ms: len(str(ms)) not in {12, 14}),
            st.text(st.characters(codec="utf-8", exclude_characters="\0")),
            st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        )
    ),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_a_writer_wrote_is_read_unchanged(rows: list[tuple[int, int, str, str]], ending: str) -> None:
    """P25: accepted values equal the text; the other columns go through unchanged."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=ending, quoting=csv.QUOTE_ALL)  # or it forgets a lone CR
    writer.writerow(["first", "flowId", "triggerTime", "last"])
    writer.writerows([first, flow, time, last] for flow, time, first, last in rows)

    records = list(JobList(io.BytesIO(text.getvalue().encode()), format="csv"))

    assert len(records) == len(rows)
    for number, (record, (flow, time, first, last)) in enumerate(zip(records, rows, strict=True), 1):
        assert isinstance(record, Row)
        assert (record.row, record.flow_id, record.trigger_time_ms) == (number, flow, time)
        assert json.loads(record.extra or b"") == {"first": first, "last": last}


@given(
    st.text(st.characters(codec="utf-8", exclude_characters='\0\r\n,"')),
    st.text("0123456789+-_.eE ٣\uff13", min_size=1),
)
def test_an_accepted_value_is_the_number_that_stands_there(flow: str, time: str) -> None:
    """P25: accepted means equal."""
    for record in read(f"{HEAD}{flow},{T}\n1,{time}\n"):
        if isinstance(record, Row):
            text, value = (flow, record.flow_id) if record.row == 1 else (time, record.trigger_time_ms)
            assert text.strip(" \t") == str(value)
