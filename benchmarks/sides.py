"""The sides of a comparison, each a process of its own: sends JOBS triggers, prints what that cost.

`python -m benchmarks.sides SIDE URL JOBS CONNECTIONS FOLDER`
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
import itertools
import json
from pathlib import Path
import ssl
import sys
import time
from typing import Any, NamedTuple

import aiohttp
import orjson
import uvloop
from yarl import URL

from bulk_trigger import Credentials, Settings, run_jobs
from bulk_trigger.settings import Durability

FLOWS = 1000
START_MS = 1_704_067_200_000
PATH = "/dataflow-batch-service/v2.0/flows"
PARAMS = {"action": "trigger", "userId": "u1", "orgId": "o1"}
QUERY = "?action=trigger&userId=u1&orgId=o1"
#: What others' tools are installed with.
EXTRA = "pip install '.[bench]'"


def jobs(count: int) -> list[tuple[int, int]]:
    """The job list: `count` jobs over 1,000 flows, an hour apart."""
    return [(3000 + n % FLOWS, START_MS + n // FLOWS * 3_600_000) for n in range(count)]


async def plain(url: str, count: int, connections: int, _: Path) -> None:
    """What everybody writes first: a session, some workers, a POST, its JSON. Nothing else."""
    left = iter(jobs(count))

    async def work(session: aiohttp.ClientSession) -> None:
        for flow_id, time_ms in left:
            body = {"flowId": flow_id, "triggerTime": time_ms}
            async with session.post(url + PATH, params=PARAMS, json=body) as reply:
                answer = await reply.json()
                assert answer["status"] == 0

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session,
        asyncio.TaskGroup() as tasks,
    ):
        for _worker in range(connections):
            tasks.create_task(work(session))


async def tuned(url: str, count: int, connections: int, _: Path) -> None:
    """All that aiohttp's public API lets one leave out."""
    left, target = iter(jobs(count)), URL(url + PATH + QUERY, encoded=True)
    headers = {"Host": target.authority, "Content-Type": "application/json"}

    async def work(session: aiohttp.ClientSession) -> None:
        for flow_id, time_ms in left:
            body = b'{"flowId":%d,"triggerTime":%d}' % (flow_id, time_ms)
            reply = await session.request("POST", target, data=body, headers=headers, allow_redirects=False)
            assert orjson.loads(await reply.read())["status"] == 0

    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session,
        asyncio.TaskGroup() as tasks,
    ):
        for _worker in range(connections):
            tasks.create_task(work(session))


async def cookbook(url: str, count: int, connections: int, folder: Path) -> None:
    """The pattern of the openai-cookbook's parallel processor: a loop that wakes every millisecond, counts
    its capacity, starts a task per request, and appends every answer to a file that it opens for it.
    """
    left, capacity, looked, under_way = iter(jobs(count)), 1e6, time.time(), 0

    async def call(session: aiohttp.ClientSession, body: dict[str, int]) -> None:
        nonlocal under_way
        async with session.post(url + PATH, params=PARAMS, json=body) as reply:
            answer = await reply.json()
        assert answer["status"] == 0
        with (folder / "answers.jsonl").open("a") as file:
            file.write(json.dumps([body, answer]) + "\n")
        under_way -= 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        following = next(left, None)
        while following or under_way:
            now = time.time()
            capacity, looked = min(capacity + 1e6 * (now - looked) / 60.0, 1e6), now
            if following and capacity >= 1:
                capacity -= 1
                under_way += 1
                body = {"flowId": following[0], "triggerTime": following[1]}
                asyncio.create_task(call(session, body))  # noqa: RUF006 - as the pattern has it
                following = next(left, None)
            await asyncio.sleep(0.001)


async def aiometer(url: str, count: int, connections: int, _: Path) -> None:
    """httpx, with aiometer to hold the number of calls under way."""
    httpx, meter = import_module("httpx"), import_module("aiometer")

    async def call(client: Any, job: tuple[int, int]) -> None:
        body = {"flowId": job[0], "triggerTime": job[1]}
        reply = await client.post(url + PATH, params=PARAMS, json=body)
        assert reply.json()["status"] == 0

    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(limits=limits, verify=ssl.create_default_context()) as client:
        await meter.run_on_each(partial(call, client), jobs(count), max_at_once=connections)


async def engine(
    url: str,
    count: int,
    connections: int,
    folder: Path,
    *,
    durability: Durability = Durability.POWER,
) -> None:
    """Everything on: read, validate, import, order, sign, intent, send, judge, outcome, results."""
    path = folder / "jobs.csv"
    path.write_text(
        "flowId,triggerTime\n" + "".join(f"{flow_id},{time_ms}\n" for flow_id, time_ms in jobs(count))
    )
    settings = Settings(
        gateway=url, org_id="o1", user_id="u1", rates=(), in_flight=connections, durability=durability
    )
    run_directory = next(place for n in itertools.count() if not (place := folder / f"run-{n}").exists())
    ending = await run_jobs(
        path, run_directory, settings, credentials=Credentials("key", "secret"), again=True
    )
    assert ending.summary["counts"]["succeeded"] == count, ending


class Side(NamedTuple):
    """One way to send the jobs."""

    send: Callable[[str, int, int, Path], Awaitable[None]]
    on_uvloop: bool = False
    needs: tuple[str, ...] = ()  #: modules that may be missing
    share: float = 1.0  #: of the jobs; slow ones get fewer


unsynced = partial(engine, durability=Durability.PROCESS)

SIDES = {
    "plain": Side(plain),
    "plain-uvloop": Side(plain, on_uvloop=True),
    "tuned": Side(tuned),
    "tuned-uvloop": Side(tuned, on_uvloop=True),
    "cookbook": Side(cookbook, share=0.1),
    "aiometer": Side(aiometer, needs=("aiometer", "httpx"), share=0.05),
    "engine": Side(engine, on_uvloop=True),
    "engine-asyncio": Side(engine),
    "engine-no-sync": Side(unsynced, on_uvloop=True),
}


def missing(name: str) -> str | None:
    """Why a side cannot take part, or None."""
    lacks = [module for module in SIDES[name].needs if find_spec(module) is None]
    return f"{' and '.join(lacks)} not installed: {EXTRA}" if lacks else None


def measure(name: str, url: str, count: int, connections: int, folder: Path) -> dict[str, float]:
    """Carry out one side; CPU seconds are user and system time of this process, imports left out."""
    side = SIDES[name]
    for module in side.needs:
        import_module(module)
    count = max(1, round(count * side.share))
    make_loop = uvloop.new_event_loop if side.on_uvloop else asyncio.new_event_loop

    async def once() -> None:
        await side.send(url, count, connections, folder)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        cpu, wall = time.process_time(), time.perf_counter()
        runner.run(once())
        return {
            "cpu_us": (time.process_time() - cpu) / count * 1e6,
            "per_s": count / (time.perf_counter() - wall),
        }


import bulk_trigger.api  # noqa: E402, F401 - so that its import is not measured

if __name__ == "__main__":
    _, wanted, address, number, width, place = sys.argv
    print(json.dumps(measure(wanted, address, int(number), int(width), Path(place))))
