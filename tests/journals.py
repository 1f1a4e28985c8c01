"""Small journals for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bulk_trigger.header import Input
from bulk_trigger.journal import Journal
from bulk_trigger.model import BadRow, Evidence, Intent, Row, State, Step
from bulk_trigger.settings import Settings

T0 = 1_700_000_000_000  #: the first instant of every test, in epoch milliseconds
MINUTE = 60_000


def settings(**changes: Any) -> Settings:
    return Settings(**{"gateway": "sandbox", **changes})


def job_rows(*flows: int, first: int = 1) -> list[Row]:
    """One row per given flow, each in a minute of its own."""
    return [Row(n, flow, T0 + n * MINUTE) for n, flow in enumerate(flows, first)]


def bad_row(row: int) -> BadRow:
    return BadRow(
        row=row,
        line=row + 1,
        column="flowId",
        reason="not-a-number",
        message="'x' is not a number",
        cure="write a number",
        flow_id="x",
        trigger_time="1700000000000",
        extra=b'{"note":"kept"}',
    )


def source(**changes: Any) -> Input:
    return Input(**{"name": "jobs.csv", "format": "csv", "sha256": "ab" * 32, "size": 100, **changes})


def explain(first: Sequence[BadRow], total: int) -> str:
    return f"{total} bad rows: {', '.join(str(bad.row) for bad in first)}"


def create(
    directory: Path, rows: Iterable[Row | BadRow], columns: Sequence[str] | None = None, **changes: Any
) -> Journal:
    facts = source(columns=tuple(columns)) if columns else source()
    return Journal.create(
        directory / "journal.db",
        rows,
        settings=settings(**changes),
        tool="0.1.0",
        at_ms=T0,
        source=lambda: facts,
        explain=explain,
    )


def intent(row: int, attempt: int = 1) -> Intent:
    return Intent(row, attempt, T0 + row)


def step(row: int, state: State, **changes: Any) -> Step:
    return Step(**{"row": row, "state": state, "at_ms": T0 + 1000 + row, "attempt": 1, **changes})


def success(row: int, **changes: Any) -> Step:
    facts = {
        "evidence": Evidence.APPLIED,
        "code": "0",
        "instance_id": f"id-{row}",
        "via": "reply",
        "sent_ms": T0 + row,
        "latency_ms": 12.34,
        "status": 200,
        "bytes_out": 64,
    }
    return step(row, State.SUCCEEDED, **{**facts, **changes})
