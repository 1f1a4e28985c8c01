"""A job list → rows, streaming.

What cannot become a job is a `BadRow`; a file that cannot be trusted as a whole is an `InputError`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from ..errors import InputError, SettingsError
from .csv_rows import CsvRows
from .jsonl_rows import JsonlRows
from .rows import FLOW, TIME, RowMaker, plain_name
from .sources import Source
from .times import Times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..model import BadRow, Row

Format = Literal["csv", "jsonl"]

STDIN = "<stdin>"
_FORMATS: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class JobList:
    """Reads a job list once, streaming, in constant memory.

    `source` is a path, or a stream of bytes; gzip is recognised. `name` stands for it in messages.
    `rows` restricts what is given to the data records from the first to the second number, both included;
    the whole file is read and checked all the same. All attributes are complete when the iteration has ended.

    Raises `SettingsError` for arguments that make no sense, and `InputError`, from the start or at any point
    of the iteration, for a file that is damaged as a whole: then nothing of it may be used.
    """

    def __init__(  # noqa: PLR0913 - each is an option of the command line
        self,
        source: str | Path | BinaryIO,
        *,
        name: str | None = None,
        format: Format | None = None,  # noqa: A002 - the option's own word
        timezone: str | None = None,
        time_unit: str = "ms",
        rows: tuple[int, int] | None = None,
    ) -> None:
        if rows is not None and not 1 <= rows[0] <= rows[1]:
            raise SettingsError(
                f"--rows {rows[0]}-{rows[1]}: the first row is 1, and the last is not before it"
            )
        self.name = name or (str(source) if isinstance(source, str | Path) else STDIN)
        self.format: Format = format or _format_of(self.name)
        self._rows = rows
        self._source = Source(source, self.name)
        kind = CsvRows if self.format == "csv" else JsonlRows
        self._records: CsvRows | JsonlRows = kind(
            self._source, RowMaker(Times(unit=time_unit, timezone=timezone)), self.name
        )

    def __iter__(self) -> Iterator[Row | BadRow]:
        if self._rows is None:
            return self._records.read()
        first, last = self._rows
        return (record for record in self._records.read() if first <= record.row <= last)

    @property
    def header(self) -> tuple[str, ...]:
        """The input's own column names, in order, without `status,code,message` of a `failed.csv`."""
        return self._records.header

    @property
    def columns(self) -> tuple[str, ...]:
        """The other columns: `header` without flowId and triggerTime."""
        return self._records.columns

    @property
    def flow_column(self) -> str:
        """The column of the flow, as the input spells it first."""
        return next((name for name in self.header if plain_name(name) == FLOW), "flowId")

    @property
    def time_column(self) -> str:
        """The column of the trigger time, as the input spells it first."""
        return next((name for name in self.header if plain_name(name) == TIME), "triggerTime")

    @property
    def records(self) -> int:
        """How many data records the whole file has; blank lines are not records."""
        return self._records.records

    @property
    def blank_lines(self) -> int:
        """How many blank lines were skipped."""
        return self._records.blank_lines

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the source as stored (packed, if it is gzip)."""
        return self._source.sha256

    @property
    def size(self) -> int:
        """Bytes of the source as stored."""
        return self._source.size


def describe_problems(name: str, problems: Sequence[BadRow], total: int) -> str:
    """What to tell the user about bad rows: the first ones each on a line, then the count of all."""
    lines = [_describe(name, problem) for problem in problems]
    if total > len(problems):
        lines.append(f"... and {total - len(problems)} more")
    rows, others = ("row", "it") if total == 1 else ("rows", "them")
    lines.append(
        f"{total} {rows} of {name} cannot be used, so nothing was sent. Correct {others}, or pass "
        f"--skip-invalid to send the other rows and report {others} as invalid."
    )
    return "\n".join(lines)


def _describe(name: str, problem: BadRow) -> str:
    column = problem.column if problem.column.isprintable() else repr(problem.column)
    place = f"{name}:{problem.line}: {column}: " if column else f"{name}:{problem.line}: "
    return f"{place}{problem.message}; {problem.cure}"


def _format_of(name: str) -> Format:
    """Tell the format by the ending. Raises `InputError` with the cure."""
    path = Path(name)
    ending = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    if ending.lower() not in _FORMATS:
        raise InputError(
            f"{name}: the format cannot be told by the name; pass --format csv or --format jsonl"
        )
    return _FORMATS[ending.lower()]
