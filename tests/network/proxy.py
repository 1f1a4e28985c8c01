"""A fault proxy: stands between the program and the sandbox, and spoils what a script tells it to.

    program ◄──► Link ◄──► sandbox        one Link per connection of the program
                  │
                  ▼
       Exchange, Exchange, ...            one request with its reply each; a `Toxic` says what becomes of it

It moves bytes, and knows only where a request and a reply end, so that a script can say "the second attempt
of flow 3301, after byte 40 of its reply". What is passed on reaches the sandbox as it was sent: its ledger is
the witness of what took effect, `seen` of what arrived here, `did` of what was done to it. The toxics
themselves, Toxiproxy's list and some more, stand in `toxics`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
import json
import re
import ssl
from types import TracebackType
from typing import Self

from oracle import JobKey
from scripted import abort

APIS = {
    "/apim-token-service/": "token",
    "action=trigger": "trigger",
    "action=get&": "get",
    "action=search": "list",
    "action=getCurrentTime": "time",
}


@dataclass(frozen=True)
class Request:
    """What arrived from the program, whole."""

    raw: bytes
    head: str
    body: bytes
    api: str  #: one of `APIS`
    flow_id: int | None  #: that it is about
    job: JobKey | None  #: that it triggers
    attempt: int  #: the how manieth request about this job (or of this API and flow), from 1
    link: int  #: number of the connection
    place: int  #: 1 = the first request on its connection
    at: float  #: by the clock of the event loop


@dataclass(frozen=True)
class Toxic:
    """Something that becomes of an exchange."""

    name: str
    act: Callable[[Exchange], Awaitable[None]]

    def __repr__(self) -> str:
        return self.name


Script = Callable[[Request], Toxic]


@dataclass
class Link:
    """A connection of the program, and the one to the sandbox that serves it."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    flows: asyncio.Event = field(default_factory=asyncio.Event)  #: not set: no byte moves, in no direction
    requests: int = 0
    sandbox: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    ended: bool = False

    def reset(self) -> None:
        """End both connections at once; the program sees a TCP reset."""
        self.ended = True
        abort(self.writer)
        self._leave_sandbox()

    def hang_up(self) -> None:
        """End both connections in order; the program sees the end of the stream."""
        self.ended = True
        self.writer.close()
        self._leave_sandbox()

    def _leave_sandbox(self) -> None:
        if self.sandbox is not None:
            self.sandbox[1].close()
            self.sandbox = None


@dataclass
class Exchange:
    """One request, and what a toxic can do with it and with its reply."""

    request: Request
    link: Link
    proxy: FaultProxy

    async def ask(self, part: bytes | None = None) -> None:
        """Pass the request on, or a part of it."""
        await self.link.flows.wait()
        if self.link.sandbox is None:
            self.link.sandbox = await asyncio.open_connection("127.0.0.1", self.proxy.sandbox_port)
        writer = self.link.sandbox[1]
        writer.write(self.request.raw if part is None else part)
        await writer.drain()

    async def heard(self) -> bytes:
        """The whole reply of the sandbox."""
        assert self.link.sandbox is not None
        reader = self.link.sandbox[0]
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(_length(head))

    async def answer(self) -> bytes:
        """Pass the request on, and return the whole reply."""
        await self.ask()
        return await self.heard()

    async def tell(self, data: bytes) -> None:
        """Send something to the program."""
        await self.link.flows.wait()
        self.proxy.told += len(data)
        self.link.writer.write(data)
        await self.link.writer.drain()


class FaultProxy:
    """`async with FaultProxy(port_of_the_sandbox, script) as proxy: ... proxy.origin`."""

    def __init__(
        self,
        sandbox_port: int,
        script: Script,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.sandbox_port = sandbox_port
        self.script = script
        self.tls = tls
        self.port = port
        self.links: dict[int, Link] = {}  #: those that are open
        self.connections = 0
        self.seen: list[Request] = []
        self.did: Counter[str] = Counter()
        self.told = 0  #: bytes to the program
        self._host = host
        self._by_flow: defaultdict[int | None, list[Request]] = defaultdict(list)
        self._attempts: Counter[object] = Counter()
        self._partition = False
        self._mistakes: list[Exception] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._door: asyncio.Server | None = None

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self._host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.open_door()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it all. Raises what went wrong in here: that is a mistake of the test."""
        self.close_door()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)
        if self._mistakes:
            raise ExceptionGroup("in the proxy", self._mistakes)

    # --- what concerns all connections

    async def open_door(self) -> None:
        """Listen; the port stays the same."""
        self._door = await asyncio.start_server(
            self._connected, self._host, self.port, ssl=self.tls, backlog=512
        )
        self.port = self._door.sockets[0].getsockname()[1]

    def close_door(self) -> None:
        """Listen no more: new connections are refused, those that are there go on."""
        if self._door is not None:
            self._door.close()

    def hang_up_all(self) -> None:
        """End every connection in order."""
        for link in list(self.links.values()):
            link.hang_up()

    def part(self) -> None:
        """From now on no byte moves: what is on the way is held back, and so is what comes."""
        self._partition = True
        for link in self.links.values():
            link.flows.clear()

    def heal(self) -> None:
        """Let everything move again, also what was held back."""
        self._partition = False
        for link in self.links.values():
            link.flows.set()

    def about(self, flow_id: int, *apis: str) -> list[Request]:
        """The requests about a flow, as they arrived here."""
        return [each for each in self._by_flow[flow_id] if each.api in apis]

    # ---

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        link = self.links[self.connections] = Link(self.connections, reader, writer)
        if not self._partition:
            link.flows.set()
        try:
            with suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self._exchange(link)
        except Exception as error:  # noqa: BLE001 - a mistake of a test, told at its end
            if not link.ended:  # under its hands, by another toxic
                self._mistakes.append(error)
        finally:
            self._tasks.discard(task)
            del self.links[link.number]
            link.hang_up()

    async def _exchange(self, link: Link) -> None:
        head = await link.reader.readuntil(b"\r\n\r\n")
        body = await link.reader.readexactly(_length(head))
        link.requests += 1
        request = self._request(head, body, link)
        self.seen.append(request)
        self._by_flow[request.flow_id].append(request)
        toxic = self.script(request)
        self.did[toxic.name] += 1
        await toxic.act(Exchange(request, link, self))

    def _request(self, head: bytes, body: bytes, link: Link) -> Request:
        line = head.partition(b"\r\n")[0].decode()
        api = next((word for sign, word in APIS.items() if sign in line), "unknown")
        job = _job(body) if api == "trigger" else None
        about = job[0] if job else _flow_asked_for(line, body)
        self._attempts[job or (api, about)] += 1
        return Request(
            raw=head + body,
            head=head.decode(),
            body=body,
            api=api,
            flow_id=about,
            job=job,
            attempt=self._attempts[job or (api, about)],
            link=link.number,
            place=link.requests,
            at=asyncio.get_running_loop().time(),
        )


def _length(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: *([0-9]+)\r\n", head, re.IGNORECASE)
    return int(found[1]) if found else 0


def _job(body: bytes) -> JobKey:
    content = json.loads(body)
    return content["flowId"], content["triggerTime"]


def _flow_asked_for(line: str, body: bytes) -> int | None:
    """The flow that a look-up is about: the beginning of an instance ID."""
    found = re.search(r"flowInstId=([0-9]+)-", line) or re.search(r'"expression":"([0-9]+)-', body.decode())
    return int(found[1]) if found else None
