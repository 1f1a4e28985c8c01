"""Job lists that come from Python instead of a file: the same checks, and the same face as `JobList`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
import hashlib
from typing import Any

import msgspec

from ..model import BadRow, Row
from .rows import Record, RowMaker
from .times import Times

JobTuple = tuple[int, int] | tuple[int, int, Mapping[str, Any]]


class JobTuples:
    """Gives tuples (flow ID, trigger time in epoch milliseconds[, other columns]) as rows, streaming."""

    name = "<jobs>"
    format = "jsonl"
    flow_column = "flowId"
    time_column = "triggerTime"

    def __init__(self, jobs: Iterable[JobTuple]) -> None:
        self._jobs = jobs
        self._maker = RowMaker(Times(unit="ms", timezone=None))
        self._hash = hashlib.sha256()
        self._columns: dict[str, None] = {}
        self.size = 0

    def __iter__(self) -> Iterator[Row | BadRow]:
        for row, (flow_id, time_ms, *rest) in enumerate(self._jobs, 1):
            extra = msgspec.json.encode(rest[0]) if rest and rest[0] else None
            self._columns.update(dict.fromkeys(rest[0]) if rest else {})
            line = b"%s %s %s\n" % (str(flow_id).encode(), str(time_ms).encode(), extra or b"")
            self._hash.update(line)
            self.size += len(line)
            texts = (str(flow_id), str(time_ms))
            yield self._maker.quick(row, *texts, extra) or self._maker.careful(
                Record(row, row, *texts, extra), (self.flow_column, self.time_column)
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The other columns, in order of first appearance."""
        return tuple(self._columns)

    @property
    def header(self) -> tuple[str, ...]:
        """All columns."""
        return (self.flow_column, self.time_column, *self._columns)

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the jobs."""
        return self._hash.hexdigest()
