"""A run whose gateway is inside the process and answers at once: what is left is the engine.

    python -m benchmarks.instant run LIST DIRECTORY STOP_AFTER      (0: run to the end)
    python -m benchmarks.instant resume DIRECTORY BEGAN             (BEGAN: epoch seconds)

Prints JSON: `import_cpu_s`, `run_cpu_s`, `sent`, `first_send_s` (since BEGAN), `peak_mib`. For
`benchmarks.scale` and `benchmarks.lanes`, which write the lists.
"""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import sys
import time

from simulated import Willing
import uvloop

from bulk_trigger import Job, Settings
from bulk_trigger.launch import Opened, create, execute, reopen
from bulk_trigger.ports import Answered
from bulk_trigger.reader import JobList
from bulk_trigger.run import Run, Stop

from .machine import peak_mib

START_MS = 1_600_000_000_000
MINUTE_MS = 60_000
SETTINGS = Settings(gateway="https://instant.example", rates=(), in_flight=64)


class Instant(Willing):
    """Counts what it is asked to start, and may stop the run."""

    def __init__(self, stop_after: int = 0) -> None:
        super().__init__()
        self.sent = 0
        self.first_at = 0.0
        self._stop_after = stop_after

    def watch(self, run: Run) -> None:
        self._run = run

    def trigger(self, job: Job, answered: Answered) -> None:
        self.sent += 1
        if self.sent == 1:
            self.first_at = time.time()
        if self.sent == self._stop_after:
            self._run.stop(Stop(7, "this is far enough"))
        super().trigger(job, answered)


def write_list(path: Path, shape: str, rows: int) -> None:
    """Write a job list.

    Shapes: a number of flows, which take turns; `giant`, one flow with every second row and 1,000 others.
    """
    with path.open("w") as file:
        file.write("flowId,triggerTime\n")
        file.writelines(f"{flow},{START_MS + minute * MINUTE_MS}\n" for flow, minute in _jobs(shape, rows))


def _jobs(shape: str, rows: int) -> Iterator[tuple[int, int]]:
    if shape == "giant":
        return ((1, n // 2) if n % 2 else (2 + n // 2 % 1000, n // 2000) for n in range(rows))
    flows = int(shape)
    return ((1 + n % flows, n // flows) for n in range(rows))


async def go(opened: Opened, gateway: Instant) -> None:
    with opened:
        await execute(opened, gateway=gateway, ready=gateway.watch)


def main(action: str, *arguments: str) -> None:
    """Import and run, or resume."""
    cpu = time.process_time()
    if action == "run":
        jobs, directory, stop_after = arguments
        gateway = Instant(int(stop_after))
        opened = create(JobList(jobs), Path(directory), SETTINGS, again=True)
    else:
        gateway, opened = Instant(), reopen(Path(arguments[0]))
    opened_cpu = time.process_time()
    uvloop.run(go(opened, gateway))
    figures = {
        "import_cpu_s": opened_cpu - cpu,
        "run_cpu_s": time.process_time() - opened_cpu,
        "sent": gateway.sent,
        "first_send_s": gateway.first_at - float(arguments[1]) if action == "resume" else None,
        "peak_mib": peak_mib(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
