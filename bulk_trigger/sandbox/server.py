"""The sandbox itself: an HTTP server in front of the pretended service."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from pathlib import Path
import time
from types import TracebackType
from typing import Self

from aiohttp import web

from .calls import Call, read_call
from .chance import dice, latency_s
from .faults import FaultPlan, spoil
from .ledger import Called, Effect, Ledger, Opened
from .limits import Limit
from .replies import Reply, refusal
from .scenario import Fault, Scenario
from .service import Service
from .tokens import APP_KEY, APP_SECRET, ORG_ID, USER_ID, Tokens
from .wire import deliver, stay_silent

_SHUTDOWN_S = 0.1  # for calls that are still being answered
_NOWHERE = Call(api="unknown", action="")
_EFFECTIVE = {"trigger", "cancel"}  #: what the ledger has an effect of


class Sandbox:
    """A gateway to try things on: `async with Sandbox(scenario) as sandbox: ... sandbox.url`.

    *ledger* is a path (its earlier effects are there again), a `Ledger`, or None: kept in memory.
    Every chance is drawn from *seed*. Port 0 takes a free one.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        seed: int = 0,
        ledger: Ledger | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.scenario = scenario or Scenario()
        self.ledger = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
        self.url = ""
        self._seed = seed
        self._address = (host, port)
        self._calls = 0
        self._attempts: Counter[tuple[object, ...]] = Counter()
        self._late: list[asyncio.TimerHandle] = []  # effects to come
        self._tokens = Tokens(seed)

    @property
    def credentials(self) -> Mapping[str, str]:
        """What a client needs to know beside the URL; the same in every sandbox."""
        return {"appKey": APP_KEY, "appSecret": APP_SECRET, "userId": USER_ID, "orgId": ORG_ID}

    async def __aenter__(self) -> Self:
        self._started = time.monotonic()
        self.become(self.scenario)
        server = web.Server(self._serve, access_log=None, keepalive_timeout=self.scenario.keepalive_s)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        host, port = self._address
        await web.TCPSite(self._runner, host, port, backlog=1024).start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for timer in self._late:
            timer.cancel()
        await self._runner.cleanup()
        await self.ledger.close()

    def become(self, scenario: Scenario) -> None:
        """Go on under another scenario, as if stopped and started again with the same ledger."""
        self.scenario = scenario
        self._limit = Limit(scenario)
        self._plan = FaultPlan(scenario.faults, self._seed)
        self._service = Service(scenario, self._seed, self.ledger)
        for event in self.ledger.record.events:
            self._service.replay(event)
            if isinstance(event, Called | Effect):
                self._calls = max(self._calls, event.n)
            if isinstance(event, Called) and event.attempt is not None:
                self._attempts[event.subject] = max(self._attempts[event.subject], event.attempt)
        opened = Opened(seed=self._seed, scenario=scenario.digest, at=self._now(), mono=time.monotonic())
        self.ledger.append(opened)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and write down how it went."""
        body = await request.read()
        mono, now = time.monotonic(), self._now()
        self._calls += 1
        n = self._calls
        call = read_call(request.method, request.raw_path, body) or _NOWHERE
        attempt, fault = None, None
        reply = self._turn_away(call, request.headers, mono, now)
        if reply is None:
            self._attempts[call.subject] += 1
            attempt = self._attempts[call.subject]
            fault = self._plan.choose(call, attempt, mono - self._started)
            reply = await self._answer(call, n, attempt, fault)
        if self.scenario.clock_offset_s:
            reply = replace(reply, headers={"Date": formatdate(self._now(), usegmt=True), **reply.headers})
        note = partial(
            Called,
            n=n,
            api=call.api,
            conn=_client_port(request),
            flow_id=call.flow_id,
            trigger_time=call.trigger_time,
            about=call.about,
            attempt=attempt,
            fault=fault.name if fault else None,
            at=now,
            mono=mono,
        )
        if fault is not None and fault.is_silence:
            self.ledger.append(note())
            return await stay_silent(request)
        response, whole = await deliver(request, reply, fault)
        told = note(status=reply.status, code=reply.code, done=time.monotonic()) if whole else note()
        self.ledger.append(told)
        return response

    def _turn_away(self, call: Call, headers: Mapping[str, str], mono: float, now: float) -> Reply | None:
        """Refuse at the door: over the limit, no such place, or not signed."""
        if (call.api != "token" or self.scenario.limit_tokens) and not self._limit.admit(mono):
            return refusal(429, "API rate limit exceeded", **_retry_after(self.scenario))
        if call is _NOWHERE:
            return refusal(404, "no Route matched with those values")
        if call.api == "token":
            return None
        return self._tokens.refuse(call, headers, self.scenario, now)

    async def _answer(self, call: Call, n: int, attempt: int, fault: Fault | None) -> Reply:
        """Do what the call asks for, take the time it takes, and return what there is to say."""
        reply = await (self._perform(call, n) if fault is None else self._fail(call, n, fault))
        await asyncio.sleep(
            latency_s(self.scenario.latency, dice(self._seed, "latency", *call.subject, attempt))
        )
        return reply

    async def _fail(self, call: Call, n: int, fault: Fault) -> Reply:
        """Let the fault strike before, after or instead of the effect."""
        await asyncio.sleep(fault.pause_s("before"))
        honest = None
        if fault.spares_effect:
            honest = await self._perform(call, n)
        elif fault.late_s is not None:
            self._late.append(asyncio.get_running_loop().call_later(fault.late_s, self._act, call, n))
        await asyncio.sleep(fault.pause_s("after"))
        return spoil(fault, call, honest)

    async def _perform(self, call: Call, n: int) -> Reply:
        reply = self._act(call, n)
        if call.api in _EFFECTIVE:
            await self.ledger.synced()
        return reply

    def _act(self, call: Call, n: int) -> Reply:
        if call.api == "token":
            return self._tokens.serve(call, self.scenario, self._now())
        return self._service.answer(call, n, self._now())

    def _now(self) -> float:
        return time.time() + self.scenario.clock_offset_s


def _retry_after(scenario: Scenario) -> dict[str, str]:
    return {} if scenario.retry_after_s is None else {"Retry-After": str(scenario.retry_after_s)}


def _client_port(request: web.BaseRequest) -> int:
    """Return what tells connections apart; 0 when the client has gone already."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return peer[1] if peer else 0
