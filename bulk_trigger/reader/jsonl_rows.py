"""JSON lines → rows: one object per line, the values of the other keys carried along byte for byte."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
import json
import re
from typing import TYPE_CHECKING

import msgspec

from ..errors import InputError
from .fields import Refusal, quote
from .rows import FLOW, STATUS, TIME, TRIO, Record, RowMaker, plain_name, says_unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..model import BadRow, Row
    from .sources import Source

_DEPTH_LIMIT = (
    64  # of arrays and objects in each other; more would be refused by the one or other JSON reader
)
_KEYS_LIMIT = 10_000  # different keys of a whole file: they are kept in memory
_KEYS_SIZE = 2**20  # characters of all of them
_LAYOUTS_SIZE = 2**22  # bytes, about, of the sequences of keys that are remembered
_KEY_SIZE = 64  # bytes of a key besides its characters
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_ONE_OBJECT = "write one JSON object per line; if the file is CSV, pass --format csv"
_NO_ARRAY = "write one JSON object per line; `jq -c '.[]'` does it to an array"
_CURES = (  # (how the line or the message may start, the cure)
    (b"\xef\xbb\xbf", "delete the byte order mark; were two files joined?"),
    (b"#", "JSON has no comments: delete the line"),
    (b"//", "JSON has no comments: delete the line"),
    (b"trailing comma", "delete the comma after the last value"),
    (b"trailing characters", "write every object on a line of its own"),
)
_TOO_DEEP = Refusal("not-json", f"nested deeper than {_DEPTH_LIMIT} levels", "make the values flatter")
_REPEATED = Refusal("duplicate-key", "the key is there more than once", "keep the one that is meant")


class Layout(msgspec.Struct, frozen=True):
    """What one sequence of keys means."""

    flow: str | None
    time: str | None
    repeated: str | None  #: a key that means the same as another one
    added: tuple[str, ...]  #: the keys that `failed.csv` adds
    has_status: bool


class JsonlRows:
    """The records of one file of JSON lines; the attributes are complete when `read` has ended."""

    def __init__(self, source: Source, maker: RowMaker, name: str) -> None:
        self._source = source
        self._maker = maker
        self._name = name
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._layouts_size = 0
        self._keys: dict[str, None] = {}  # in order of first appearance
        self._keys_size = 0
        self.records = 0
        self.blank_lines = 0

    @property
    def header(self) -> tuple[str, ...]:
        """All keys, in order of first appearance."""
        return tuple(self._keys)

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys without the two that make a job."""
        return tuple(key for key in self._keys if plain_name(key) not in {FLOW, TIME})

    def read(self) -> Iterator[Row | BadRow]:
        """Give every record. Raises `InputError` as soon as the file as a whole cannot be trusted."""
        row, at, line = 0, 0, b""
        with closing(self._source.blocks()) as blocks:
            for first_line, data in blocks:
                for at, line in enumerate(data.splitlines(), first_line):  # bytes: at LF, CRLF and CR only
                    if not line or line.isspace():
                        self.blank_lines += 1
                        continue
                    row += 1
                    yield self._read_line(row, at, line)
        self.records = row
        if not row:
            raise InputError(f"{self._name}: is empty; a job list has one JSON object per line")
        if not self._source.ends_in_newline and line.strip() and not _is_json(line):
            raise InputError(
                f"{self._name}:{at}: the file is cut off within its last line; make the file again"
            )

    def _read_line(self, row: int, at: int, line: bytes) -> Row | BadRow:
        try:
            members = self._decode(line)
        except RecursionError:
            return Record(row, at, "", "").bad("", _TOO_DEEP)
        except msgspec.DecodeError as error:
            return Record(row, at, "", "").bad("", _not_json(line, error))
        if line.count(b"[") + line.count(b"{") > _DEPTH_LIMIT and _depth(line) > _DEPTH_LIMIT:
            return Record(row, at, "", "").bad("", _TOO_DEEP)
        return self._read_members(row, at, line, members)

    def _read_members(self, row: int, at: int, line: bytes, members: dict[str, msgspec.Raw]) -> Row | BadRow:
        keys = tuple(members)
        layout = self._layouts.get(keys) or self._learn(keys, at)
        repeated = layout.repeated
        if line.count(b":") != len(keys):  # a repeated key brings one more, but so does a time of day
            repeated = _repeated_key(line, members) if repeated is None else repeated
        in_doubt = layout.has_status and says_unknown(_text(members[STATUS]))
        flow_id = _text(members.pop(layout.flow)) if layout.flow else ""
        trigger_time = _text(members.pop(layout.time)) if layout.time else ""
        for key in layout.added:
            del members[key]
        extra = self._encode(members) if members else None
        if layout.flow and layout.time and repeated is None and not in_doubt:
            return self._maker.quick(row, flow_id, trigger_time, extra) or self._maker.careful(
                Record(row, at, flow_id, trigger_time, extra), (layout.flow, layout.time)
            )
        record = Record(row, at, flow_id, trigger_time, extra)
        if repeated is not None:  # it may be the empty key
            return record.bad(repeated, _REPEATED)
        return record.in_doubt(STATUS) if in_doubt else record.bad("", _missing(layout))

    def _learn(self, keys: tuple[str, ...], at: int) -> Layout:
        layout = read_keys(keys)
        size = sum(len(key) + _KEY_SIZE for key in keys)
        if self._layouts_size + size <= _LAYOUTS_SIZE:
            self._layouts[keys] = layout
            self._layouts_size += size
        for key in keys:
            if key not in self._keys and key not in layout.added:
                self._keys[key] = None
                self._keys_size += len(key)
        if len(self._keys) > _KEYS_LIMIT or self._keys_size > _KEYS_SIZE:
            raise InputError(
                f"{self._name}:{at}: the file has too many different keys (more than {_KEYS_LIMIT}, or "
                f"{_KEYS_SIZE} characters of them); put what varies into the values"
            )
        return layout


def read_keys(keys: tuple[str, ...]) -> Layout:
    """Find out what an object's keys mean."""
    added = TRIO if keys[-len(TRIO) :] == TRIO else ()
    plain: dict[str, str] = {}
    repeated = None
    for key in keys:
        if (name := plain_name(key)) in {FLOW, TIME} and plain.setdefault(name, key) != key:
            repeated = key
    return Layout(
        flow=plain.get(FLOW), time=plain.get(TIME), repeated=repeated, added=added, has_status=STATUS in keys
    )


def _text(value: msgspec.Raw) -> str:
    """A string's text, or any other value as it is written."""
    text = str(value, "utf-8")
    return msgspec.json.decode(value, type=str) if text.startswith('"') else text


def _repeated_key(line: bytes, members: dict[str, msgspec.Raw]) -> str | None:
    """A key that the object has twice; the decoder keeps its last value only.

    Every member has one colon outside its key and value, so colons tell how many members there are.
    """
    colons = line.count(b":") - sum(bytes(value).count(b":") for value in members.values())
    if colons == len(members):
        return None
    names: list[str] = []  # the outermost object is the last that the hook sees

    def note(pairs: list[tuple[str, object]]) -> None:
        names[:] = [name for name, _ in pairs]

    json.loads(line, object_pairs_hook=note, parse_int=str, parse_float=str)
    return next((name for name, times in Counter(names).items() if times > 1), None)


def _depth(line: bytes) -> int:
    """How deep arrays and objects stand in each other."""
    deepest = depth = 0
    for bracket in re.findall(rb"[\[\]{}]", _STRING.sub(b"", line)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _missing(layout: Layout) -> Refusal:
    names = " and ".join(
        name for name, key in (("flowId", layout.flow), ("triggerTime", layout.time)) if not key
    )
    return Refusal("missing-key", f"the object has no {names}", f"give it the key {names}")


def _not_json(line: bytes, error: msgspec.DecodeError) -> Refusal:
    if isinstance(error, msgspec.ValidationError):
        cure = _NO_ARRAY if line.lstrip().startswith(b"[") else _ONE_OBJECT
        return Refusal("not-an-object", f"{quote(line.decode())} is not an object", cure)
    fault = str(error).removeprefix("JSON is malformed: ")
    cures = (cure for mark, cure in _CURES if line.startswith(mark) or fault.startswith(mark.decode()))
    return Refusal("not-json", f"{quote(line.decode())} is not JSON: {fault}", next(cures, _ONE_OBJECT))
