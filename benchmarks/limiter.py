"""Is the rate that was asked for reached, is it ever passed, and what does it cost to wait?

Prints one line of JSON: `seconds` per measurement; `cases`, one for each rate and event loop, with `asked`
and `loop`; `reached`, calls per second from the end of the first second to the last call; `worst_over`, how
many calls more than asked the fullest window of one second held (negative: fewer); `cpu_us_per_job`, of a
process that does nothing but ask the limiter. `idle_share` has for each loop the share of one core that a
whole run uses at 20/s, everything on, over http, measured for `idle_seconds` in its middle.

    python -m benchmarks.limiter [--rates 20,100,1000,10000,30000] [--seconds 5] [--idle-seconds 20]
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque
import tempfile
import time
from typing import Any

import uvloop

from bulk_trigger import Rate
from bulk_trigger.limiter import Limiter
from bulk_trigger.ports import SystemClock

from .answerer import answerer
from .machine import ask, pin, tell

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
WANTED = 256  #: calls that want to start at any moment
WINDOW_S = 1.0


def main() -> None:
    """Measure every rate on every loop, then a whole run that mostly waits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rates", default="20,100,1000,10000,30000")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    with answerer() as (url, _), tempfile.TemporaryDirectory() as folder:
        idle = {loop: ask("idle", loop, url, arguments.idle_seconds, folder)["share"] for loop in LOOPS}
    pin(0)
    cases = []
    for rate in map(int, arguments.rates.split(",")):
        for loop, factory in LOOPS.items():
            with asyncio.Runner(loop_factory=factory) as runner:
                found = runner.run(wait(rate, arguments.seconds))
            cases.append({"asked": rate, "loop": loop, **found})
    tell(
        "limiter",
        seconds=arguments.seconds,
        idle_seconds=arguments.idle_seconds,
        cases=cases,
        idle_share=idle,
    )


async def wait(rate: int, seconds: float) -> dict[str, Any]:
    """Start whatever may start, for so long."""
    limiter = Limiter([Rate(rate, WINDOW_S)], SystemClock())
    starts: list[tuple[float, int]] = []
    began, cpu = time.monotonic(), time.process_time()
    while time.monotonic() < began + WINDOW_S + seconds:
        count = await limiter.admit(WANTED)
        starts.append((time.monotonic(), count))
        limiter.started(count)
    cpu, total = time.process_time() - cpu, sum(count for _, count in starts)
    steady = [(at, count) for at, count in starts if at >= began + WINDOW_S]
    return {
        "reached": round(sum(count for _, count in steady[1:]) / (steady[-1][0] - steady[0][0]), 2),
        "worst_over": fullest(starts) - rate,
        "cpu_us_per_job": round(cpu / total * 1e6, 2),
    }


def fullest(starts: list[tuple[float, int]]) -> int:
    """The most calls that any window of one second held, of (when, how many) in order."""
    held, most, window = 0, 0, deque[tuple[float, int]]()
    for at, count in starts:
        window.append((at, count))
        held += count
        while window[0][0] <= at - WINDOW_S:
            held -= window.popleft()[1]
        most = max(most, held)
    return most


if __name__ == "__main__":
    main()
