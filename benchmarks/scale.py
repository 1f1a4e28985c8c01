"""Do memory, and the CPU time of a job, stay the same however long the list is?

Each run is stopped half-way and resumed to its end, in two processes, against a gateway inside the process
that answers at once. Prints one line of JSON: `cases`, one for each number of `rows` and each `shape`: `even`
(1,000 flows), `giant` (one flow with half the rows, 1,000 others), `singles` (one row per flow). Each has
`repeats`, and as [median, least, most]: `import_cpu_us_per_row`; `cpu_us_per_job`, from the import's end to
the results, with the resume; `peak_mib`, the most memory of either process; `resume_s`, from the start of the
second process to its first send. `growth` has for each shape the dearest `cpu_us_per_job` beside that of the
shortest list.

    python -m benchmarks.scale [--rows 10000,100000,1000000] [--shapes even,giant,singles] [--full]

`--full` adds ten million rows. Lists of up to 100,000 rows are run five times, longer ones once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import tempfile
import time
from typing import Any

from .instant import write_list
from .machine import ask, spread, tell

SHAPES = ("even", "giant", "singles")
KEYS = ("import_cpu_us_per_row", "cpu_us_per_job", "peak_mib", "resume_s")
REPEATED = 100_000  #: rows up to which a case is repeated
REPEATS = 5


def main() -> None:
    """Run every shape at every size, the shortest first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    sizes = [int(rows) for rows in arguments.rows.split(",")] + [10_000_000] * arguments.full
    shapes = arguments.shapes.split(",")
    cases = [measure(shape, rows) for rows in sizes for shape in shapes]
    tell("scale", cases=cases, growth={shape: growth(cases, shape) for shape in shapes})


def measure(shape: str, rows: int) -> dict[str, Any]:
    """One case, repeated where that is quick."""
    repeats = REPEATS if rows <= REPEATED else 1
    found = [once(shape, rows) for _ in range(repeats)]
    figures = {key: spread([each[key] for each in found], 2) for key in KEYS}
    return {"rows": rows, "shape": shape, "repeats": repeats, **figures}


def once(shape: str, rows: int) -> dict[str, float]:
    """Import and run to the half, then resume to the end."""
    with tempfile.TemporaryDirectory() as folder:
        jobs, directory = Path(folder) / "jobs.csv", Path(folder) / "run"
        write_list(jobs, {"even": "1000", "singles": str(rows)}.get(shape, shape), rows)
        first = ask("instant", "run", jobs, directory, rows // 2)
        rest = ask("instant", "resume", directory, time.time())
    assert first["sent"] + rest["sent"] == rows, (first, rest)
    cpu_s = first["run_cpu_s"] + rest["import_cpu_s"] + rest["run_cpu_s"]
    figures = (
        first["import_cpu_s"] / rows * 1e6,
        cpu_s / rows * 1e6,
        max(first["peak_mib"], rest["peak_mib"]),
        rest["first_send_s"],
    )
    return dict(zip(KEYS, figures, strict=True))


def growth(cases: list[dict[str, Any]], shape: str) -> float:
    """The dearest job of a shape beside one of the shortest list."""
    medians = [case["cpu_us_per_job"][0] for case in cases if case["shape"] == shape]
    return round(float(max(medians) / medians[0]), 3)


if __name__ == "__main__":
    main()
