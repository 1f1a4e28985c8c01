"""What a job list says, read a second time by other means: the oracles of the fuzzers.

They share nothing with the reader: Python's own csv and json modules, whole files in memory, and integer
rules written anew. They are slow, and they explain nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
import csv
from datetime import UTC, datetime, timedelta
import io
import json
import re
from typing import Any, NamedTuple

FLOW_ID = re.compile(r"[1-9][0-9]{0,18}")
PLAIN_MS = re.compile(r"[1-9][0-9]{12}")  #: 2001 to 2286: nobody can mean anything else
ISO = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)? ?(?:Z|[+-]\d\d(?::?\d\d)?)", re.ASCII
)
TRIO = ["status", "code", "message"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


class Second(NamedTuple):
    """A record as the oracle sees it."""

    flow_id: str | None
    time: str | None
    extra: list[tuple[str, Any]]
    is_plain: bool  #: nothing about it can be in doubt: it must be accepted

    def means(self, flow_id: int, trigger_time_ms: int) -> bool:
        """Whether these are the values that stand there."""
        if self.flow_id is None or self.time is None or not FLOW_ID.fullmatch(self.flow_id):
            return False
        return int(self.flow_id) == flow_id and milliseconds(self.time) == trigger_time_ms


def milliseconds(text: str) -> int | None:
    """Epoch milliseconds of a canonical number or of ISO 8601 with an offset."""
    if re.fullmatch(r"[1-9][0-9]{0,18}", text):
        return int(text)
    if not ISO.fullmatch(text):
        return None
    digits = re.search(r"[.,](\d+)", text)
    fraction = (digits[1] if digits else "").ljust(9, "0")
    if int(fraction) % 10**6:
        return None
    whole = datetime.fromisoformat(
        re.sub(r"[.,]\d+", "", text).replace(" +", "+").replace(" -", "-").replace(" Z", "Z")
    )
    return (whole - EPOCH) // MS + int(fraction) // 10**6


def plain(name: str) -> str:
    return "".join(name.split()).replace("_", "").replace("-", "").lower()


def text_of(data: bytes) -> str:
    return data.decode("utf-8").removeprefix("\ufeff")


def csv_records(data: bytes) -> Iterator[Second | None]:
    """Every record after the header; None for a blank line. Raises what the csv module raises."""
    text = text_of(data)
    assert "\0" not in text
    csv.field_size_limit(1 << 24)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    own: list[str] = []
    for fields in reader:
        blank = not fields or (len(fields) == 1 and fields[0].isspace())
        if blank:
            yield None
        elif header is None:
            header = fields
            own = header[:-3] if header[-3:] == TRIO else header
            names = [plain(name) for name in own]
            assert (names.count("flowid"), names.count("triggertime")) == (1, 1)
            flow_at, time_at = names.index("flowid"), names.index("triggertime")
        else:
            yield _csv_record(fields, header, own, flow_at, time_at)


def _csv_record(fields: list[str], header: list[str], own: list[str], flow_at: int, time_at: int) -> Second:
    if len(fields) != len(header):
        return Second(None, None, [], is_plain=False)
    flow_id, time = fields[flow_at].strip(" \t"), fields[time_at].strip(" \t")
    extra = [(name, fields[at]) for at, name in enumerate(own) if at not in {flow_at, time_at}]
    status = (
        fields[header.index("status", len(own) if header[-3:] == TRIO else 0)] if "status" in header else ""
    )
    return Second(flow_id, time, extra, _is_plain(flow_id, time, status))


def json_records(data: bytes) -> Iterator[Second | None]:
    """Every line; None for a blank one."""
    for line in text_of(data).encode().splitlines():
        yield _json_record(line.decode()) if line.strip() else None


class Number(str):
    """A number as it is written."""

    __slots__ = ()


def _json_record(line: str) -> Second:
    nothing = Second(None, None, [], is_plain=False)
    depth = _depth(line)
    try:
        pairs = json.loads(
            line, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        return nothing
    if not isinstance(pairs, Pairs):
        return nothing
    keys = [key for key, _ in pairs]
    known = [plain(key) for key in keys]
    if len(set(keys)) < len(keys) or (known.count("flowid"), known.count("triggertime")) != (1, 1):
        return nothing
    members = dict(pairs)
    flow_id, time = (_written(members[keys[known.index(name)]]) for name in ("flowid", "triggertime"))
    dropped = set(TRIO) if keys[-3:] == TRIO else set()
    extra = [
        (key, value)
        for (key, value), name in zip(pairs, known, strict=True)
        if name not in {"flowid", "triggertime"} and key not in dropped
    ]
    status = members.get("status", "")
    harmless = depth <= 64 and not re.search(r"\\u[dD][89a-fA-F]", line)
    return Second(flow_id, time, extra, harmless and _is_plain(flow_id, time, _written(status) or ""))


class Pairs(list[tuple[str, Any]]):
    """An object as its members, in order."""


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _written(value: Any) -> str | None:
    """A number as it is written, or a string."""
    return str(value) if isinstance(value, str) else None


def _depth(line: str) -> int:
    deepest = depth = 0
    for bracket in re.sub(r'"(?:[^"\\]|\\.)*"', "", line):
        depth += (bracket in "[{") - (bracket in "]}")
        deepest = max(deepest, depth)
    return deepest


def _is_plain(flow_id: str | None, time: str | None, status: str) -> bool:
    return bool(
        flow_id
        and time
        and FLOW_ID.fullmatch(flow_id)
        and int(flow_id) < 2**63
        and PLAIN_MS.fullmatch(time)
        and status.strip().lower() != "unknown"
    )
