"""Event loops with free waiting: for whole runs with sandbox and proxy, and with a resolver of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import wraps
import selectors
import socket
from typing import Any, ParamSpec

from clock import TURN, VirtualLoop

FAR_S = 2.0  #: a jump over so much may be an attempt's timeout
NEAR_GRACE, FAR_GRACE = (
    0.001,
    0.004,
)  #: real seconds in which loopback traffic arrives, also on a busy machine
P = ParamSpec("P")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting for a timer, it sets the clock to it; before a far jump it looks for longer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += TURN
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(0) or super().select(FAR_GRACE if timeout > FAR_S else NEAR_GRACE)
        if not events:
            self.now += timeout
        return events


class FreeLoop(VirtualLoop):
    """A virtual loop for runs whose both ends are in this process."""

    def __init__(self) -> None:
        self._clock = _Selector()  # type: ignore[assignment]  # it has the same two members
        asyncio.SelectorEventLoop.__init__(self, self._clock)


def freely(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on that loop."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=FreeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


Answers = Callable[[float], Sequence[str]]
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


@dataclass
class Dialled:
    """A connection that was asked for. Times are the loop's."""

    host: str
    port: int
    began: float
    took: float | None = None  #: until it was there, refused, or given up


class ResolvingLoop(FreeLoop):
    """`answers` says what every name means at a moment: addresses, none for a failure."""

    def __init__(self, answers: Answers = lambda _: ("127.0.0.1",)) -> None:
        super().__init__()
        self.answers = answers
        self.failed = 0  #: names asked for in vain
        self.dialled: list[Dialled] = []
        self.detours: dict[int, Callable[[float], int]] = {}  #: port -> the one that is called in its place

    async def getaddrinfo(  # type: ignore[override]  # asyncio names what nobody here looks at
        self, _host: str, port: int, **_hints: int
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
