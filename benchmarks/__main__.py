"""Asks every benchmark, and writes the figures: `figures.md` and the pictures.

    python -m benchmarks [--full] [--to benchmarks] [--lines FILE]

Without `--full` it takes some minutes, with it some hours (ten million rows). `--lines` makes the figures of
lines that were printed before, instead of measuring; of a benchmark that stands there twice, the last counts.
Prints the lines as they come.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .figures import page, pictures
from .machine import ask

SHORT = {
    "throughput": "--jobs 10000 --rounds 3 --schemes http,https",
    "journal": "--jobs 10000 --rounds 3",
    "limiter": "--seconds 2 --idle-seconds 5",
    "lanes": "--jobs 10000 --rounds 3 --flows 1000,10000",
    "scale": "--rows 10000,100000",
    "makespan": "--jobs 2000",
    "startup": "--rounds 5",
}
FULL = {
    "throughput": "--connections 64,256 --schemes http,https",
    "journal": "",
    "limiter": "",
    "lanes": "--jobs 1000000 --flows 1000,10000,1000000",
    "scale": "--full",
    "makespan": "",
    "startup": "",
}


def main() -> None:
    """Measure one after the other, then write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent)
    parser.add_argument("--lines", type=Path)
    arguments = parser.parse_args()
    lines = {}
    if arguments.lines:
        for text in arguments.lines.read_text().splitlines():
            line = json.loads(text)
            lines[line["benchmark"]] = line
    else:
        for name, options in (FULL if arguments.full else SHORT).items():
            lines[name] = ask(name, *options.split())
            print(json.dumps(lines[name]), flush=True)
    (arguments.to / "figures.md").write_text(page(lines))
    for name, picture in pictures(lines).items():
        (arguments.to / f"{name}.svg").write_text(picture)


if __name__ == "__main__":
    main()
