"""The sides of a comparison, each a process of its own: sends JOBS triggers, prints what that cost.

`python -m benchmarks.sides SIDE URL JOBS CONNECTIONS FOLDER`
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
import itertools
import json
from pathlib import Path
import sys
import time

import aiohttp
import uvloop

from bulk_trigger import Credentials, Settings, run_jobs

FLOWS = 1000
START_MS = 1_704_067_200_000
PARAMS = {"action": "trigger", "userId": "u1", "orgId": "o1"}


def jobs(count: int) -> list[tuple[int, int]]:
    """The job list: `count` jobs over 1,000 flows, an hour apart."""
    return [(3000 + n % FLOWS, START_MS + n // FLOWS * 3_600_000) for n in range(count)]


async def plain(url: str, count: int, connections: int, _: Path) -> None:
    """What everybody writes first: a session, some workers, a POST, its JSON. Nothing else."""
    left = iter(jobs(count))

    async def work(session: aiohttp.ClientSession) -> None:
        for flow_id, time_ms in left:
            body = {"flowId": flow_id, "triggerTime": time_ms}
            async with session.post(
                f"{url}/dataflow-batch-service/v2.0/flows", params=PARAMS, json=body
            ) as reply:
                answer = await reply.json()
                assert answer["status"] == 0

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session,
        asyncio.TaskGroup() as tasks,
    ):
        for _worker in range(connections):
            tasks.create_task(work(session))


async def engine(url: str, count: int, connections: int, folder: Path) -> None:
    """Everything on: read, validate, import, order, sign, intent, send, judge, outcome, results."""
    path = folder / "jobs.csv"
    path.write_text(
        "flowId,triggerTime\n" + "".join(f"{flow_id},{time_ms}\n" for flow_id, time_ms in jobs(count))
    )
    settings = Settings(gateway=url, org_id="o1", user_id="u1", rates=(), in_flight=connections)
    run_directory = next(place for n in itertools.count() if not (place := folder / f"run-{n}").exists())
    ending = await run_jobs(
        path, run_directory, settings, credentials=Credentials("key", "secret"), again=True
    )
    assert ending.summary["counts"]["succeeded"] == count, ending


SIDES: dict[str, tuple[Callable[[str, int, int, Path], Awaitable[None]], bool]] = {
    "plain": (plain, False),
    "plain-uvloop": (plain, True),
    "engine": (engine, True),
    "engine-asyncio": (engine, False),
}


def measure(side: str, url: str, count: int, connections: int, folder: Path) -> dict[str, float]:
    """Carry out one side; CPU seconds are user and system time of this process, imports left out."""
    function, fast_loop = SIDES[side]
    make_loop = uvloop.new_event_loop if fast_loop else asyncio.new_event_loop

    async def once() -> None:
        await function(url, count, connections, folder)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        cpu, wall = time.process_time(), time.perf_counter()
        runner.run(once())
        return {
            "cpu_us": (time.process_time() - cpu) / count * 1e6,
            "per_s": count / (time.perf_counter() - wall),
        }


import bulk_trigger.api  # noqa: E402, F401 - so that its import is not measured

if __name__ == "__main__":
    _, name, address, number, width, place = sys.argv
    print(json.dumps(measure(name, address, int(number), int(width), Path(place))))
