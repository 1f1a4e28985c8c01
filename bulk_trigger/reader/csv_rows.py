"""CSV → rows: a strict reader that would rather refuse a file than misread it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
import csv
import io
from operator import itemgetter
import re
from typing import TYPE_CHECKING

import msgspec
import orjson

from ..errors import InputError
from .fields import Refusal, quote
from .rows import FLOW, STATUS, TIME, TRIO, Record, RowMaker, plain_name, says_unknown
from .sources import RECORD_LIMIT, Source, too_long

if TYPE_CHECKING:
    from _csv import Reader
    from collections.abc import Iterator, Sequence

    from ..model import BadRow, Row

_BLANKS = " \t"  # taken off around the two fields
_FIELD = r'(?:"(?:[^"]++|"")*+"|[^",]*+)'
_JSON_STARTS = ("{", "[")
_JSON = "this looks like JSON, not CSV; pass --format jsonl"
_STRAY_QUOTE = (
    'a quote (") stands within a field; put quotes around the whole field, and write "" for a quote in it'
)
_COLUMNS_LIMIT = 10_000  # a row with too few fields is carried along with all the columns of the header
_RECORD = re.compile(rf"{_FIELD}(?:,{_FIELD})*+")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the first record says about the others."""

    width: int  #: fields of every record
    flow_at: int
    time_at: int
    status_at: int | None  #: where a record says that it is in doubt
    own: tuple[str, ...]  #: the input's own columns, without those that `failed.csv` adds
    names: tuple[str, str]  #: the two as the file spells them
    others: tuple[str, ...]  #: the own columns without the two
    pack: Callable[[list[str]], bytes] | None  #: a record's fields → its other columns as one JSON object


class CsvRows:
    """The records of one CSV file; the attributes are complete when `read` has ended."""

    def __init__(self, source: Source, maker: RowMaker, name: str) -> None:
        self._source = source
        self._maker = maker
        self._name = name
        self.header: tuple[str, ...] = ()
        self.columns: tuple[str, ...] = ()
        self.records = 0
        self.blank_lines = 0

    def read(self) -> Iterator[Row | BadRow]:
        """Give every record. Raises `InputError` as soon as the file as a whole cannot be trusted."""
        csv.field_size_limit(max(csv.field_size_limit(), RECORD_LIMIT))
        with closing(self._source.blocks()) as blocks:
            reader = csv.reader(_whole_quotes(blocks, self._name), strict=True)
            try:
                header = self._read_header(reader)
                self.header, self.columns = header.own, header.others
                yield from self._read_records(reader, header)
            except csv.Error as error:
                raise InputError(f"{self._name}:{reader.line_num}: is not CSV: {error}") from None

    def _read_header(self, reader: Reader) -> Header:
        for fields in reader:
            if not _is_blank(fields):
                return read_header(fields, f"{self._name}:{reader.line_num}")
            self.blank_lines += 1
        raise InputError(
            f"{self._name}: is empty; a job list without jobs has at least the line flowId,triggerTime"
        )

    def _read_records(self, reader: Reader, header: Header) -> Iterator[Row | BadRow]:
        width, flow_at, time_at, status_at = header.width, header.flow_at, header.time_at, header.status_at
        quick, pack = self._maker.quick, header.pack
        before: list[str] = []
        last: list[str] = []
        row = 0
        for fields in reader:
            before = last or before
            if len(fields) != width and _is_blank(fields):
                self.blank_lines += 1
                last = []
                continue
            row += 1
            last = fields
            made: Row | BadRow | None = None
            if len(fields) == width and (status_at is None or not says_unknown(fields[status_at])):
                extra = pack(fields) if pack else None
                made = quick(row, fields[flow_at], fields[time_at], extra)
            yield made or self._careful(row, reader.line_num, fields, header)
        self.records = row
        if not self._source.ends_in_newline:
            self._refuse_cut(before, last, header, reader.line_num)

    def _careful(self, row: int, last_line: int, fields: list[str], header: Header) -> Row | BadRow:
        line = last_line - sum(len(re.findall(r"\r\n|\r|\n", field)) for field in fields)
        padded = fields + [""] * (header.width - len(fields))
        flow_id, trigger_time = (padded[at].strip(_BLANKS) for at in (header.flow_at, header.time_at))
        record = Record(row, line, flow_id, trigger_time, header.pack(padded) if header.pack else None)
        if len(fields) != header.width:
            return record.bad("", _ragged(fields, header.width))
        if header.status_at is not None and says_unknown(fields[header.status_at]):
            return record.in_doubt(STATUS)
        return self._maker.careful(record, header.names)

    def _refuse_cut(self, before: list[str], last: list[str], header: Header, line: int) -> None:
        """Refuse a file whose last record, without a line end, may be only the beginning of itself.

        That shows in missing fields, or in a last field that is shorter than the one above it, or with
        nothing above it in a time of the last century. It matters where the last field is one of the two:
        the rest of a number is another number.
        """
        cut = f"{self._name}:{line}: the file seems cut off: its last line has no newline"
        cure = "make the file again, or, if it is complete, end its last line with a newline"
        if last and len(last) < header.width:
            raise InputError(f"{cut}, and {len(last)} of {header.width} fields; {cure}")
        at = header.width - 1
        if at not in {header.flow_at, header.time_at} or len(last) != header.width:
            return
        above = before[at] if len(before) == header.width else ""
        if len(last[at]) < len(above):
            raise InputError(f"{cut}, and {quote(last[at])} is shorter than {quote(above)} above it; {cure}")
        is_usual = not last[at].isdecimal() or self._maker.quick(1, "1", last[at], None)
        if not above and at == header.time_at and not is_usual:
            raise InputError(f"{cut}, and {quote(last[at])} may begin a longer number; {cure}")


def read_header(fields: list[str], where: str) -> Header:
    """Find the columns. Raises `InputError` if the two are not there, or are there twice."""
    if len(fields) > _COLUMNS_LIMIT:
        raise InputError(
            f"{where}: the header has {len(fields)} columns; at most {_COLUMNS_LIMIT} can be carried along"
        )
    has_trio = tuple(fields[-len(TRIO) :]) == TRIO
    own = fields[: -len(TRIO)] if has_trio else fields
    plain = [plain_name(name) for name in own]
    if FLOW not in plain or TIME not in plain:
        raise InputError(f"{where}: {_header_fault(own, plain)}")
    spelled = Counter(name if key not in {FLOW, TIME} else key for name, key in zip(own, plain, strict=True))
    if twice := [name for name, times in spelled.items() if times > 1]:
        named = "flowId" if twice[0] == FLOW else "triggerTime" if twice[0] == TIME else quote(twice[0])
        raise InputError(
            f"{where}: the column {named} is there more than once; give every column its own name"
        )
    flow_at, time_at = plain.index(FLOW), plain.index(TIME)
    others = {at: name for at, name in enumerate(own) if at not in {flow_at, time_at}}
    return Header(
        width=len(fields),
        flow_at=flow_at,
        time_at=time_at,
        status_at=len(own) if has_trio else own.index(STATUS) if STATUS in own else None,
        own=tuple(own),
        names=(own[flow_at], own[time_at]),
        others=tuple(others.values()),
        pack=_packer(tuple(others.values()), tuple(others)),
    )


def _header_fault(names: list[str], plain: list[str]) -> str:
    line = ",".join(names)
    missing = " and ".join(
        shown for key, shown in ((FLOW, "flowId"), (TIME, "triggerTime")) if key not in plain
    )
    if line.lstrip().startswith(_JSON_STARTS):
        return _JSON
    if FLOW not in plain and TIME not in plain:
        for delimiter in ";\t|":
            if delimiter in line:
                return f"no header found; it looks like the delimiter is {delimiter!r}: save it with commas"
        if any(re.fullmatch(r"\s*[0-9]+\s*", name) for name in names):
            return "the first line looks like data; put the line flowId,triggerTime above it"
    found = ", ".join(quote(name) for name in names[:10])
    return f"the header has no column {missing}; found: {found}; the first line must name the columns"


def _packer(names: Sequence[str], at: Sequence[int]) -> Callable[[list[str]], bytes] | None:
    if not names:
        return None
    pick = itemgetter(*at) if len(at) > 1 else itemgetter(slice(at[0], at[0] + 1))
    dumps = orjson.dumps
    return lambda fields: dumps(dict(zip(names, pick(fields), strict=True)))


def _is_blank(fields: list[str]) -> bool:
    return not fields or (len(fields) == 1 and fields[0].isspace())


def _ragged(fields: list[str], width: int) -> Refusal:
    message = (
        f"the row has {len(fields)} of {width} fields"
        if len(fields) < width
        else (f"the row has {len(fields)} fields, the header {width}")
    )
    cure = "give it as many fields as the header; a comma within a field needs quotes around the field"
    if fields[0].lstrip().startswith("#"):
        cure = "CSV has no comments: delete the line"
    elif not any(field.strip() for field in fields[width:]) and len(fields) > width:
        cure = "the fields too many are empty: delete the empty columns on the right and export again"
    return Refusal("ragged", message, cure)


def _whole_quotes(blocks: Iterator[tuple[int, bytes]], name: str) -> Iterator[str]:
    """Give the lines, and refuse the quotes that the csv module reads somehow: left open, or within a field.

    A block without quotes passes at full speed.
    """
    parts: list[str] = []  # the lines of the record that is open
    is_open, size, start = False, 0, 0
    for first_line, data in blocks:
        lines = io.StringIO(data.decode(), newline="")  # splits at LF, CRLF and CR, and nowhere else
        if not is_open and b'"' not in data:
            yield from lines
            continue
        for number, line in enumerate(lines, first_line):
            if not is_open:
                parts, size, start = [], 0, number
            parts.append(line)
            size += len(line)
            is_open ^= line.count('"') % 2 == 1
            if size > RECORD_LIMIT:
                raise too_long(name, start)
            if not is_open and not _RECORD.fullmatch(record := "".join(parts).rstrip("\r\n")):
                fault = _JSON if record.startswith(_JSON_STARTS) else _STRAY_QUOTE
                raise InputError(f"{name}:{start}: {fault}")
            yield line
    if is_open:
        raise InputError(
            f'{name}:{start}: a quote (") is opened in this record and never closed; correct the record'
        )
