"""A job list, imported where nothing can be sent from, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
import shutil
import sys
from typing import Any

import msgspec

from ..cells import iso_time
from ..errors import InputError
from ..launch import Opened, create, look_into
from ..model import BadRow, Row, State
from ..reader import STDIN, Format, JobList
from ..settings import Duplicates, Settings
from .forecast import LATENCY_S, forecast
from .merge import check_job_list

_IMPORT = "lenient"  #: the directory that holds all of the list that can be imported


class TimedList(JobList):
    """A job list that remembers the first and the last of its times, in epoch milliseconds."""

    first_ms: int | None = None
    last_ms: int | None = None

    def __iter__(self) -> Iterator[Row | BadRow]:
        for row in super().__iter__():
            if isinstance(row, Row):
                self._note(row.trigger_time_ms)
            yield row

    def _note(self, time_ms: int) -> None:
        if self.first_ms is None or time_ms < self.first_ms:
            self.first_ms = time_ms
        if self.last_ms is None or time_ms > self.last_ms:
            self.last_ms = time_ms


def examine(jobs: str, form: Format | None, settings: Settings, place: Path) -> dict[str, Any]:
    """Say what there is to say about a job list; `place` is an empty directory to work in.

    A list that `run` would refuse for its rows gives `ok` false and the words of `run` as `problem`. Raises
    `InputError` for a list that is damaged as a whole, `SettingsError` for settings that do not fit.
    """
    check_job_list(jobs, form)
    source, name = _readable_twice(jobs, place), STDIN if jobs == "-" else jobs

    def read() -> TimedList:
        return TimedList(
            source,
            name=name,
            format=form,
            timezone=settings.timezone,
            time_unit=settings.time_unit,
            rows=settings.rows,
        )

    rows = read()
    with create(rows, place / _IMPORT, _lenient(settings), again=True) as opened:
        facts = _count(opened, rows, settings)
    try:
        if _may_be_refused(facts, settings):
            create(read(), place / "strict", settings, again=True).close()
    except InputError as error:
        return {"ok": False, "problem": str(error), **facts}
    return {"ok": True, "problem": None, **facts}


def flows_in(place: Path) -> list[int]:
    """The flows of the list that was examined in `place`, in the order of their first rows."""
    with look_into(place / _IMPORT) as opened:
        return [flow.flow_id for flow in opened.journal.next_flows(0, opened.header.flows)]


def _readable_twice(jobs: str, place: Path) -> Path:
    """A job list as a file; standard input and named pipes are kept in one of their own."""
    if jobs != "-" and Path(jobs).is_file():
        return Path(jobs)
    path = place / "stdin"
    with ExitStack() as stack:
        try:
            source = sys.stdin.buffer if jobs == "-" else stack.enter_context(Path(jobs).open("rb"))
        except OSError as error:
            raise InputError(f"{jobs}: cannot be opened: {error.strerror}") from None
        shutil.copyfileobj(source, stack.enter_context(path.open("xb")))
    return path


def _lenient(settings: Settings) -> Settings:
    """Settings under which all that can be imported is: what is wrong is to be counted."""
    keep = settings.duplicates is not Duplicates.REFUSE
    lenient: Settings = msgspec.structs.replace(
        settings, skip_invalid=True, duplicates=settings.duplicates if keep else Duplicates.SEND
    )
    return lenient


def _may_be_refused(facts: dict[str, Any], settings: Settings) -> bool:
    refuses = settings.duplicates is Duplicates.REFUSE
    return bool((facts["invalid"] and not settings.skip_invalid) or (facts["duplicates"] and refuses))


def _count(opened: Opened, rows: TimedList, settings: Settings) -> dict[str, Any]:
    header, journal = opened.header, opened.journal
    to_send = journal.counts()[State.PENDING]
    longest = journal.longest_flows(0, 1)
    estimate = forecast(to_send, longest[0].rows if longest else 0, settings.rates, settings.in_flight)
    return {
        "input": rows.name,
        "format": rows.format,
        "sha256": rows.sha256,
        "rows": header.rows,
        "toSend": to_send,
        "invalid": header.invalid,
        "duplicates": header.duplicates,
        "flows": header.flows,
        "longestFlow": {"flowId": longest[0].flow_id, "rows": longest[0].rows} if longest else None,
        "firstTime": None if rows.first_ms is None else iso_time(rows.first_ms),
        "lastTime": None if rows.last_ms is None else iso_time(rows.last_ms),
        "rates": [str(rate) for rate in settings.rates],
        "inFlight": settings.in_flight,
        "estimate": {
            "seconds": round(estimate.seconds, 1),
            "decidedBy": estimate.decided_by,
            "assumedLatencyMs": round(LATENCY_S * 1000),
        },
    }
