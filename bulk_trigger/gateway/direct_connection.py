"""One connection to the gateway, and what is known when a call on it fails.

Rule 1: at most one call is under way, and a request is written once, as a whole, never again.
Rule 2: "not sent" is said only if nothing can have left: the kernel refused the one write on the spot, or
        all of it still lies in our own buffer when its time is up. TLS keeps buffers where we cannot count
        them: there, what was written counts as sent. So does whatever this file cannot tell.
Rule 3: bytes or an end that come while no call is under way are the end of the connection. No reply is ever
        given to a request that was written after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
import socket
from typing import cast

from ..model import Fault
from .direct_reply import ReplyReader


class Connection(asyncio.BufferedProtocol):
    """A connection that is being made, open, or lost.

    `window` is where the loop puts what it reads. All connections of a loop may share one: what is in it is
    used up before the loop reads again. (asyncio gives a plain `Protocol` a new buffer of 256 KiB per reply.)
    """

    __slots__ = (
        "_ended",
        "_on_lost",
        "_request_size",
        "_secure",
        "_sock",
        "_transport",
        "_under_way",
        "_untouched",
        "_window",
        "lost",
        "old_at",
        "reader",
    )

    def __init__(  # noqa: PLR0913 - what a connection is made of
        self,
        sock: socket.socket,
        window: memoryview,
        reader: ReplyReader,
        ended: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
        *,
        secure: bool,
        old_at: float,
    ) -> None:
        self.old_at = old_at  #: after this moment it is not used for another call
        self.reader = reader  #: holds what the last call brought
        self._sock = sock
        self._window = window
        self._ended = ended  #: is told, once, that the call under way has ended
        self._on_lost = on_lost
        self._secure = secure
        self._transport: asyncio.Transport | None = None
        self._under_way = False  # a call is
        self._untouched = False  # nothing of the request can have left
        self._request_size = 0
        self.lost = asyncio.get_running_loop().create_future()  #: done when the connection is gone for good

    def call(self, request: bytes) -> None:
        """Write a request. When `ended` is called, `reader` has the whole reply, or a fault."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionError("the connection is closed")
        self.reader.begin()
        self._request_size = len(request)
        self._under_way = True
        transport.write(request)
        # It was open a moment ago. If it is not any more, the kernel has refused the very first byte.
        self._untouched = transport.is_closing() and not self._secure

    def is_usable(self) -> bool:
        """Whether a call can be written: open, all of the last one written, and nothing has come in since.

        The loop may not have read yet what has come in, so the kernel is asked.
        """
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def expire(self, message: str) -> None:
        """End the call under way: its time is up."""
        if (transport := self._transport) and not self._secure and not transport.is_closing():
            self._untouched = transport.get_write_buffer_size() >= self._request_size
        self.fail(Fault.NOT_SENT if self._untouched else Fault.TIMEOUT, message)

    def fail(self, fault: Fault, message: str) -> None:
        """End the call under way, if there is one, with a fault; the connection is given up."""
        self.reader.refuse(fault, message)
        self._finish()

    def drop(self) -> None:
        """Give the connection up; a call under way is forgotten."""
        self._under_way = False
        if self._transport is not None:
            self._transport.abort()

    # --- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport. With a limit of 0 each loop writes at once, so that refusals show at once."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the window has one size
        """Where to put what comes in."""
        return self._window

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has come in."""
        if not self._under_way:
            self.drop()
        elif self.reader.feed(self._window[:nbytes]):
            self._finish()

    def eof_received(self) -> None:
        """The gateway has said its last; the transport closes itself."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. Whoever waits for that must not wait for ever because of a bug."""
        try:
            self._end(exc)
        finally:
            self._on_lost(self)
            if not self.lost.done():
                self.lost.set_result(None)

    # ---

    def _end(self, error: Exception | None) -> None:
        """The connection ended; say what that means for the call under way."""
        if not self._under_way:
            return
        if self.reader.begun:
            self.reader.end(clean=error is None)
        else:
            text = str(error) if error else "the gateway closed the connection without a reply"
            self.reader.refuse(Fault.NOT_SENT if self._untouched else Fault.RESET, text)
        self._finish()

    def _finish(self) -> None:
        """Tell the caller; keep the connection only if the reply allows it."""
        if not self.reader.keep_s > 0 and self._transport is not None:
            self._transport.abort()
        if self._under_way:
            self._under_way = False
            self._ended(self)
