"""The direct wire: one kind of call over HTTP/1.1, at a fraction of a library's cost, with the same evidence.

    call ─► idle connection, or a new one ─► one write ─► reply, or the fault that kept it from us

Rule 1: one call is one write on one connection. A connection that turns out dead before the write costs
        nothing: another one is taken. After the write there is no other.
Rule 2: whatever happens on the way becomes an `Answer`, and every call gets exactly one, on a later turn of
        the loop.
Rule 3: a call makes neither task, future, timer nor parser, which cost microseconds each. All calls have the
        same time, so they run out in the order in which they began, and one timer is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice, takewhile
import socket
from typing import TYPE_CHECKING

import msgspec
from yarl import URL

from ..model import Fault
from .answer import JSON, OWN_HEADERS, RECYCLE_S, Answer
from .direct_connection import Connection
from .direct_dial import Dialer
from .direct_reply import Heads, ReplyReader
from .wire_faults import dial_fault

if TYPE_CHECKING:
    import ssl

    from ..ports import Clock

_WINDOW = 1 << 16  #: bytes that are read at a time
_TICK_S = 0.001  #: timers may be early by so much; ours would rather be late
_CLOSED = "the connections of this run are closed"

Answered = Callable[[Answer], None]


class _Call(msgspec.Struct, gc=False):
    """A call from its beginning to its answer."""

    request: bytes
    size: int  #: bytes of the body
    asked: float  #: when it began
    answered: Answered
    deadline: float = 0.0  #: when its time is up

    def __repr__(self) -> str:
        """Without what is said in it: a loop in debug mode shows what its callbacks are called with."""
        return f"<call of {self.size} bytes>"


class DirectWire:
    """Connections for one call, a POST of JSON. To be used and closed on one event loop."""

    def __init__(
        self,
        url: URL,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        head = {"Host": url.host_port_subcomponent or "", **OWN_HEADERS, **JSON}
        self._head = f"POST {url.raw_path_qs} HTTP/1.1\r\n".encode("ascii") + header_lines(head)
        self._timeout_s = timeout_s
        self._clock = clock
        self._dialer = Dialer(url, timeout_s=min(connect_timeout_s, timeout_s), tls=tls)
        self._window = memoryview(bytearray(_WINDOW))
        self._heads = Heads()
        self._open: set[Connection] = set()
        self._idle: dict[Connection, float] = {}  # until when to keep it; the one used last is last
        self._under_way: dict[Connection, _Call] = {}  # the first whose time is up is first
        self._dialling: set[asyncio.Task[Connection]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = float("inf")
        self._closed = False

    def __repr__(self) -> str:
        under_way, idle = len(self._under_way), len(self._idle)
        return f"<DirectWire {len(self._open)} open, {under_way} under way, {idle} idle>"

    def send(self, body: bytes, headers: bytes, answered: Answered) -> None:
        """Make one call; `answered` is told what it brought. Its time starts when its connection is there.

        `headers` are lines as `header_lines` makes them.
        """
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, headers, len(body), body)
        now = self._clock.monotonic()
        call = _Call(request, len(body), now, answered)
        if connection := self._take(now):
            self._begin(call, connection, now)
        elif self._closed:
            asyncio.get_running_loop().call_soon(self._refuse, call, Fault.NOT_SENT, _CLOSED)
        else:
            dialling = asyncio.ensure_future(self._dial())
            self._dialling.add(dialling)
            dialling.add_done_callback(partial(self._dialled, call))

    async def aclose(self) -> None:
        """Close all connections; calls under way end as lost."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for dialling in self._dialling:
            dialling.cancel()
        if self._dialling:
            await asyncio.wait(self._dialling)
        connections = list(self._open)
        for connection in connections:
            connection.fail(Fault.RESET, "the run closed its connections")
            connection.drop()
        if connections:
            await asyncio.wait([connection.lost for connection in connections])

    # --- a call, from its connection to its answer

    def _take(self, now: float) -> Connection | None:
        """The idle connection that was used last, if there is one that still lives."""
        while self._idle:
            connection, until = self._idle.popitem()
            if now < until and connection.is_usable():
                return connection
            connection.drop()
        return None

    async def _dial(self) -> Connection:
        old_at = self._clock.monotonic() + RECYCLE_S

        def make(sock: socket.socket) -> Connection:
            return Connection(
                sock,
                self._window,
                ReplyReader(self._heads),
                self._ended,
                self._forget,
                secure=self._dialer.secure,
                old_at=old_at,
            )

        connection = await self._dialer.dial(make)
        if not connection.lost.done():
            self._open.add(connection)
        return connection

    def _dialled(self, call: _Call, dialling: asyncio.Task[Connection]) -> None:
        self._dialling.discard(dialling)
        if dialling.cancelled():
            self._refuse(call, Fault.NOT_SENT, _CLOSED)
        elif error := dialling.exception():
            self._refuse(call, *dial_fault(error))
        elif self._closed:
            dialling.result().drop()
            self._refuse(call, Fault.NOT_SENT, _CLOSED)
        else:
            self._begin(call, dialling.result(), self._clock.monotonic())

    def _begin(self, call: _Call, connection: Connection, now: float) -> None:
        call.deadline = deadline = now + self._timeout_s
        self._under_way[connection] = call
        try:
            connection.call(call.request)
        except ConnectionError as error:
            del self._under_way[connection]  # the caller is told later, as of all else
            asyncio.get_running_loop().call_soon(self._refuse, call, Fault.NOT_SENT, str(error))
            return
        if deadline < self._wakes_at:
            self._wake_at(deadline, now)

    def _refuse(self, call: _Call, fault: Fault, message: str) -> None:
        """Answer a call of which nothing has left."""
        call.answered(Answer(fault=fault, message=message, latency_s=self._clock.monotonic() - call.asked))

    def _ended(self, connection: Connection) -> None:
        """The call under way on a connection has its reply, or a fault."""
        call = self._under_way.pop(connection)
        now = self._clock.monotonic()
        reply = connection.reader
        answer = Answer(
            status=reply.status,
            headers=reply.headers,
            body=reply.body if reply.whole else b"",
            fault=reply.fault,
            message=reply.message,
            bytes_out=0 if reply.fault is Fault.NOT_SENT else call.size,
            latency_s=now - call.asked,
        )
        self._release(connection, now)
        call.answered(answer)

    # --- the connections between calls

    def _release(self, connection: Connection, now: float) -> None:
        """Keep the connection for another call, if the reply allows it and it is not too old."""
        keep_s = connection.reader.keep_s
        until = min(now + keep_s, connection.old_at)
        if keep_s > 0 and now < until and not self._closed:
            self._idle[connection] = until
            if until < self._wakes_at:
                self._wake_at(until, now)
        else:
            connection.drop()

    def _forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _wake_at(self, moment: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = moment
        self._timer = asyncio.get_running_loop().call_later(moment - now + _TICK_S, self._tick)

    def _tick(self) -> None:
        """End the calls whose time is up, and close the connections that were idle for too long."""
        self._timer, self._wakes_at = None, float("inf")
        now = self._clock.monotonic()
        overdue = list(takewhile(lambda item: item[1].deadline <= now, self._under_way.items()))
        for connection, _ in overdue:
            connection.expire(f"no whole reply within {self._timeout_s:g} s")
        moments = [call.deadline for call in islice(self._under_way.values(), 1)]
        for connection, until in list(self._idle.items()):
            if until > now:
                moments.append(until)
            else:
                del self._idle[connection]
                connection.drop()
        if moments:
            self._wake_at(min(moments), now)


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Lines of a request's head. Raises `ValueError` for one that would be two, or is not ASCII."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("a header holds a line break")
    return text.encode("ascii")
