"""What an entry of the corpus is: a file, and the verdict that it must get.

    ok(flow, ms, extra)          this row is sent with exactly these values
    bad(reason, line, column)    this row is `invalid`
    whole(line, says)            the file is refused: exit code 2, and nothing is sent

The verdicts stand in the design and the promises (P24, P25, P27); none was taken from what the code did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

T = 1574385824000  #: 2019-11-22T01:23:44Z
MINUTE = 60_000
HEAD = b"flowId,triggerTime\n"


class Good(NamedTuple):
    """A row that is to be sent."""

    flow_id: int
    trigger_time_ms: int
    extra: bytes | None  #: the other columns, as one JSON object


class Bad(NamedTuple):
    """A row that is invalid."""

    reason: str
    line: int
    column: str  #: "" for the record as a whole
    says: str  #: what message or cure must hold


class Refusal(NamedTuple):
    """A file that is refused."""

    line: int | None  #: None where the fault is in no line
    says: str


class Entry(NamedTuple):
    """One file of the corpus."""

    name: str
    format: str
    make: Callable[[], bytes]
    verdict: tuple[Good | Bad, ...] | Refusal
    blanks: int = 0
    duplicates: int = 0  #: rows that repeat the flow and UTC minute of an earlier one
    unit: str = "ms"
    zone: str | None = None

    @property
    def refusal(self) -> Refusal | None:
        return self.verdict if isinstance(self.verdict, Refusal) else None

    @property
    def rows(self) -> tuple[Good | Bad, ...]:
        return () if isinstance(self.verdict, Refusal) else self.verdict

    @property
    def is_sent(self) -> bool:
        """Whether `run` without any flag sends it."""
        return not self.refusal and not self.duplicates and all(isinstance(row, Good) for row in self.rows)

    @property
    def is_large(self) -> bool:
        return "generated" in self.name


def ok(flow_id: int = 3377, trigger_time_ms: int = T, extra: bytes | None = None) -> Good:
    return Good(flow_id, trigger_time_ms, extra)


def bad(reason: str, line: int = 2, column: str = "", says: str = "") -> Bad:
    return Bad(reason, line, column, says)


def whole(line: int | None, says: str) -> Refusal:
    return Refusal(line, says)


def csv(
    name: str,
    content: bytes | Callable[[], bytes],
    verdict: Good | Bad | Sequence[Good | Bad] | Refusal,
    **more: object,
) -> Entry:
    """An entry that is CSV; one row stands for a list of one."""
    return _entry(name, "csv", content, verdict, more)


def jsonl(
    name: str,
    content: bytes | Callable[[], bytes],
    verdict: Good | Bad | Sequence[Good | Bad] | Refusal,
    **more: object,
) -> Entry:
    """An entry that is JSON lines."""
    return _entry(name, "jsonl", content, verdict, more)


def _entry(
    name: str,
    form: str,
    content: bytes | Callable[[], bytes],
    verdict: Good | Bad | Sequence[Good | Bad] | Refusal,
    more: dict[str, object],
) -> Entry:
    make = (lambda: content) if isinstance(content, bytes) else content
    listed = (verdict,) if isinstance(verdict, Good | Bad) else verdict
    settled = listed if isinstance(listed, Refusal) else tuple(listed)
    return Entry(name, form, make, settled, **more)  # type: ignore[arg-type]  # the names are the tuple's own
