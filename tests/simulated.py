"""The engine with a gateway that only takes time, on the virtual clock. The benchmarks use it as well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from clock import LoopClock
from oracle import JobKey

from bulk_trigger import Job, Rate, Reply, Settings
from bulk_trigger.header import JOURNAL
from bulk_trigger.journal import Journal
from bulk_trigger.launch import describe
from bulk_trigger.ports import Answered, InstanceQuery
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Ending, Run

T0 = 1_704_067_200_000
HOUR = 3_600_000


class Willing:
    """A gateway of constant latency that starts whatever it is asked to."""

    ready = True

    def __init__(self, latency_s: float = 0.0) -> None:
        self.latency_s = latency_s

    def trigger(self, job: Job, answered: Answered) -> None:
        data = {"flowInstanceId": job.instance_id}
        reply = Reply(status=200, code=0, success=True, data=data, latency_s=self.latency_s)
        asyncio.get_running_loop().call_later(self.latency_s, answered, reply)

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
    folder: Path, jobs: Sequence[JobKey], gateway: Willing, *, rate: int | None, in_flight: int
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


def rows(lengths: Iterable[int]) -> list[JobKey]:
    """A list in which flow n has so many rows; short flows come first, which is the worst order."""
    return [
        (3000 + n, T0 + hour * HOUR)
        for n, length in sorted(enumerate(lengths), key=lambda each: each[1])
        for hour in range(length)
    ]
