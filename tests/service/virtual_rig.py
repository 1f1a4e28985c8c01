"""Whole runs without sockets, on a clock where waiting is free: hours of bad service pass in a second.

    Run ─► HttpGateway (tokens, signatures, envelopes) ─► Line ─► Sandbox (limits, tokens, faults, service)

Everything between the journal and the pretended service is the real thing; only the bytes do not travel.
Where the sandbox's own vocabulary of faults ends, `lie` gets each honest reply and says something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from clock import EPOCH, LoopClock
from oracle import JobKey
import pytest
from running import FAST, HOUR, Rig, hourly
from yarl import URL

from bulk_trigger import Ending, Rate
from bulk_trigger.gateway.answer import Answer
from bulk_trigger.gateway.auth import Credentials
from bulk_trigger.gateway.http import HttpGateway
from bulk_trigger.launch import Opened, create, reopen
from bulk_trigger.model import Fault, State
from bulk_trigger.ports import Clock, Observer
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Run
from bulk_trigger.sandbox import Fault as Trouble
from bulk_trigger.sandbox import Ledger, Sandbox, Scenario
from bulk_trigger.sandbox.calls import Call, read_call
from bulk_trigger.sandbox.ledger import Called
from bulk_trigger.sandbox.replies import Reply
from bulk_trigger.settings import Durability, Settings

virtually = pytest.mark.asyncio(loop_factories=["virtual"])

Lie = Callable[[Call, Reply], Reply]
_LOST = {"reset": Fault.RESET, "close": Fault.RESET, "cut": Fault.CUT, "huge": Fault.TOO_LARGE}


class Virtual(Sandbox):
    """The sandbox, without a server around it, on the running loop's clock."""

    def open(self, lie: Lie) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self.lie = lie
        self.url = "https://virtual.example"
        self.become(self.scenario)

    def _now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time() + self.scenario.clock_offset_s

    async def receive(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Answer one request as `Sandbox._serve` does, and write it down."""
        mono, now = self._loop.time(), self._now()
        self._calls += 1
        call = read_call(method, target, body) or Call(api="unknown", action="")
        attempt, trouble = None, None
        reply = self._turn_away(call, headers, mono, now)
        if reply is None:
            self._attempts[call.subject] += 1
            attempt = self._attempts[call.subject]
            trouble = self._plan.choose(call, attempt, mono - self._started)
            n = self._calls
            reply = self.lie(call, await self._answer(call, n, attempt, trouble))
        note = partial(
            Called,
            n=self._calls,
            api=call.api,
            conn=0,
            flow_id=call.flow_id,
            trigger_time=call.trigger_time,
            about=call.about,
            attempt=attempt,
            fault=trouble.name if trouble else None,
            at=now,
            mono=mono,
        )
        if lost := self._lost(trouble):
            self.ledger.append(note())
            if trouble is not None and trouble.is_silence:
                await asyncio.Event().wait()
            return Answer(fault=lost, message="so it was scripted", bytes_out=len(body))
        self.ledger.append(note(status=reply.status, code=reply.code, done=self._loop.time()))
        return Answer(status=reply.status, headers=reply.headers, body=reply.body, bytes_out=len(body))

    @staticmethod
    def _lost(trouble: Trouble | None) -> Fault | None:
        if trouble is None:
            return None
        return Fault.TIMEOUT if trouble.is_silence else _LOST.get(trouble.kind)


class Line:
    """What stands in for a wire: one call is one call."""

    def __init__(self, sandbox: Virtual, clock: Clock, timeout_s: float) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._timeout_s = timeout_s
        self._calls: set[asyncio.Task[Answer]] = set()  # also those that nobody waits for any more

    async def send(self, method: str, url: URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        started = self._clock.monotonic()
        call = asyncio.ensure_future(self._sandbox.receive(method, url.raw_path_qs, body, headers))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await asyncio.shield(call)
        except TimeoutError:
            answer = Answer(fault=Fault.TIMEOUT, message="no reply in time", bytes_out=len(body))
        return Answer(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            fault=answer.fault,
            message=answer.message,
            bytes_out=answer.bytes_out,
            latency_s=self._clock.monotonic() - started,
        )

    async def aclose(self) -> None:
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)


class VirtualGateway(HttpGateway):
    """The real gateway, over a `Line`."""

    def __init__(self, settings: Settings, credentials: Credentials, sandbox: Virtual, clock: Clock) -> None:
        super().__init__(settings, credentials, clock=clock)
        self._direct = None
        self._wire = Line(sandbox, clock, settings.timeout_s)  # type: ignore[assignment]  # does what a wire does
        self._trigger = self._endpoint("POST", "/flows", {"action": "trigger", **self._ids})
        self._search = self._endpoint("POST", "/flowInstances", {"action": "search", **self._ids})
        self._time = self._endpoint("GET", "/time", {"action": "getCurrentTime"})


class QuietRun(Run):
    """A run that writes no progress: a file for every virtual second would be most of its work."""

    async def _tell(self) -> None:
        pass


class VirtualRig(Rig):
    """A `Rig` whose runs take no time. Its settings are the product's own, but for the rate."""

    sandbox: Virtual

    def settings(self, **changes: Any) -> Settings:
        usual = {"rates": (Rate(100, 1.0),), "durability": Durability.PROCESS}
        return Settings(**{**self.target, **usual, **changes})

    async def trigger(
        self,
        jobs: Sequence[JobKey],
        *,
        observer: Observer | None = None,
        watch: Callable[[Run], bool] = lambda _: True,
        **changes: Any,
    ) -> Ending:
        """Run a job list from its beginning; `watch` sees the run once, before it starts."""
        opened = create(JobTuples(jobs), self.directory, self.settings(**changes), again=True)
        return await self._execute(opened, watch, observer)

    async def resume(self, *, rerun: Sequence[State] = (), **overrides: Any) -> Ending:
        return await self._execute(reopen(self.directory, overrides, rerun=rerun))

    async def _execute(
        self,
        opened: Opened,
        watch: Callable[[Run], bool] = lambda _: True,
        observer: Observer | None = None,
    ) -> Ending:
        clock = LoopClock()
        gateway = VirtualGateway(opened.settings, self.credentials, self.sandbox, clock)
        with opened:
            run = QuietRun(
                opened.directory,
                opened.journal,
                opened.settings,
                gateway,
                observer=observer,
                notice=self.notices.append,
                clock=clock,
                threaded=False,
            )
            watch(run)
            return await run.execute()

    def calls(self, api: str) -> list[Called]:
        """The calls of one kind, in the order in which they ended."""
        return [call for call in Ledger.read(self.ledger).calls if call.api == api]


def past(rows: int, flows: int = 10) -> list[JobKey]:
    """Like `hourly`, but of a year before `EPOCH`: instances of that time have been there for long."""
    return [(flow_id, moment - 365 * 24 * HOUR) for flow_id, moment in hourly(rows, flows)]


def honest(_: Call, reply: Reply) -> Reply:
    return reply


def later(seconds: float, act: Callable[[], object]) -> Callable[[Run], bool]:
    """A watch that does something once so much time has passed."""

    def watch(_: Run) -> bool:
        asyncio.get_running_loop().call_later(seconds, act)
        return True

    return watch


@asynccontextmanager
async def virtual_rig(
    folder: Path, scenario: str = "", *, seed: int = 1, lie: Lie = honest
) -> AsyncIterator[VirtualRig]:
    """A sandbox without sockets, with a scenario (TOML), and a place for runs against it."""
    text = scenario if "[latency]" in scenario else scenario + "\n" + FAST
    path = folder / "ledger.jsonl"
    ledger = Ledger(path, durable=False)
    sandbox = Virtual(Scenario.parse(text), seed=seed, ledger=ledger)
    sandbox.open(lie)
    try:
        yield VirtualRig(sandbox, folder, path)
    finally:
        for timer in sandbox._late:
            timer.cancel()
        await ledger.close()
