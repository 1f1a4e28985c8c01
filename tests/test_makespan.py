"""How long whole runs take, on a clock where waiting is free: the engine with a simulated gateway."""

from __future__ import annotations

from collections import Counter
from math import ceil
from pathlib import Path

from oracle import JobKey
import pytest
from simulated import Willing, rows, simulate

from bulk_trigger import Job
from bulk_trigger.ports import Answered

virtually = pytest.mark.asyncio(loop_factories=["virtual"])


class Recording(Willing):
    """Remembers what it was asked to start."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(latency_s)
        self.sent: list[JobKey] = []

    def trigger(self, job: Job, answered: Answered) -> None:
        self.sent.append((job.flow_id, job.trigger_time_ms))
        super().trigger(job, answered)


LOADS = {
    "even": rows([20] * 50),
    "one giant": rows([400, *[4] * 150]),
    "staircase": rows(range(1, 46)),
    "zipf": rows(ceil(300 / n) for n in range(1, 101)),
    "singles": rows([1] * 1000),
}


@virtually
@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize(("rate", "in_flight"), [(100, 64), (400, 16), (None, 8)])
async def test_a_run_ends_near_its_theoretical_minimum(
    tmp_path: Path, load: str, rate: int | None, in_flight: int
) -> None:
    """P14, design decision 16: rate, longest lane or in-flight cap, whichever decides."""
    jobs, latency_s = LOADS[load], 0.05
    gateway = Recording(latency_s)

    ending, took_s = await simulate(tmp_path, jobs, gateway, rate=rate, in_flight=in_flight)

    longest = max(Counter(flow_id for flow_id, _ in jobs).values())
    slot_s = 1 / rate if rate else latency_s / in_flight  # until the next call may start, at most
    least_s = max(
        len(jobs) / rate if rate else 0.0, longest * (latency_s + slot_s), len(jobs) * latency_s / in_flight
    )
    assert ending.exit_code == 0
    assert Counter(gateway.sent) == Counter(jobs)
    assert took_s <= least_s * 1.02 + 3 * latency_s


@virtually
async def test_the_bottleneck_is_named(tmp_path: Path) -> None:
    gateway = Recording(0.1)

    ending, _ = await simulate(tmp_path, rows([200, 5, 5]), gateway, rate=100, in_flight=8)

    assert ending.bottleneck is not None
    assert "the order of flow 3000; a higher --rate would not help" in ending.bottleneck
