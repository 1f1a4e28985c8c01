"""Fuzz targets: job lists. What is accepted is what stands there, and every line is accounted for."""

from __future__ import annotations

import io
import json

from second_readers import Number, Pairs, Second, csv_records, json_records

from bulk_trigger import InputError
from bulk_trigger.model import BadRow, Row
from bulk_trigger.reader import JobList, describe_problems
from bulk_trigger.reader.job_list import Format

CSV_WORDS = (
    b"flowId", b"triggerTime", b"status", b"unknown", b"code", b"message", b"flow_id", b"1574385824000",
    b"2019-11-22T01:23:44Z", b"2019-11-22T09:23:44+08:00", b"20191122012344", b"1.5E+12", b'="1"', b"# ",
    b",,", b'","', b"\n,", "\uff13".encode(), "\u0663".encode(), b"status,code,message\n",
)  # fmt: skip
JSON_WORDS = (
    b'"flowId":', b'"triggerTime":', b'"status":"unknown"', b'"flow_id":1', b"null", b"true", b"NaN",
    b"-Infinity", b"\\u0049", b"\\ud800", b"\\n", b'"a":{"flowId":1}', b",", b"}\n{",
    b'"status":"failed","code":"1","message":""', b"1574385824000", b'"2019-11-22T01:23:44Z"', b"1e3",
    b"1.0", b"//", b"[[[[[[[[", b"]]]]]]]]", b'{"a":' * 40,
)  # fmt: skip

GOOD_CSV = (
    b"flowId,triggerTime\n3377,1574385824000\n3378,1574385824000\n3377,1574389424000\n",
    b'flowId,triggerTime,site\r\n3377,1574385824000,a\r\n3378,2019-11-22T01:23:44.5Z,"b, ""c"""\r\n',
    b'site,"trigger_time",flow-id,note\nx,1574385824000,1,"two\nlines"\n\ny,2019-11-22T09:23:44+08:00,2,\n',
    b"flowId,triggerTime,a,status,code,message\n1,1574385824000,x,failed,62104,no\n2,1574385825000,,skipped,1,\n",
    b"triggerTime,flowId\r1574385824000,9223372036854775807\r1574385825000,1\r",
)
GOOD_JSONL = (
    b'{"flowId":3377,"triggerTime":1574385824000}\n{"flowId":3378,"triggerTime":"1574385824000"}\n',
    b'{"trigger_time": "2019-11-22T01:23:44Z", "a": [1, {"b": "c:d"}], "Flow-Id": "3377", "": null}\r\n',
    b'{"flowId":1,"triggerTime":1574385824000,"a":1.50,"b":"\\u00e9\\n","c":{"x":{"y":-0}}}\n\n',
    b'{"flowId":9223372036854775807,"triggerTime":1574385824001,"status":"failed","code":"1","message":""}\n',
)


def read_csv(data: bytes) -> None:
    """F119, P24, P25: a CSV file of any bytes."""
    _compare(data, "csv")


def read_jsonl(data: bytes) -> None:
    """F119, P24, P25: JSON lines of any bytes."""
    _compare(data, "jsonl")


def _compare(data: bytes, form: Format) -> None:
    jobs = JobList(io.BytesIO(data), format=form, name="jobs")
    try:
        records = list(jobs)
    except InputError as refused:
        text = str(refused)
        assert text.startswith("jobs:")
        assert text.isprintable()
        return
    if data.startswith(b"\x1f\x8b"):
        return  # packed: what is in it was somebody else's input
    seconds = list(csv_records(data) if form == "csv" else json_records(data))
    assert jobs.blank_lines == seconds.count(None)
    said = [second for second in seconds if second is not None]
    assert [record.row for record in records] == list(range(1, len(said) + 1))
    for record, second in zip(records, said, strict=True):
        _agree(record, second)
    bad = [record for record in records if isinstance(record, BadRow)]
    assert describe_problems("jobs", bad[:20], len(bad)).replace("\n", "").isprintable()


def _agree(record: Row | BadRow, second: Second) -> None:
    if isinstance(record, BadRow):
        assert not second.is_plain, f"a good row was called bad: {record}"
        assert record.reason
        assert record.cure
        return
    assert second.means(record.flow_id, record.trigger_time_ms), f"{record} is not {second}"
    assert 0 < record.flow_id < 2**63
    carried = json.loads(record.extra or b"{}", object_pairs_hook=Pairs, parse_int=Number, parse_float=Number)
    assert list(carried) == second.extra
