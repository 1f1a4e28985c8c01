"""A run at 20 calls per second: the share of one core that it uses while it mostly waits.

`python -m benchmarks.idle LOOP URL SECONDS FOLDER`; for `benchmarks.limiter`.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
import sys
import time

import uvloop

from bulk_trigger import Credentials, Rate, Settings, run_jobs

from .sides import jobs

PER_S = 20
MARGIN_S = 1.0  #: at both ends, for the start and the results


async def run(url: str, seconds: float, folder: Path) -> float:
    """CPU time per time, of the whole process, in the middle of the run."""
    looks: list[tuple[float, float]] = []
    loop = asyncio.get_running_loop()
    for at_s in (MARGIN_S, MARGIN_S + seconds):
        loop.call_later(at_s, lambda: looks.append((time.process_time(), time.perf_counter())))
    settings = Settings(gateway=url, org_id="o1", user_id="u1", rates=(Rate(PER_S, 1.0),))
    await run_jobs(
        jobs(round(PER_S * (seconds + 2 * MARGIN_S))),
        folder / f"run-{time.time_ns()}",
        settings,
        credentials=Credentials("key", "secret"),
        again=True,
    )
    (cpu, wall), (last_cpu, last_wall) = looks
    return (last_cpu - cpu) / (last_wall - wall)


if __name__ == "__main__":
    _, wanted, address, number, place = sys.argv
    factory = uvloop.new_event_loop if wanted == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps({"share": round(runner.run(run(address, float(number), Path(place))), 4)}))
