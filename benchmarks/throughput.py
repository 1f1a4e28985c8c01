"""What does everything we do cost, beside a plain aiohttp loop that does nothing but POST?

Prints one line of JSON: CPU microseconds per job of each side (medians of interleaved rounds), and their
ratio to the plain loop. The server is a process of its own, on the other core where there is one.

    python -m benchmarks.throughput [--jobs 20000] [--rounds 5] [--connections 64]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from contextlib import contextmanager
import json
import os
import platform
from statistics import median
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def pin(core: int) -> None:
    """Stay on one core, where the system lets us choose."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core % len(cores)]})


@contextmanager
def answerer() -> Iterator[str]:
    """Run the constant-answer server; gives its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.answerer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: pin(1),  # noqa: PLW1509 - one thread, nothing imported: safe here
    ) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        assert server.stdin is not None
        server.stdin.close()


def run_side(side: str, url: str, jobs: int, connections: int, folder: str) -> dict[str, float]:
    """Measure one side once, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sides", side, url, str(jobs), str(connections), folder]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        preexec_fn=lambda: pin(0),
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    """Measure all sides in interleaved rounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--sides", default="plain,plain-uvloop,engine,engine-asyncio")
    arguments = parser.parse_args()
    sides = arguments.sides.split(",")
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    with answerer() as url, tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            for side in sides:
                found[side].append(run_side(side, url, arguments.jobs, arguments.connections, folder))
    cpu = {side: median(each["cpu_us"] for each in results) for side, results in found.items()}
    ratios = [
        mine["cpu_us"] / plain["cpu_us"] for mine, plain in zip(found["engine"], found["plain"], strict=True)
    ]
    print(
        json.dumps(
            {
                "benchmark": "throughput",
                "python": f"{platform.python_implementation()} {platform.python_version()}",
                "jobs": arguments.jobs,
                "connections": arguments.connections,
                "rounds": arguments.rounds,
                "cpu_us_per_job": {side: round(value, 1) for side, value in cpu.items()},
                "jobs_per_s": {
                    side: round(median(each["per_s"] for each in results)) for side, results in found.items()
                },
                "engine_to_plain": round(median(ratios), 3),
                "engine_to_plain_range": [round(min(ratios), 3), round(max(ratios), 3)],
            }
        )
    )


if __name__ == "__main__":
    main()
