"""One record's two fields → `Row`, or `BadRow` with reason and cure; the same for every format."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from ..model import BadRow, Row, State
from .fields import INT64_MAX, Refusal, read_flow_id

if TYPE_CHECKING:
    from .times import Times

FLOW, TIME = "flowid", "triggertime"  #: the two names in the form of `plain_name`
STATUS = "status"
TRIO = (STATUS, "code", "message")  #: the columns that `failed.csv` has after the input's own
_IN_DOUBT = Refusal(
    "status-unknown",
    "'unknown': it may have been triggered already",
    "settle it with `bulk-trigger resume RUN_DIR --rerun unknown`; it is looked up first",
)


def plain_name(name: str) -> str:
    """A column's name without case, underscores, dashes and spaces."""
    return re.sub(r"[\s_-]", "", name).lower()


def says_unknown(status: str) -> bool:
    """Whether a row's status says that it may have been triggered already."""
    return status.strip().lower() == State.UNKNOWN


class Record(msgspec.Struct, frozen=True, gc=False):
    """Where a record stands, and its texts as they are in the file."""

    row: int
    line: int
    flow_id: str
    trigger_time: str
    extra: bytes | None = None

    def bad(self, column: str, refusal: Refusal) -> BadRow:
        """The record as a bad row, for a fault in `column` ("" for the whole record)."""
        return BadRow(
            row=self.row,
            line=self.line,
            column=column,
            reason=refusal.reason,
            message=refusal.message,
            cure=refusal.cure,
            flow_id=self.flow_id,
            trigger_time=self.trigger_time,
            extra=self.extra,
        )

    def in_doubt(self, column: str) -> BadRow:
        """The record as a bad row, because its status says that it may have been triggered."""
        return self.bad(column, _IN_DOUBT)


class RowMaker:
    """Makes rows of the texts of the two fields."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._low, self._high = times.usual_low, times.usual_high
        self._factor, self._divisor = times.factor, times.divisor

    def quick(self, row: int, flow_id: str, trigger_time: str, extra: bytes | None) -> Row | None:
        """The row, if both texts are the usual plain numbers; else None, and `careful` decides.

        A number is canonical if it is written back as the same text.
        """
        try:
            flow, time = int(flow_id), int(trigger_time)
        except ValueError:
            return None
        if (
            0 < flow <= INT64_MAX
            and self._low <= time < self._high
            and time % self._divisor == 0
            and str(flow) == flow_id
            and str(time) == trigger_time
        ):
            return Row(row, flow, time * self._factor // self._divisor, extra)
        return None

    def careful(self, record: Record, columns: tuple[str, str]) -> Row | BadRow:
        """The row, or the first thing that is wrong with it; `columns` are the file's names of the two."""
        if isinstance(flow_id := read_flow_id(record.flow_id), Refusal):
            return record.bad(columns[0], flow_id)
        if isinstance(trigger_time := self._times.read(record.trigger_time), Refusal):
            return record.bad(columns[1], trigger_time)
        return Row(record.row, flow_id, trigger_time, record.extra)
