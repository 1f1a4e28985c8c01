"""What the benchmarks share: where processes run, what they cost, and the line that each prints.

Every line has these keys beside the ones that its benchmark's docstring names: `benchmark`; `python`, the
interpreter; `cores`; `load`, the machine's load average over one minute when the line was printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
import os
from pathlib import Path
import platform
import resource
from statistics import median
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


def pin(core: int) -> None:
    """Stay on one core, where the system lets us choose."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core % len(cores)]})


class Cost(NamedTuple):
    """What a process said, and what it cost."""

    said: str
    cpu_s: float  #: user and system time
    wall_s: float


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end on the first core. Raises `CalledProcessError`, its complaints on stderr."""
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=complaints,
            preexec_fn=lambda: pin(0),  # noqa: PLW1509 - one thread: safe here
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            complaints.seek(0)
            sys.stderr.write(complaints.read())
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, said)
    return Cost(said, used.ru_utime + used.ru_stime, time.perf_counter() - began)


def ask(module: str, *arguments: object, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a module of the benchmarks in a process of its own; returns the JSON that it prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    answer: dict[str, Any] = json.loads(run(command, environment).said)
    return answer


def peak_mib() -> float:
    """The most memory that this process ever had, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def spread(values: Sequence[float], digits: int = 3) -> list[float]:
    """Median, least and most."""
    return [round(value, digits) for value in (median(values), min(values), max(values))]


def tell(benchmark: str, **facts: object) -> None:
    """Print the line."""
    about = {
        "benchmark": benchmark,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps({**about, **facts}), flush=True)
