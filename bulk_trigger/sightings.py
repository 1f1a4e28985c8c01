"""What `follow` found out: `instances.csv` in the run directory, beside the journal and never part of it.

It can be lost without harm, for the gateway tells it again. A file that cannot be read counts as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import csv
from pathlib import Path

from msgspec.structs import replace

from .csv_text import csv_lines
from .files import WholeFile
from .model import Outcome, Sighting

INSTANCES = "instances.csv"
_COLUMNS = ["row", "flowInstanceId", "status", "started", "ended"]  # times in epoch milliseconds


def write_sightings(directory: Path, sightings: Iterable[Sighting]) -> None:
    """Write them, in the order of their rows. Raises `OSError`."""
    with WholeFile(directory / INSTANCES) as file:
        file.write(csv_lines([_COLUMNS]))
        for each in sightings:
            cells = (each.row, each.instance_id, each.status, each.started_ms, each.ended_ms)
            file.write(csv_lines([cells]))


def read_sightings(directory: Path) -> dict[int, Sighting] | None:
    """Give them by row; None if the run was never followed."""
    try:
        with (directory / INSTANCES).open(newline="", encoding="utf-8") as file:
            head, *lines = csv.reader(file)
        if head != _COLUMNS:
            return None
        return {
            int(row): Sighting(int(row), instance_id, status, _ms(started), _ms(ended))
            for row, instance_id, status, started, ended in lines
        }
    except (OSError, ValueError, csv.Error):
        return None


def with_sightings(outcomes: Iterable[Outcome], sightings: dict[int, Sighting]) -> Iterator[Outcome]:
    """Add to outcomes what is known of their instances."""
    for outcome in outcomes:
        seen = sightings.get(outcome.row)
        if seen and seen.instance_id == outcome.instance_id:
            yield replace(outcome, sighting=seen)
        else:
            yield outcome


def _ms(cell: str) -> int | None:
    return int(cell) if cell else None
