"""Makes connections: name, address, TLS. Nothing of a request is written here: a failure is "not sent"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
import socket
import ssl

import aiohappyeyeballs
from yarl import URL

from .answer import DNS_S
from .direct_connection import Connection

NEXT_ADDRESS_S = 0.25  #: when one address is silent for so long, the next one is tried beside it


class Dialer:
    """The way to one origin. Its addresses are remembered for a while, and forgotten when none answers."""

    def __init__(self, url: URL, *, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        self.secure = url.scheme == "https"
        self._host = (url.raw_host or "").rstrip(".")
        self._port = url.port or 443
        self._timeout_s = timeout_s
        self._tls = tls
        self._lookup: asyncio.Task[list[aiohappyeyeballs.AddrInfoType]] | None = None
        self._look_again_at = 0.0

    async def dial(self, make: Callable[[socket.socket], Connection]) -> Connection:
        """Make one connection. Raises what `wire_faults.dial_fault` knows; `TimeoutError` is ours too."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            sock = await self._connect(loop)
            connection = make(sock)
            # The loop owns the socket from here on, and closes it however this ends.
            await loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._context() if self.secure else None,
                server_hostname=self._host if self.secure else None,
                ssl_handshake_timeout=self._timeout_s + 1 if self.secure else None,  # ours comes first
            )
        return connection

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        addresses = await self._addresses(loop)
        try:
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=NEXT_ADDRESS_S, loop=loop
            )
        except BaseException:  # also our own timeout
            self._look_again_at = 0.0
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _addresses(self, loop: asyncio.AbstractEventLoop) -> list[aiohappyeyeballs.AddrInfoType]:
        """Look the host up, once for all who need it now."""
        if self._lookup is None or loop.time() >= self._look_again_at:
            self._look_again_at = loop.time() + DNS_S
            self._lookup = loop.create_task(self._look_up(loop))
        try:
            return await asyncio.shield(self._lookup)
        except OSError:
            self._look_again_at = 0.0
            raise

    async def _look_up(self, loop: asyncio.AbstractEventLoop) -> list[aiohappyeyeballs.AddrInfoType]:
        return list(await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))

    def _context(self) -> ssl.SSLContext:
        """The rules of TLS, made at the first need: reading the system's certificates takes a while."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
