"""What a run directory tells about its run without the journal: sidecar, progress, summary and lock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..header import MARKER, Header, read_sidecar
from ..model import ENDINGS
from ..quantities import format_duration
from ..recap import recap, resume_command
from ..runlock import Holder, holder_of


class _Progress(msgspec.Struct, rename="camel"):
    """What progress.json has to hold, for all that is shown of it."""

    rows: int
    left: int
    counts: dict[str, int]
    in_flight: int
    rate_per_second: float
    eta_seconds: float | None


class _Summary(msgspec.Struct, rename="camel"):
    """The same of summary.json."""

    rows: int
    counts: dict[str, int]
    sends: int
    elapsed_seconds: float | None
    sends_per_second: float | None
    notes: dict[str, Any]
    endings: list[dict[str, Any]]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands."""

    directory: Path
    header: Header
    holder: Holder | None  #: who operates it; None when nobody does
    progress: Mapping[str, Any] | None  #: the last numbers of the last session
    summary: Mapping[str, Any] | None  #: of the last session, if that one ended in order

    @property
    def is_live(self) -> bool:
        """Whether a process operates the run."""
        return self.holder is not None

    @property
    def state(self) -> str:
        """In a word: running, finished, stopped, or died (the process ended without a word)."""
        if self.is_live:
            return "running"
        if self.summary is None:
            return "died"
        left = self.summary["rows"] - sum(self.summary["counts"].get(state, 0) for state in ENDINGS)
        return "stopped" if left else "finished"

    def facts(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "version": 1,
            "runDir": str(self.directory),
            "state": self.state,
            "pid": self.holder.pid if self.holder else None,
            "host": self.holder.host if self.holder else None,
            "input": self.header.input.name,
            "rows": self.header.rows,
            "progress": self.progress,
            "summary": self.summary,
        }

    def in_words(self) -> str:
        """All of it for people."""
        if self.summary is not None and not self.is_live:
            reason = str(self.summary["notes"].get("reason", ""))
            return "\n".join(recap(self.directory, self.summary, reason=reason))
        line = f"{self.state}{f' ({self.holder})' if self.holder else ''}: {self._numbers()}"
        if not self.is_live:
            line += f"\n  its process is gone without a word; {resume_command(self.directory)} goes on"
        return line

    def _numbers(self) -> str:
        if self.progress is None:
            known = "nothing is known yet" if self.is_live else "how far it came is not known"
            return f"{self.header.rows:,} rows, {known}"
        progress = self.progress
        ended = progress["rows"] - progress["left"]
        share = int(100 * ended / progress["rows"]) if progress["rows"] else 100
        parts = [
            f"{share}%, {ended:,} of {progress['rows']:,} rows",
            *(f"{state} {count:,}" for state, count in progress["counts"].items() if state in ENDINGS),
            f"{progress['ratePerSecond']:g}/s" if self.is_live else "",
            f"in flight {progress['inFlight']}" if self.is_live else "",
            _eta(progress) if self.is_live else "",
        ]
        return ", ".join(part for part in parts if part)


def look(directory: Path) -> Standing:
    """Read where a run stands. Raises `RunRefused` when there is none."""
    header = read_sidecar(directory)
    holder = holder_of(directory)  # first: whoever ends meanwhile has written the rest by then
    progress, summary = directory / "progress.json", directory / "summary.json"
    closed = _written_ns(summary) >= max(_written_ns(progress), 1) and not (directory / MARKER).exists()
    return Standing(
        directory=directory,
        header=header,
        holder=holder,
        progress=_read(progress, _Progress),
        summary=_read(summary, _Summary) if closed else None,
    )


def _eta(progress: Mapping[str, Any]) -> str:
    seconds = progress["etaSeconds"]
    return "" if seconds is None or not progress["left"] else f"ETA {format_duration(seconds)}"


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path, shape: type[msgspec.Struct]) -> dict[str, Any] | None:
    """Read a file that is replaced whole; None if there is none, or nothing that can be read."""
    try:
        facts: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        msgspec.convert(facts, shape)
    except (OSError, ValueError):  # no JSON, or not of this shape
        return None
    return facts
