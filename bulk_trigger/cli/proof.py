"""What `verify` proves: the journal agrees with itself, and the files agree with the journal."""

from __future__ import annotations

import filecmp
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from ..launch import Opened
from ..model import ENDINGS
from ..results import write_results
from ..sightings import read_sightings
from ..summary import summarise

RESULTS, FAILED, UNKNOWN, SUMMARY = "results.csv", "failed.csv", "unknown.csv", "summary.json"


class Proof(msgspec.Struct, frozen=True):
    """What was found."""

    proven: tuple[str, ...]
    problems: tuple[str, ...]
    rows: int
    left: int  #: rows that have not ended

    def facts(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {
            "version": 1,
            "ok": not self.problems,
            "rows": self.rows,
            "left": self.left,
            "proven": self.proven,
            "problems": self.problems,
        }

    def in_words(self) -> list[str]:
        """The finding for people."""
        lines = [f"proven: {text}" for text in self.proven] + [f"WRONG:  {text}" for text in self.problems]
        if self.left:
            lines.append(f"open:   {self.left:,} rows have not ended, so there are no results yet")
        return lines


def prove(opened: Opened) -> Proof:
    """Look at everything that a run directory says."""
    header, journal = opened.header, opened.journal
    counts = journal.counts()
    left = header.rows - sum(counts[state] for state in ENDINGS)
    proven: list[str] = []
    problems = journal.check()
    if not problems:
        proven.append(f"{header.rows:,} rows, each in exactly one state, as the recorded history leads there")
        proven.append(f"{header.flows:,} flows, each served in order and one row at a time")
    for found, text in ((_results(opened, left), "the results"), (_summary(opened, left), SUMMARY)):
        problems += found
        if not found and not left:
            proven.append(f"{text} = journal")
    return Proof(tuple(proven), tuple(problems), header.rows, left)


def _results(opened: Opened, left: int) -> list[str]:
    """Render the files again, and compare them byte for byte."""
    if left:
        early = [name for name in (RESULTS, FAILED, UNKNOWN) if (opened.directory / name).exists()]
        return [f"{name} is there, although rows have not ended" for name in early]
    with TemporaryDirectory(prefix=".verify-", dir=opened.directory) as place:
        again = Path(place)
        write_results(
            opened.journal.outcomes(),
            opened.header,
            [again / RESULTS],
            failed=again / FAILED,
            unknown=again / UNKNOWN,
            sightings=read_sightings(opened.directory),
        )
        pairs = [(opened.directory / name, again / name) for name in (RESULTS, FAILED, UNKNOWN)]
        return [problem for theirs, ours in pairs if (problem := _difference(theirs, ours))]


def _difference(theirs: Path, ours: Path) -> str:
    if not theirs.is_file():
        return _missing(theirs)
    if not filecmp.cmp(theirs, ours, shallow=False):
        return f"{theirs.name} is not what the journal says; it was changed after the run"
    return ""


def _missing(path: Path) -> str:
    return f"{path.name} is missing; `bulk-trigger resume {path.parent}` writes it again"


def _summary(opened: Opened, left: int) -> list[str]:
    """Compare the summary; one of an earlier session may be behind, if a later session died."""
    path = opened.directory / SUMMARY
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        return [] if left else [_missing(path)]
    except (OSError, ValueError) as error:
        return [f"{SUMMARY} cannot be read: {error}"]
    true = json.loads(msgspec.json.encode(summarise(opened.header, opened.journal.totals())))
    wrong = [key for key in true if not left and said.get(key) != true[key]]
    return [f"{SUMMARY}: {key} is not what the journal says" for key in wrong]
