"""An event loop with free waiting and a resolver of its own, which remembers whom it was asked to call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
import socket
from typing import Any

from clock import VirtualLoop

Answers = Callable[[float], Sequence[str]]
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


@dataclass
class Dialled:
    """A connection that was asked for. Times are the loop's."""

    host: str
    port: int
    began: float
    took: float | None = None  #: until it was there, refused, or given up


class ResolvingLoop(VirtualLoop):
    """`answers` says what every name means at a moment: addresses, none for a failure."""

    def __init__(self, answers: Answers = lambda _: ("127.0.0.1",)) -> None:
        super().__init__()
        self.answers = answers
        self.failed = 0  #: names asked for in vain
        self.dialled: list[Dialled] = []
        self.detours: dict[int, Callable[[float], int]] = {}  #: port -> the one that is called in its place

    async def getaddrinfo(  # type: ignore[override]  # asyncio's has defaults of its own
        self, host: str, port: int, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0  # noqa: A002
    ) -> list[AddressInfo]:
        addresses = self.answers(self.time())
        if not addresses:
            self.failed += 1
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [_info(address, port) for address in addresses]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        dialled = Dialled(address[0], address[1], self.time())
        self.dialled.append(dialled)
        detour = self.detours.get(dialled.port)
        there = (dialled.host, detour(self.time()), *address[2:]) if detour else address
        try:
            await super().sock_connect(sock, there)
        finally:
            dialled.took = self.time() - dialled.began

    def calls_to(self, host: str) -> list[Dialled]:
        return [each for each in self.dialled if each.host == host]


def resolving(
    main: Callable[[ResolvingLoop], Awaitable[None]], answers: Answers = lambda _: ("127.0.0.1",)
) -> None:
    """Run `main` on such a loop."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ResolvingLoop)
        await main(loop)

    with asyncio.Runner(loop_factory=lambda: ResolvingLoop(answers)) as runner:
        runner.run(run())


def _info(address: str, port: int) -> AddressInfo:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)
