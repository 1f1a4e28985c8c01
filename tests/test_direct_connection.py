"""What is known when a call fails: each way for a connection to end, on a transport driven by hand."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from scripted import SUCCESS

from bulk_trigger.gateway.direct_connection import Connection
from bulk_trigger.gateway.direct_reply import Heads, ReplyReader
from bulk_trigger.model import Fault

REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


class ScriptedTransport(asyncio.Transport):
    """Takes as many bytes as it is told to; `refuses` closes it on the first write, as an error does."""

    def __init__(self, *, takes: int = 1 << 20, refuses: bool = False) -> None:
        super().__init__()
        self.takes = takes
        self.refuses = refuses
        self.written = b""
        self.closing = False
        self.writes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        self.written += bytes(data)
        self.closing = self.closing or self.refuses

    def get_write_buffer_size(self) -> int:
        return 0 if self.closing else max(0, len(self.written) - self.takes)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert (high, low) == (0, None)

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


class Line:
    """A connection over a scripted transport; below it a socket, with `there` as the peer's end."""

    def __init__(self, *, secure: bool = False, takes: int = 1 << 20, refuses: bool = False) -> None:
        self.here, self.there = socket.socketpair()
        self.here.setblocking(False)
        self.window = memoryview(bytearray(1000))
        self.lost: list[Connection] = []
        self.transport = ScriptedTransport(takes=takes, refuses=refuses)
        self.ended = asyncio.Event()
        self.connection = Connection(
            self.here,
            self.window,
            ReplyReader(Heads()),
            lambda _: self.ended.set(),
            self.lost.append,
            secure=secure,
            old_at=0.0,
        )
        self.connection.connection_made(self.transport)

    def arrive(self, data: bytes) -> None:
        self.connection.get_buffer(-1)[: len(data)] = data
        self.connection.buffer_updated(len(data))

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.mark.parametrize("error", [None, ConnectionResetError(104, "reset")])
@pytest.mark.parametrize(
    ("below", "reply", "fault"),
    [
        ({"refuses": True}, b"", Fault.NOT_SENT),
        ({"refuses": True, "secure": True}, b"", Fault.RESET),
        ({}, b"", Fault.RESET),
        ({"takes": 1}, b"", Fault.RESET),
        ({"takes": 0}, b"", Fault.RESET),
        ({}, b"H", Fault.CUT),
        ({}, b"HTTP/1.1 100 Continue\r\n\r\n", Fault.CUT),
        ({}, SUCCESS[:-1], Fault.CUT),
        ({}, SUCCESS, None),
    ],
)
async def test_what_a_lost_connection_proves(
    error: Exception | None, below: dict[str, Any], reply: bytes, fault: Fault | None
) -> None:
    """P6: not sent only where the kernel has refused the first byte and we can know it."""
    line = Line(**below)
    line.connection.call(REQUEST)
    if reply:
        line.arrive(reply)
    line.connection.connection_lost(error)
    await line.ended.wait()
    line.close()

    assert line.connection.reader.fault is fault
    assert line.transport.writes == 1
    assert line.lost == [line.connection]


@pytest.mark.parametrize(
    ("secure", "takes", "fault"),
    [
        (False, 0, Fault.NOT_SENT),
        (False, 1, Fault.TIMEOUT),
        (False, 1 << 20, Fault.TIMEOUT),
        (True, 0, Fault.TIMEOUT),
    ],
)
async def test_what_the_end_of_its_time_proves(secure: bool, takes: int, fault: Fault) -> None:
    """P6: what still lies in our own buffer as a whole cannot have left, and now never will."""
    line = Line(secure=secure, takes=takes)
    line.connection.call(REQUEST)
    line.connection.expire("too late")
    await line.ended.wait()
    line.close()

    assert (line.connection.reader.fault, line.connection.reader.message) == (fault, "too late")
    assert line.transport.closing


@pytest.mark.parametrize("ending", ["bytes", "eof", "lost"])
async def test_what_comes_while_no_call_is_under_way_ends_the_connection(ending: str) -> None:
    """P3: F34."""
    line = Line()
    line.connection.call(REQUEST)
    line.arrive(SUCCESS)
    await line.ended.wait()
    assert line.connection.is_usable()
    if ending == "bytes":
        line.arrive(SUCCESS)
    elif ending == "eof":
        line.connection.eof_received()
        line.transport.closing = True  # as transports do then
    else:
        line.transport.closing = True
        line.connection.connection_lost(None)

    assert not line.connection.is_usable()
    with pytest.raises(ConnectionError):
        line.connection.call(REQUEST)
    assert line.transport.writes == 1
    line.close()


@pytest.mark.parametrize("sign", ["bytes", "end", "closed", "unwritten"])
async def test_the_kernel_is_asked_before_a_connection_is_used_again(sign: str) -> None:
    """P6, P3: the loop has not read yet what has come in."""
    line = Line()
    assert line.connection.is_usable()
    if sign == "bytes":
        line.there.send(b"x")
    elif sign == "end":
        line.there.close()
    elif sign == "closed":
        line.here.close()
    else:
        line.transport.takes = 0
        line.transport.written = b"x"

    assert not line.connection.is_usable()
    line.close()


async def test_the_first_of_many_endings_counts() -> None:
    line = Line()
    line.connection.call(REQUEST)
    line.arrive(SUCCESS)
    line.connection.expire("too late")
    line.connection.fail(Fault.RESET, "closed")
    line.connection.connection_lost(ConnectionResetError())
    await line.ended.wait()
    line.close()

    assert (line.connection.reader.whole, line.connection.reader.fault) == (True, None)


async def test_nobody_waits_for_a_connection_that_was_dropped() -> None:
    line = Line()
    line.connection.call(REQUEST)
    line.connection.drop()
    line.arrive(SUCCESS)
    line.connection.connection_lost(None)
    line.close()

    assert not line.ended.is_set()
    assert line.transport.closing
    assert line.connection.lost.done()


async def test_a_bug_in_who_hears_of_a_lost_call_leaves_nobody_waiting_for_its_connection() -> None:
    """F82: a wire that closes waits for its connections; one that never says that it is gone hangs it."""
    line = Line()

    def fail(_: Connection) -> None:
        raise LookupError

    line.connection._ended = fail
    line.connection.call(REQUEST)
    with pytest.raises(LookupError):
        line.connection.connection_lost(None)
    line.close()

    assert line.connection.lost.done()
    assert line.lost == [line.connection]
