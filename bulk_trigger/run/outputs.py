"""What a session of a run leaves behind: the files, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..files import remove_leftovers
from ..journal import Journal
from ..model import ENDINGS, State
from ..results import write_results
from ..sightings import read_sightings
from ..summary import summarise, write_summary

RESULTS, FAILED, UNKNOWN = "results.csv", "failed.csv", "unknown.csv"


class Ending(msgspec.Struct, frozen=True):
    """How a session of a run ended."""

    exit_code: int
    reason: str  #: why it stopped before every row had ended; "" if they all have
    bottleneck: str | None
    summary: Mapping[str, Any]


def exit_code_of(counts: Mapping[State, int], benign_skips: int) -> int:
    """The exit code of a run whose rows have all ended."""
    if counts[State.UNKNOWN]:
        return 5
    blemished = counts[State.FAILED] + counts[State.INVALID] + counts[State.SKIPPED] - benign_skips
    return 1 if blemished else 0


def write_outputs(directory: Path, journal: Journal, outputs: Sequence[Path] = ()) -> dict[str, Any]:
    """Write summary.json and, if every row has ended, the results; returns the summary.

    Everything comes from the journal, so writing it again gives the same bytes. Raises `OSError`.
    """
    remove_leftovers(directory)
    totals = journal.totals()
    summary = summarise(journal.header, totals)
    if sum(totals.counts[state] for state in ENDINGS) == journal.header.rows:
        write_results(
            journal.outcomes(),
            journal.header,
            [directory / RESULTS, *outputs],
            failed=directory / FAILED,
            unknown=directory / UNKNOWN,
            sightings=read_sightings(directory),
        )
    write_summary(directory / "summary.json", summary)
    return summary


def discard_results(directory: Path) -> None:
    """Remove the files that say how every row ended: rows that are about to run again make them untrue."""
    for name in (RESULTS, FAILED, UNKNOWN):
        (directory / name).unlink(missing_ok=True)
