"""A job list as CSV or JSONL, in the form that `run` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
import sys
from typing import Literal

import msgspec

from ..csv_text import csv_lines
from ..files import WholeFile
from .plan import PlannedJob

Format = Literal["csv", "jsonl"]
_BLOCK = 10_000  #: rows
OURS = ("flowId", "triggerTime")


def write_jobs(
    jobs: Iterable[PlannedJob], place: Path | None, form: Format, columns: Sequence[str] = ()
) -> None:
    """Write a job list to a file, which appears whole or not at all, or to standard output (None).

    `columns` names what is in `PlannedJob.more`. Raises `OSError`, and whatever the jobs raise.
    """
    blocks = (_csv if form == "csv" else _jsonl)(iter(jobs), columns)
    if place is None:
        for block in blocks:
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
        return
    with WholeFile(place) as file:
        for block in blocks:
            file.write(block)


def _csv(jobs: Iterator[PlannedJob], columns: Sequence[str]) -> Iterator[bytes]:
    yield csv_lines([[*OURS, *columns]])
    while block := list(islice(jobs, _BLOCK)):
        yield csv_lines([(job.flow_id, job.trigger_time_ms, *job.more) for job in block])


def _jsonl(jobs: Iterator[PlannedJob], columns: Sequence[str]) -> Iterator[bytes]:
    keys = (*OURS, *columns)
    encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
    while block := list(islice(jobs, _BLOCK)):
        yield b"".join(
            encode(dict(zip(keys, (job.flow_id, job.trigger_time_ms, *job.more), strict=True))) + b"\n"
            for job in block
        )
