"""Our side of the simulated network: everything below `HttpGateway`, and the loop whose time is the world's.

Triggers run through the real direct wire, down to the transport: what it writes is parsed, what it reads are
bytes. The other calls are made where aiohttp begins. So signing, envelopes, headers, the reading of replies
and the evidence of faults are the engine's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from functools import partial
from http import HTTPStatus
from math import inf
from random import Random
import selectors
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from world import Heard, Request, Sent, World
from yarl import URL

from bulk_trigger.gateway.answer import Answer
from bulk_trigger.gateway.auth import Credentials, Signer
from bulk_trigger.gateway.direct_connection import Connection
from bulk_trigger.gateway.http import HttpGateway, _Endpoint
from bulk_trigger.model import Fault
from bulk_trigger.ports import Clock
from bulk_trigger.sandbox.tokens import APP_KEY, APP_SECRET
from bulk_trigger.settings import Settings

TURN_S = 1e-9  # of virtual time per turn of the loop: time never stands still
MAX_TURNS = 150_000  #: of one session; a run that needs more does not end


class StuckError(BaseException):
    """A run that waits for nothing that could ever happen, or turns for ever."""


class _Selector(selectors.SelectSelector):
    """Waits for nothing: it sets the world's time to whatever happens next."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.turns = 0
        self.last_words = False  #: the process is dead: its clean-up must not move the world

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        world = self._world
        if self.last_words:
            if timeout is None or self.turns > MAX_TURNS + 20_000:
                raise StuckError("a dead process does not end")
            world.now += timeout  # whoever killed it puts the time back
            return []
        if self.turns > MAX_TURNS:
            raise StuckError(f"no end after {self.turns} turns of the loop")
        world.now += TURN_S
        if timeout is None or timeout > 0:
            if timeout is None and world.next_at == inf:
                raise StuckError("nothing will ever happen any more")
            until = inf if timeout is None else world.now + timeout
            world.now = max(min(until, world.next_at), world.now)
        world.happen()
        return []


class WorldLoop(asyncio.SelectorEventLoop):
    """An event loop in the world's time. `step` is called whenever anything is about to run."""

    def __init__(self, world: World, step: Callable[[], None]) -> None:
        self._world = world
        self._step = step
        self.selector = _Selector(world)
        super().__init__(self.selector)

    def time(self) -> float:
        return self._world.now

    def call_soon(  # type: ignore[override]  # the stub's variadic types say no more than this
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self._step()
        return super().call_soon(callback, *args, context=context)


class WorldClock:
    """The `ports.Clock` of a session."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self.dice = Random(seed).random

    def monotonic(self) -> float:
        return self._world.now

    def wall(self) -> float:
        return self._world.wall


class Process:
    """The process under test, as the network sees it: what it sends leaves only while it lives."""

    def __init__(self, world: World, step: Callable[[str], None]) -> None:
        self.world = world
        self.step = step  #: is told what is about to happen
        self.alive = True
        self.dice = Random((world.plan.seed << 24) + (world.session << 16))


def _dial_error(what: str) -> Exception | None:
    """How a connection attempt ends; None: it never does."""
    return {
        "refused": ConnectionRefusedError(111, "connection refused"),
        "unreachable": OSError(113, "no route to host"),
        "unresolved": socket.gaierror(-2, "name or service not known"),
        "hung up in the handshake": ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        "no certificate": ssl.SSLCertVerificationError(1, "certificate verify failed"),
    }.get(what)


class _Dialer:
    """Stands in for the direct wire's way to the gateway."""

    def __init__(self, process: Process, *, secure: bool, timeout_s: float) -> None:
        self.secure = secure
        self._process = process
        self._timeout_s = timeout_s

    async def dial(self, make: Callable[[Any], Connection]) -> Connection:
        process, world = self._process, self._process.world
        began = world.now
        async with asyncio.timeout(self._timeout_s):
            if what := "" if world.calm else world.plan.dial(world.now, process.dice):
                await _fail(process, what)
            await asyncio.sleep(world.plan.latency_s * process.dice.random())
        line = Line(process, began)
        line.protocol = connection = make(line)
        connection.connection_made(line)
        return connection


async def _fail(process: Process, what: str) -> None:
    process.world.hits[f"dial: {what}"] += 1
    error = _dial_error(what)
    if error is None:
        await asyncio.get_running_loop().create_future()  # whoever waits has a time limit
        return
    await asyncio.sleep(process.world.plan.latency_s)
    raise error


class Line(asyncio.Transport):
    """One connection for triggers: the transport under the engine's `Connection`, and its socket at once."""

    def __init__(self, process: Process, began: float) -> None:
        super().__init__()
        self.protocol: Connection
        self._process = process
        self._began: float | None = began  # a call that had to wait for this connection began with it
        self._closed = False
        self._ended_by_them = False
        self._sent: Sent | None = None

    # --- what the engine does with it

    def write(self, data: bytes | bytearray | memoryview) -> None:
        process, world = self._process, self._process.world
        began, self._began = self._began, None
        process.step("send")
        if not process.alive:
            return
        sent = world.call(_parse(bytes(data)), world.now if began is None else began, self._hear)
        if sent is None:
            self._close(ConnectionResetError("connection reset by peer"))
            return
        self._sent = sent
        process.step("sent")

    def recv(self, _size: int, _flags: int) -> bytes:
        """What the kernel says when it is asked whether something has come in."""
        if self._ended_by_them:
            return b""
        raise BlockingIOError

    def is_closing(self) -> bool:
        return self._closed

    def abort(self) -> None:
        self._close(None)

    def close(self) -> None:
        self._close(None)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    # --- what comes from the world

    def _hear(self, heard: Heard) -> None:
        process, sent = self._process, self._sent
        if self._closed or not process.alive or sent is None:
            return
        process.step("heard")
        if not process.alive:
            return
        match heard.end:
            case "reset":
                self._close(ConnectionResetError("connection reset by peer"))
            case "close":
                self._end()
            case "cut":
                reply = _rendered(heard)
                self._feed(reply[: int(heard.cut * len(reply))])
                self._end()
            case _:
                self._reply(sent, heard)

    def _reply(self, sent: Sent, heard: Heard) -> None:
        world, reply = self._process.world, _rendered(heard)
        if heard.split and not self._closed:
            first = int(heard.split * len(reply))
            self._feed(reply[:first])
            reply = reply[first:]
            world.at(world.now + 0.001, partial(self._rest, sent, heard, reply))
        else:
            self._rest(sent, heard, reply)

    def _rest(self, sent: Sent, heard: Heard, reply: bytes) -> None:
        if self._closed or not self._process.alive or sent is not self._sent:
            return
        self._sent = None
        self._process.world.listened(sent, heard)
        self._feed(reply)
        if heard.closes:
            self._ended_by_them = True

    def _feed(self, data: bytes) -> None:
        if data:
            window = self.protocol.get_buffer(len(data))
            window[: len(data)] = data
            self.protocol.buffer_updated(len(data))

    def _end(self) -> None:
        if not self._closed:
            self.protocol.eof_received()
            self._close(None)

    def _close(self, error: Exception | None) -> None:
        if self._closed:
            return
        self._closed = True
        if self._sent is not None:
            self._process.world.gone(self._sent)
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)


class Calls:
    """Stands in for aiohttp's wire: look-ups, probes and tokens."""

    def __init__(self, process: Process, *, timeout_s: float, connect_timeout_s: float) -> None:
        self._process = process
        self._timeout_s = timeout_s
        self._connect_timeout_s = min(connect_timeout_s, timeout_s)

    async def send(self, method: str, url: URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        process, world = self._process, self._process.world
        began = world.now
        process.step("lookup")
        if what := "" if world.calm else world.plan.dial(world.now, process.dice):
            return await self._unreached(what, began)
        if not process.alive:
            return Answer(fault=Fault.CANCELLED)
        waiter: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        target = urlsplit(str(url))
        request = Request(method, f"{target.path}?{target.query}", _lowered(headers), body)
        sent = world.call(request, began, partial(self._hear, waiter))
        assert sent is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                heard = await waiter
        except TimeoutError:
            world.gone(sent)
            return self._answer(began, fault=Fault.TIMEOUT, message="no whole reply", bytes_out=len(body))
        except BaseException:
            world.gone(sent)
            raise
        if heard.end != "reply":
            world.gone(sent)
            fault = Fault.CUT if heard.end == "cut" else Fault.RESET
            return self._answer(began, fault=fault, message="connection lost", bytes_out=len(body))
        world.listened(sent, heard)
        return self._answer(
            began, status=heard.status, headers=heard.headers, body=heard.body, bytes_out=len(body)
        )

    async def aclose(self) -> None:
        pass

    async def _unreached(self, what: str, began: float) -> Answer:
        faults = {
            "refused": Fault.REFUSED,
            "unreachable": Fault.UNREACHABLE,
            "unresolved": Fault.NAME,
            "hung up in the handshake": Fault.UNREACHABLE,
            "no certificate": Fault.TLS,
            "black hole": Fault.CONNECT_TIMEOUT,
        }
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await _fail(self._process, what)
        except (OSError, TimeoutError) as error:
            return self._answer(began, fault=faults[what], message=str(error))
        raise AssertionError(what)

    def _hear(self, waiter: asyncio.Future[Heard], heard: Heard) -> None:
        process = self._process
        if process.alive and not waiter.done():
            process.step("heard")
            waiter.set_result(heard)

    def _answer(self, began: float, **facts: Any) -> Answer:
        return Answer(latency_s=self._process.world.now - began, **facts)


class SimulatedGateway(HttpGateway):
    """The real gateway client over the simulated network."""

    def __init__(self, settings: Settings, process: Process, clock: Clock) -> None:
        times = {"timeout_s": settings.timeout_s, "connect_timeout_s": settings.connect_timeout_s}
        self._calls = Calls(process, **times)
        super().__init__(settings, Credentials(APP_KEY, APP_SECRET), clock=clock)
        self._wire = self._calls  # type: ignore[assignment]  # as far as it is used
        direct = self._direct
        assert direct is not None
        timeout_s = min(settings.connect_timeout_s, settings.timeout_s)
        direct._dialer = _Dialer(process, secure=process.world.plan.secure, timeout_s=timeout_s)  # type: ignore[assignment]

    def _endpoint(self, method: str, path: str, params: dict[str, str]) -> _Endpoint:
        real = super()._endpoint(method, path, params)
        url = real.send.args[1]  # type: ignore[attr-defined]  # a partial
        return _Endpoint(Signer(params, APP_SECRET), partial(self._calls.send, method, url))


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _parse(data: bytes) -> Request:
    """Read a request as a server does, and insist on what the direct wire promises to write."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    method, target, version = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert version == "HTTP/1.1"
    assert int(headers["content-length"]) == len(body)
    return Request(method, target, headers, body)


def _rendered(heard: Heard) -> bytes:
    """A reply as it stands on the wire."""
    try:
        phrase = HTTPStatus(heard.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {heard.status} {phrase}", f"Content-Length: {len(heard.body)}"]
    lines += [f"{name}: {value}" for name, value in heard.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + heard.body
