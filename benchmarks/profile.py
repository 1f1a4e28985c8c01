"""Where do the microseconds of a job go? CPU time of a whole run, by stage.

Prints one line of JSON. It is sampled: after each millisecond of CPU time, what each thread has taken goes to
the stage that it is in. What the kernel and C libraries take belongs to the stage that called them; the event
loop's own work and its reading from sockets, mostly to what it calls next.

    python -m benchmarks.profile [--jobs 20000] [--connections 64]
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
import signal
import sys
import tempfile
import time
from types import FrameType
from typing import Self

import uvloop

import bulk_trigger.api  # noqa: F401 - so that its import is not measured

from .answerer import answerer
from .machine import pin, tell
from .sides import engine

#: Stages by the beginning of a file's path below the package; the first that fits. A file that is not here
#: works for whoever calls it.
STAGES = {
    "reader/": "read and validate",
    "journal/importing": "import",
    "journal/grouping": "import",
    "journal/flows": "look ahead",
    "run/feed": "look ahead",
    "lanes": "order",
    "run/recall": "order",
    "run/dispatch": "dispatch and pace",
    "run/bell": "dispatch and pace",
    "run/calls": "dispatch and pace",
    "limiter": "dispatch and pace",
    "gateway/auth": "sign",
    "gateway/http": "sign",
    "gateway/envelope": "read the reply",
    "gateway/direct_reply": "read the reply",
    "gateway/": "send and receive",
    "verdicts": "judge",
    "retry": "judge",
    "reconcile/": "judge",
    "health": "judge",
    "run/judge": "judge",
    "run/moves": "judge",
    "run/tally": "judge",
    "run/run": "judge",
    "run/scribe": "intents and outcomes on disk",
    "journal/history": "results",
    "journal/counting": "results",
    "results": "results",
    "cells": "results",
    "files": "results",
    "run/outputs": "results",
    "journal/journal": "intents and outcomes on disk",
}
REST = "event loop and rest"
INTERVAL_S = 0.001


class Sampler:
    """Looks after every millisecond of CPU time where each thread is; what it took since is that stage's."""

    def __init__(self) -> None:
        self.stages: Counter[str] = Counter()  # nanoseconds
        self._seen: dict[int, int] = {}

    def __enter__(self) -> Self:
        signal.signal(signal.SIGPROF, self._look)
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, _: int, __: object) -> None:
        for thread, frame in sys._current_frames().items():  # noqa: SLF001 - documented
            taken = time.clock_gettime_ns(time.pthread_getcpuclockid(thread))
            self.stages[_stage_in(frame)] += taken - self._seen.get(thread, taken)
            self._seen[thread] = taken


def _stage_in(frame: FrameType | None) -> str:
    """The stage of the innermost function that has one."""
    while frame is not None:
        _, _, path = frame.f_code.co_filename.replace("\\", "/").rpartition("/bulk_trigger/")
        for start, stage in STAGES.items():
            if path.startswith(start):
                return stage
        frame = frame.f_back
    return REST


async def awake(work: Coroutine[object, object, None]) -> None:
    """Let the loop turn while only other threads work: signals are heard between two of its turns."""
    task = asyncio.ensure_future(work)
    while not task.done():  # noqa: ASYNC110 - to turn is the point
        await asyncio.sleep(INTERVAL_S)
    await task


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=64)
    arguments = parser.parse_args()
    with answerer() as (url, _), tempfile.TemporaryDirectory() as folder:
        pin(0)
        sampler = Sampler()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, sampler:
            before = time.process_time()
            runner.run(awake(engine(url, arguments.jobs, arguments.connections, Path(folder))))
            cpu_us = (time.process_time() - before) / arguments.jobs * 1e6
    booked = sampler.stages.total()
    tell(
        "profile",
        jobs=arguments.jobs,
        connections=arguments.connections,
        cpu_us_per_job=round(cpu_us, 1),
        stages={stage: round(cpu_us * taken / booked, 1) for stage, taken in sampler.stages.most_common()},
    )


if __name__ == "__main__":
    main()
