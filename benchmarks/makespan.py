"""How near does a run come to the shortest time that is possible? On a virtual clock, where waiting is free.

Prints one line of JSON: `jobs` per load, about; `latency_s` of a call; `cases`, one for each `load`, `rate`
(calls per second, null: none) and `in_flight`, with `least_s`, the lower bound max(jobs / rate, longest lane
x latency, all work / in flight); `to_least`, how much longer the engine's run took, as a ratio;
`input_order`, the same for a sender with the same limits that keeps to the order of the list, past flows that
are busy. `worst` is the highest `to_least` of all.

    python -m benchmarks.makespan [--jobs 5000]
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from pathlib import Path
import random
import tempfile
from typing import Any

from clock import VirtualLoop
from simulated import Willing, rows, simulate

from .machine import tell

LATENCY_S = 0.05
LIMITS = [(100, 64), (400, 16), (None, 8)]  #: (rate, in flight): the first, both, and the second decide

JobKey = tuple[int, int]


def main() -> None:
    """Run every load within all limits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=5000)
    count = parser.parse_args().jobs
    cases = [
        {"load": load, "rate": rate, "in_flight": in_flight, **measure(jobs, rate, in_flight)}
        for load, jobs in loads(count).items()
        for rate, in_flight in LIMITS
    ]
    tell(
        "makespan",
        jobs=count,
        latency_s=LATENCY_S,
        cases=cases,
        worst=max(case["to_least"] for case in cases),
    )


def loads(count: int) -> dict[str, list[JobKey]]:
    """Lists of about so many jobs: how many rows each flow has."""
    chance, share = random.Random(1), max(1, count // 50)
    return {
        "zipf": rows(max(1, count // 5 // n) for n in range(1, max(2, count // 30))),
        "one giant": rows([count // 3, *[4] * (count // 6)]),
        "staircase": rows(range(1, round((2 * count) ** 0.5))),
        "random": rows(chance.randint(1, 2 * share) for _ in range(50)),
    }


def measure(jobs: Sequence[JobKey], rate: int | None, in_flight: int) -> dict[str, Any]:
    """One run of the engine, and one in input order."""
    longest = max(Counter(flow_id for flow_id, _ in jobs).values())
    least_s = max(len(jobs) / rate if rate else 0.0, longest * LATENCY_S, len(jobs) * LATENCY_S / in_flight)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        ending, took_s = runner.run(
            simulate(Path(folder), jobs, Willing(LATENCY_S), rate=rate, in_flight=in_flight)
        )
    assert ending.exit_code == 0, ending
    return {
        "least_s": round(least_s, 3),
        "to_least": round(took_s / least_s, 4),
        "input_order": round(in_input_order(jobs, rate, in_flight) / least_s, 4),
    }


def in_input_order(jobs: Sequence[JobKey], rate: int | None, in_flight: int) -> float:
    """Seconds that it takes to send whichever job comes first in the list of those whose flow is free."""
    lanes: dict[int, deque[int]] = defaultdict(deque)
    for row, (flow_id, _) in enumerate(jobs):
        lanes[flow_id].append(row)
    ready = [lane.popleft() for lane in lanes.values()]
    heapify(ready)
    under_way: list[tuple[float, int]] = []  # (end, flow)
    now = slot = 0.0
    while ready or under_way:
        if ready and len(under_way) < in_flight and (not under_way or max(now, slot) < under_way[0][0]):
            now = max(now, slot)
            heappush(under_way, (now + LATENCY_S, jobs[heappop(ready)][0]))
            slot = now + (1 / rate if rate else 0.0)
        else:
            now, flow_id = heappop(under_way)
            if lane := lanes[flow_id]:
                heappush(ready, lane.popleft())
    return now


if __name__ == "__main__":
    main()
