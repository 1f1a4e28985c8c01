"""Outcomes → the files that people get: results, failed rows, rows in doubt. One pass, whole or absent.

Nothing here reads a clock, so a file that is written again is the same, byte for byte.

CSV and JSONL have the same columns. Times are UTC ISO 8601 with milliseconds and `Z`, `triggerTime` is epoch
milliseconds, `latencyMs` is a number with one decimal. What the gateway said goes through `clean`; the user's
own columns go through unchanged.
"""

from __future__ import annotations

import contextlib
from itertools import islice
import re
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from .cells import carried_cell, clean, code_cell, iso_time
from .csv_text import csv_lines
from .files import WholeFile
from .model import State
from .sightings import with_sightings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from .header import Header
    from .model import Outcome, Sighting

COLUMNS = (
    "row",
    "flowId",
    "triggerTime",
    "status",
    "flowInstanceId",
    "code",
    "message",
    "attempts",
    "via",
    "flags",
    "sentAt",
    "settledAt",
    "latencyMs",
)
#: After these, if the run's instances were followed.
INSTANCE_COLUMNS = ("instanceStatus", "startedAt", "endedAt")
TRIO = ("status", "code", "message")  #: what a list of rows to run again has after the input's own columns
_DONE_ALREADY = frozenset({"exists", "duplicate"})
_PLAIN_ID = re.compile(r"[0-9][0-9-]{0,99}")
_CHUNK = 16  # outcomes at a time; larger ones gain nothing, and each may carry a megabyte


class Table(Protocol):
    """One way to write outcomes."""

    def head(self) -> bytes:
        """Give what comes before the first outcome."""

    def lines(self, outcomes: list[Outcome]) -> bytes:
        """Give the lines of these outcomes; of those that do not belong here, none."""


class CsvResults:
    """The results as CSV; `followed`: with the columns of the instances."""

    def __init__(self, header: Header, *, followed: bool = False) -> None:
        self._extra = header.input.extra_columns
        self._followed = followed

    def head(self) -> bytes:
        """Give the line of column names."""
        columns = COLUMNS + INSTANCE_COLUMNS * self._followed
        return csv_lines([(*columns, *(_own_name(name, columns) for name in self._extra))])

    def lines(self, outcomes: list[Outcome]) -> bytes:
        """Give one line for each outcome."""
        plain = not (self._extra or self._followed)
        if plain and all(lines := [_success(outcome) for outcome in outcomes]):
            return b"".join(lines)
        return csv_lines(
            [
                (*_cells(outcome), *self._instance_cells(outcome), *_carried(outcome, self._extra))
                for outcome in outcomes
            ]
        )

    def _instance_cells(self, outcome: Outcome) -> tuple[str | None, ...]:
        return tuple(_instance(outcome).values()) if self._followed else ()


class JsonResults:
    """The results as JSONL; `followed`: with the columns of the instances."""

    def __init__(self, *, followed: bool = False) -> None:
        self._encoder = msgspec.json.Encoder()
        self._followed = followed

    def head(self) -> bytes:
        """Give nothing: every line names its columns."""
        return b""

    def lines(self, outcomes: list[Outcome]) -> bytes:
        """Give one object for each outcome."""
        return self._encoder.encode_lines([_record(outcome, self._followed) for outcome in outcomes])


class RowsAgain:
    """Some of the rows as CSV in the input's own columns, and why they are here: a job list for `run`."""

    def __init__(self, header: Header, wanted: Callable[[Outcome], bool]) -> None:
        self._input = header.input
        self._wanted = wanted
        self._as_number = header.settings.time_unit == "ms"
        self._columns = tuple(name for name in header.input.columns if name not in TRIO)

    def head(self) -> bytes:
        """Give the line of column names."""
        return csv_lines([(*self._columns, *TRIO)])

    def lines(self, outcomes: list[Outcome]) -> bytes:
        """Give one line for each outcome that is wanted here."""
        wanted = [outcome for outcome in outcomes if self._wanted(outcome)]
        return csv_lines([self._cells(outcome) for outcome in wanted]) if wanted else b""

    def _cells(self, outcome: Outcome) -> list[object]:
        names = self._input.flow_column, self._input.time_column
        own = dict(zip(names, (outcome.flow_id, self._time(outcome.trigger_time_ms)), strict=True))
        return [
            *(own[name] if name in own else carried_cell(outcome.extra.get(name)) for name in self._columns),
            outcome.state.value,
            code_cell(outcome.code),
            clean(outcome.message, cell=True),
        ]

    def _time(self, time: int | str | None) -> int | str | None:
        """Write a time so that it is read as the same, with or without the flags of the run."""
        return time if self._as_number or not isinstance(time, int) else iso_time(time)


def is_failed(outcome: Outcome) -> bool:
    """Whether a row belongs into `failed.csv`: it may be run again, and it is safe to."""
    if outcome.state is State.SUCCEEDED:
        return False
    skipped = outcome.state is State.SKIPPED and outcome.code not in _DONE_ALREADY
    return skipped or outcome.state is State.FAILED


def is_unknown(outcome: Outcome) -> bool:
    """Whether a row belongs into `unknown.csv`: it may have been triggered."""
    return outcome.state is State.UNKNOWN


def write_results(  # noqa: PLR0913 - all files come from one pass
    outcomes: Iterable[Outcome],
    header: Header,
    results: Iterable[Path],
    *,
    failed: Path | None = None,
    unknown: Path | None = None,
    sightings: dict[int, Sighting] | None = None,
) -> None:
    """Write all files in one pass, and put them into their places when all are complete.

    `sightings`: what is known of the rows' instances, if the run was followed.

    The ending says the form of results: `.jsonl`, `.ndjson` and `.json` are JSONL, anything else is CSV.
    Raises `OSError`.
    """
    followed = sightings is not None
    if sightings is not None:
        outcomes = with_sightings(outcomes, sightings)
    tables: dict[Path, Table] = {path: _table(path, header, followed) for path in results}
    if failed:
        tables[failed] = RowsAgain(header, is_failed)
    if unknown:
        tables[unknown] = RowsAgain(header, is_unknown)
    with contextlib.ExitStack() as stack:
        files = [(stack.enter_context(WholeFile(path)), table) for path, table in tables.items()]
        for file, table in files:
            file.write(table.head())
        for chunk in _chunks(outcomes):
            for file, table in files:
                file.write(table.lines(chunk))


def result_lines(
    outcomes: Iterable[Outcome], sightings: dict[int, Sighting] | None = None
) -> Iterator[bytes]:
    """Give the results as JSONL, one line at a time; `sightings` as in `write_results`."""
    table = JsonResults(followed=sightings is not None)
    if sightings is not None:
        outcomes = with_sightings(outcomes, sightings)
    for outcome in outcomes:
        yield table.lines([outcome])


def _table(path: Path, header: Header, followed: bool) -> Table:
    if path.suffix.lower() in {".jsonl", ".ndjson", ".json"}:
        return JsonResults(followed=followed)
    return CsvResults(header, followed=followed)


def _chunks(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    remaining = iter(outcomes)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk


def _success(outcome: Outcome) -> bytes:
    """The line of a plain success, in less time than any line takes; of another outcome, nothing."""
    if (
        outcome.state is not State.SUCCEEDED
        or outcome.code
        or outcome.message
        or outcome.instance_id is None
        or outcome.sent_ms is None
        or outcome.settled_ms is None
        or outcome.latency_ms is None
        or not _PLAIN_ID.fullmatch(outcome.instance_id)
    ):
        return b""
    return (
        f"{outcome.row},{outcome.flow_id},{outcome.trigger_time_ms},succeeded,{outcome.instance_id},,,"
        f"{outcome.attempts},{outcome.via},{outcome.flags},{iso_time(outcome.sent_ms)},"
        f"{iso_time(outcome.settled_ms)},{outcome.latency_ms:.1f}\n"
    ).encode()


def _cells(outcome: Outcome) -> tuple[object, ...]:
    latency = outcome.latency_ms
    return (
        outcome.row,
        outcome.flow_id,
        outcome.trigger_time_ms,
        outcome.state,
        outcome.instance_id and clean(outcome.instance_id, cell=True),
        outcome.code and code_cell(outcome.code),
        outcome.message and clean(outcome.message, cell=True),
        outcome.attempts,
        outcome.via,
        outcome.flags,
        None if outcome.sent_ms is None else iso_time(outcome.sent_ms),
        None if outcome.settled_ms is None else iso_time(outcome.settled_ms),
        None if latency is None else f"{latency:.1f}",
    )


def _instance(outcome: Outcome) -> dict[str, str | None]:
    """What is known of the instance, by the names of its columns."""
    seen = outcome.sighting
    if seen is None:
        return dict.fromkeys(INSTANCE_COLUMNS)
    times = (None if ms is None else iso_time(ms) for ms in (seen.started_ms, seen.ended_ms))
    return dict(zip(INSTANCE_COLUMNS, (clean(seen.status, cell=True), *times), strict=True))


def _record(outcome: Outcome, followed: bool) -> dict[str, Any]:
    latency = outcome.latency_ms
    record = {
        "row": outcome.row,
        "flowId": outcome.flow_id,
        "triggerTime": outcome.trigger_time_ms,
        "status": outcome.state.value,
        "flowInstanceId": outcome.instance_id and clean(outcome.instance_id),
        "code": clean(outcome.code),
        "message": clean(outcome.message),
        "attempts": outcome.attempts,
        "via": outcome.via,
        "flags": outcome.flags,
        "sentAt": None if outcome.sent_ms is None else iso_time(outcome.sent_ms),
        "settledAt": None if outcome.settled_ms is None else iso_time(outcome.settled_ms),
        "latencyMs": None if latency is None else round(latency, 1),
    }
    if followed:
        record |= _instance(outcome)
    columns = COLUMNS + INSTANCE_COLUMNS * followed
    for name, value in outcome.extra.items():
        record[_own_name(name, columns)] = value
    return record


def _own_name(column: str, ours: Sequence[str]) -> str:
    return f"input.{column}" if column in ours else column


def _carried(outcome: Outcome, columns: tuple[str, ...]) -> list[str]:
    return [carried_cell(outcome.extra.get(name)) for name in columns] if columns else []
