"""The numbers of a run, as `summary.json` tells them: derived from the journal alone, so always the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .cells import clean, iso_time
from .files import write_whole
from .model import Flag
from .settings import Durability

if TYPE_CHECKING:
    from pathlib import Path

    from .header import Header
    from .totals import Totals

VERSION = 1


def summarise(header: Header, totals: Totals) -> dict[str, Any]:
    """Make the summary of a run, finished or not. `exitCode` is a note that the run leaves in the journal."""
    settings = header.settings
    return {
        "version": VERSION,
        "run": header.run,
        "tool": header.tool,
        "input": {"name": header.input.name, "format": header.input.format, "sha256": header.input.sha256},
        "gateway": settings.gateway,
        "api": settings.api,
        "orgId": settings.org_id,
        "rows": header.rows,
        "flows": header.flows,
        "counts": {state.value: count for state, count in totals.counts.items()},
        "sends": totals.sends,
        "retries": totals.sends - totals.rows_sent,
        "otherCalls": totals.other_calls,
        "reconciled": totals.reconciled,
        Flag.DUP_RISK.value: totals.dup_risk,
        "duplicates": header.duplicates,
        "endings": [
            {
                "status": ending.state.value,
                "code": ending.code,
                "rows": ending.rows,
                "message": clean(ending.message),
            }
            for ending in totals.endings
        ],
        **_times(totals),
        "latencyMs": {f"p{percent}": value for percent, value in totals.latency_ms.items()},
        **_durability(totals),
        "notes": dict(totals.notes),
    }


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write the summary for people and programs, whole or absent. Raises `OSError`."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def _times(totals: Totals) -> dict[str, Any]:
    """When it ran, and how fast: the time between two sessions does not count as elapsed."""
    sessions = totals.sessions
    elapsed_s = sum(session.last_ms - session.started_ms for session in sessions) / 1000
    return {
        "startedAt": iso_time(sessions[0].started_ms) if sessions else None,
        "endedAt": iso_time(sessions[-1].last_ms) if sessions else None,
        "elapsedSeconds": elapsed_s,
        "sendsPerSecond": round(totals.sends / elapsed_s, 2) if elapsed_s else None,
        "sessions": len(sessions),
    }


def _durability(totals: Totals) -> dict[str, Any]:
    """The weakest of all sessions: what one of them may have lost is lost."""
    used = {session.durability for session in totals.sessions}
    if Durability.PROCESS in used:
        note = (
            "survives the end of the process, not a power cut: after one, `resume` refuses it on Linux; "
            "elsewhere rows may be missing or sent again"
        )
        return {"durability": Durability.PROCESS.value, "durabilityNote": note}
    return {"durability": Durability.POWER.value}
