"""A server of raw sockets that answers with exactly the bytes, silences and cuts that a test scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
import json
import socket
import ssl
import struct
from typing import Any

import trustme

from bulk_trigger.gateway.auth import Credentials
from bulk_trigger.gateway.http import HttpGateway
from bulk_trigger.model import Job, Reply
from bulk_trigger.ports import Gateway
from bulk_trigger.settings import Settings

TOKEN = "canary-token-3f9a"
CREDENTIALS = Credentials("canary-key-51c2", "canary-secret-b7d0")
JOB = Job(1, 3377, 1574385824000)
WIRES = ("direct", "aiohttp")
WIRE = "direct"  #: over which of them triggers go; tests for both put the other one here


@dataclass(frozen=True)
class Request:
    """What arrived: request line and headers as one text, and the body."""

    head: str
    body: bytes

    @property
    def is_for_token(self) -> bool:
        return "/apim-token-service/" in self.head

    def header(self, name: str) -> str | None:
        pairs = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return next((value.strip() for key, _, value in pairs if key.lower() == name.lower()), None)


Script = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """What the scripted server has seen."""

    port: int = 0
    scheme: str = "http"
    connections: int = 0
    used: int = 0  #: connections that carried one of `requests`
    requests: list[Request] = field(default_factory=list)  #: but for those that ask for a token
    writers: list[asyncio.StreamWriter] = field(default_factory=list)  #: one per connection
    arrival: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def saw(self, requests: int) -> None:
        """Wait until so many requests have arrived."""
        while len(self.requests) < requests:
            self.arrival.clear()
            await self.arrival.wait()


def http(content: bytes | dict[str, Any], status: int = 200, *headers: str) -> bytes:
    """A whole HTTP reply."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def token_reply(value: str = TOKEN, expire: object = 7200) -> bytes:
    return http({"status": 0, "msg": "SUCCESS", "data": {"accessToken": value, "expire": expire}})


BODY = b'{"flowId":3377,"triggerTime":1574385824000}'  #: of JOB
SUCCESS = http({"status": 0, "msg": " Success", "data": {"flowInstanceId": JOB.instance_id}})


def always(reply: bytes) -> Script:
    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)

    return script


def then_close(reply: bytes = b"") -> Script:
    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()
        writer.close()

    return script


async def silence(_: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(_: Request, writer: asyncio.StreamWriter) -> None:
    abort(writer)


def abort(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def listening(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A listener on a port of its own; its conversations end with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await connected(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listener = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls, backlog=512)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(
    script: Script, *, token: Script | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A scripted server. Requests for a token are answered by `token`, by default with a good one."""
    server = Server(scheme="https" if tls else "http")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.writers.append(writer)
        used = False
        while not writer.is_closing():
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request = Request(head, b"")
            if length := request.header("Content-Length"):
                request = Request(head, await reader.readexactly(int(length)))
            if request.is_for_token:
                await (token or always(token_reply()))(request, writer)
            else:
                server.used += not used
                used = True
                server.requests.append(request)
                server.arrival.set()
                await script(request, writer)
            await writer.drain()

    async with listening(connected, tls) as server.port:
        yield server


def settings_for(origin: str, **changes: Any) -> Settings:
    return Settings(**{"gateway": origin, "org_id": "o1", "user_id": "u1", "timeout_s": 5.0, **changes})


@asynccontextmanager
async def gateway_to(server: Server, **options: Any) -> AsyncIterator[HttpGateway]:
    """A gateway that has its token; options as for `gateway_for`."""
    gateway = gateway_for(server.origin, **options)
    try:
        await gateway.prepare()
        yield gateway
    finally:
        await gateway.aclose()


async def trigger_at(script: Script, **options: Any) -> tuple[Reply, Server]:
    async with serving(script) as server, gateway_to(server, **options) as gateway:
        return await triggered(gateway, JOB), server


async def knock_at(origin: str, **options: Any) -> Reply:
    """The reply to a trigger that is the first call of all: its token is put there by hand."""
    gateway = gateway_for(origin, **options)
    try:
        give_token(gateway)
        return await triggered(gateway, JOB)
    finally:
        await gateway.aclose()


def gateway_for(origin: str, **options: Any) -> HttpGateway:
    """A gateway without a token. Options that are settings go there, the others to the gateway."""
    own = {name: options.pop(name) for name in ("clock", "proxy", "tls") if name in options}
    gateway = HttpGateway(settings_for(origin, **options), CREDENTIALS, **own)
    if WIRE == "aiohttp":
        gateway._direct = None
    return gateway


def triggered(gateway: Gateway, job: Job) -> asyncio.Future[Reply]:
    """The reply to a trigger, to be waited for."""
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def answered(answer: Reply) -> None:
        if not reply.cancelled():
            reply.set_result(answer)

    gateway.trigger(job, answered)
    return reply


def give_token(gateway: HttpGateway) -> None:
    assert gateway._tokens.accept({"accessToken": TOKEN, "expire": 7200}, gateway._clock.monotonic())


async def prepare_at(origin: str, **options: Any) -> Reply:
    gateway = gateway_for(origin, **options)
    try:
        return await gateway.prepare()
    finally:
        await gateway.aclose()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def tls_of(
    authority: trustme.CA, *names: str, not_after: datetime | None = None
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server with a certificate for these names, and of a client that trusts its authority."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(*names, not_after=not_after).configure_cert(server)
    authority.configure_trust(client)
    return server, client
