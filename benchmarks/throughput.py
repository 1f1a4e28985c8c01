"""What does everything we do cost, beside others who do nothing but POST?

Prints one line of JSON: `jobs` and `rounds` as asked; `skipped`, who could not take part, with the reason;
and `cases`, one for each `scheme` and number of `connections`, with these keys: `cpu_us_per_job`, CPU
microseconds per job of each side's process (medians of interleaved rounds); `jobs_per_s`; `to_plain`, each
side's CPU beside the plain aiohttp loop's of the same round, as [median, least, most]; `engine_to_hey`, the
same for the engine beside hey, or null. The server is a process of its own, on the other core where there is
one; it is the slower one beside programs written in C, so their `jobs_per_s` is the server's.

    python -m benchmarks.throughput [--jobs 20000] [--rounds 5] [--connections 64,256] [--schemes http,https]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import median
import tempfile
from typing import Any, NamedTuple

from . import programs, sides
from .answerer import answerer
from .machine import ask, spread, tell

EVERYBODY = [
    *("plain", "plain-uvloop", "tuned", "tuned-uvloop", "cookbook", "aiometer"),
    *("wrk", "hey", "ab", "engine", "engine-asyncio"),
]

Rounds = dict[str, list[dict[str, float]]]  #: of each side, one after the other


def main() -> None:
    """Measure all sides in interleaved rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", default="64")
    parser.add_argument("--schemes", default="http")
    parser.add_argument("--sides", default=",".join(EVERYBODY))
    arguments = parser.parse_args()
    present, skipped = choose(arguments.sides.split(","))
    cases: list[dict[str, Any]] = []
    for scheme in arguments.schemes.split(","):
        if scheme == "https" and find_spec("trustme") is None:
            skipped["https"] = f"trustme not installed: {sides.EXTRA}"
            continue
        with answerer(scheme) as (url, environment):
            for connections in map(int, arguments.connections.split(",")):
                load = Load(url, environment, arguments.jobs, connections)
                found = compare(present, load, arguments.rounds)
                cases.append({"scheme": scheme, "connections": connections, **sum_up(found)})
    tell("throughput", jobs=arguments.jobs, rounds=arguments.rounds, skipped=skipped, cases=cases)


def choose(wanted: list[str]) -> tuple[list[str], dict[str, str]]:
    """Who can take part, and why the others cannot."""
    lacks = {
        name: programs.missing(name) if name in programs.PROGRAMS else sides.missing(name) for name in wanted
    }
    skipped = {name: reason for name, reason in lacks.items() if reason}
    return [name for name in wanted if name not in skipped], skipped


class Load(NamedTuple):
    """What every side has to send, and where."""

    url: str
    environment: Mapping[str, str]
    jobs: int
    connections: int


def compare(names: list[str], load: Load, rounds: int) -> Rounds:
    """Measure each side in turn, round after round."""
    found: Rounds = defaultdict(list)
    for _ in range(rounds):
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                if name in programs.PROGRAMS:
                    cost = programs.measure(name, load.url, load.jobs, load.connections, Path(folder))
                else:
                    given = (name, load.url, load.jobs, load.connections, folder)
                    cost = ask("sides", *given, environment=load.environment)
            found[name].append(cost)
    return found


def sum_up(found: Rounds) -> dict[str, Any]:
    """Medians, and ratios within each round."""
    return {
        "cpu_us_per_job": {name: round(median(each(costs, "cpu_us")), 1) for name, costs in found.items()},
        "jobs_per_s": {name: round(median(each(costs, "per_s"))) for name, costs in found.items()},
        "to_plain": {name: beside(costs, found["plain"]) for name, costs in found.items()}
        if "plain" in found
        else {},
        "engine_to_hey": beside(found["engine"], found["hey"]) if {"engine", "hey"} <= found.keys() else None,
    }


def each(costs: list[dict[str, float]], key: str) -> list[float]:
    """One figure of every round."""
    return [cost[key] for cost in costs]


def beside(mine: list[dict[str, float]], theirs: list[dict[str, float]], key: str = "cpu_us") -> list[float]:
    """The ratio of two sides in each round, as [median, least, most]."""
    return spread([a / b for a, b in zip(each(mine, key), each(theirs, key), strict=True)])


if __name__ == "__main__":
    main()
