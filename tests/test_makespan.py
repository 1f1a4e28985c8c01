"""How long whole runs take, on a clock where waiting is free: the engine with a simulated gateway."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from math import ceil
from pathlib import Path

from clock import LoopClock, tell_later
from oracle import JobKey
import pytest

from bulk_trigger import Job, Rate, Reply, Settings
from bulk_trigger.header import JOURNAL
from bulk_trigger.journal import Journal
from bulk_trigger.launch import describe
from bulk_trigger.ports import Answered, InstanceQuery
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Ending, Run

T0 = 1_704_067_200_000
virtually = pytest.mark.asyncio(loop_factories=["virtual"])


class Simulated:
    """A gateway of constant latency that starts whatever it is asked to."""

    ready = True

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.sent: list[JobKey] = []

    def trigger(self, job: Job, answered: Answered) -> None:
        tell_later(self._reply(job), answered)

    async def _reply(self, job: Job) -> Reply:
        self.sent.append((job.flow_id, job.trigger_time_ms))
        await asyncio.sleep(self.latency_s)
        data = {"flowInstanceId": job.instance_id}
        return Reply(status=200, code=0, success=True, data=data, latency_s=self.latency_s)

    async def get_instance(self, instance_id: str) -> Reply:
        return Reply(status=200, code=0, success=True, message=instance_id)

    async def list_instances(self, query: InstanceQuery) -> Reply:
        raise NotImplementedError(query)

    async def current_time(self) -> Reply:
        raise NotImplementedError

    async def prepare(self) -> Reply:
        raise NotImplementedError

    def refuse_token(self, token: int) -> None:
        raise NotImplementedError(token)

    async def aclose(self) -> None:
        pass


async def simulate(
    folder: Path, jobs: Sequence[JobKey], gateway: Simulated, *, rate: int | None, in_flight: int
) -> tuple[Ending, float]:
    """Run the jobs; returns how it ended and the virtual seconds that it took."""
    settings = Settings(
        gateway="https://simulated.example",
        rates=(Rate(rate, 1.0),) if rate else (),
        in_flight=in_flight,
    )
    source = JobTuples(jobs)
    journal = Journal.create(
        folder / JOURNAL,
        source,
        settings=settings,
        tool="test",
        at_ms=T0,
        source=lambda: describe(source),
        explain=lambda *_: "",
    )
    run = Run(folder, journal, settings, gateway, clock=LoopClock(), threaded=False)
    started = asyncio.get_running_loop().time()
    ending = await run.execute()
    return ending, asyncio.get_running_loop().time() - started


def rows(*lengths: int) -> list[JobKey]:
    """A list in which flow n has so many rows; short flows come first, which is the worst order."""
    return [
        (3000 + n, T0 + hour * 3_600_000)
        for n, length in sorted(enumerate(lengths), key=lambda each: each[1])
        for hour in range(length)
    ]


LOADS = {
    "even": rows(*[20] * 50),
    "one giant": rows(400, *[4] * 150),
    "staircase": rows(*range(1, 46)),
    "zipf": rows(*(ceil(300 / n) for n in range(1, 101))),
    "singles": rows(*[1] * 1000),
}


@virtually
@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize(("rate", "in_flight"), [(100, 64), (400, 16), (None, 8)])
async def test_a_run_ends_near_its_theoretical_minimum(
    tmp_path: Path, load: str, rate: int | None, in_flight: int
) -> None:
    """P14, design decision 16: rate, longest lane or in-flight cap, whichever decides."""
    jobs, latency_s = LOADS[load], 0.05
    gateway = Simulated(latency_s)

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
    gateway = Simulated(0.1)

    ending, _ = await simulate(tmp_path, rows(200, 5, 5), gateway, rate=100, in_flight=8)

    assert ending.bottleneck is not None
    assert "the order of flow 3000; a higher --rate would not help" in ending.bottleneck
