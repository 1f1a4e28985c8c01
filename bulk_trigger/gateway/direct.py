"""The direct wire: one kind of call over HTTP/1.1, at a fraction of a library's cost, with the same evidence.

    call ─► idle connection, or a new one ─► one write ─► reply, or the fault that kept it from us

Rule 1: one call is one write on one connection. A connection that turns out dead before the write costs
        nothing: another one is taken. After the write there is no other.
Rule 2: whatever happens on the way becomes an `Answer`. Only a cancellation is an exception, and the
        connection under it is given up.
Rule 3: a call makes one future, and neither task, timer nor parser, which cost microseconds each. All calls
        have the same time, so they run out in the order in which they began, and one timer is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
import socket
from typing import TYPE_CHECKING

from yarl import URL

from ..model import Fault
from .answer import JSON, OWN_HEADERS, RECYCLE_S, Answer
from .direct_connection import Connection
from .direct_dial import Dialer
from .wire_faults import dial_fault

if TYPE_CHECKING:
    import ssl

    from ..ports import Clock

_WINDOW = 1 << 16  #: bytes that are read at a time
_TICK_S = 0.001  #: timers may be early by so much; ours would rather be late


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
        self._head = f"POST {url.raw_path_qs} HTTP/1.1\r\n" + _lines(head)
        self._timeout_s = timeout_s
        self._clock = clock
        self._dialer = Dialer(url, timeout_s=min(connect_timeout_s, timeout_s), tls=tls)
        self._window = memoryview(bytearray(_WINDOW))
        self._open: set[Connection] = set()
        self._idle: dict[Connection, float] = {}  # until when to keep it; the one used last is last
        self._under_way: dict[Connection, float] = {}  # when its time is up; the first to end is first
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = float("inf")
        self._closed = False

    def __repr__(self) -> str:
        under_way, idle = len(self._under_way), len(self._idle)
        return f"<DirectWire {len(self._open)} open, {under_way} under way, {idle} idle>"

    async def send(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Make one call. Its time starts when its connection is there.

        Raises `ValueError` for headers that cannot be sent as they are: a bug of ours, and nothing was sent.
        """
        started = now = self._clock.monotonic()
        request = self._request(body, headers)
        connection = self._take(now)
        if connection is None:
            if self._closed:
                return Answer(fault=Fault.NOT_SENT, message="the connections of this run are closed")
            try:
                connection = await self._dial()
            except Exception as error:  # noqa: BLE001 - unlisted errors are faults too
                fault, message = dial_fault(error)
                return Answer(fault=fault, message=message, latency_s=self._clock.monotonic() - started)
            now = self._clock.monotonic()
        try:
            waiter = connection.call(request)
        except ConnectionError as error:
            return Answer(fault=Fault.NOT_SENT, message=str(error), latency_s=now - started)
        self._under_way[connection] = deadline = now + self._timeout_s
        if deadline < self._wakes_at:
            self._wake_at(deadline, now)
        try:
            await waiter
        except BaseException:
            connection.drop()
            raise
        finally:
            del self._under_way[connection]
        now = self._clock.monotonic()
        reply = connection.reader
        answer = Answer(
            status=reply.status,
            headers=reply.headers,
            body=reply.body if reply.whole else b"",
            fault=reply.fault,
            message=reply.message,
            bytes_out=0 if reply.fault is Fault.NOT_SENT else len(body),
            latency_s=now - started,
        )
        self._release(connection, now)
        return answer

    async def aclose(self) -> None:
        """Close all connections; calls under way end as lost."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        connections = list(self._open)
        for connection in connections:
            connection.fail(Fault.RESET, "the run closed its connections")
            connection.drop()
        if connections:
            await asyncio.wait([connection.lost for connection in connections])

    def _request(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        head = f"{self._head}{_lines(headers)}Content-Length: {len(body)}\r\n\r\n"
        return head.encode("ascii") + body

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
            return Connection(sock, self._window, self._forget, secure=self._dialer.secure, old_at=old_at)

        connection = await self._dialer.dial(make)
        if not connection.lost.done():
            self._open.add(connection)
        if self._closed:  # meanwhile
            connection.drop()
        return connection

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
        moments = []
        for connection, deadline in self._under_way.items():
            if deadline > now:
                moments.append(deadline)
                break
            connection.expire(f"no whole reply within {self._timeout_s:g} s")
        for connection, until in list(self._idle.items()):
            if until > now:
                moments.append(until)
            else:
                del self._idle[connection]
                connection.drop()
        if moments:
            self._wake_at(min(moments), now)


def _lines(headers: Mapping[str, str]) -> str:
    """Header lines. Raises `ValueError` for one that would be two."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("a header holds a line break")
    return text
