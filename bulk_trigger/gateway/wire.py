"""One HTTP call over aiohttp, and exactly one: never a redirect, never a second try.

Rule 1: this file and `wire_faults` are the only ones that know aiohttp's client; its traps are closed here.
Rule 2: whatever happens on the way becomes an `Answer`. Only a cancellation is an exception.
Rule 3: `direct` is the same for the calls that come by the thousand; both stand the same tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from ..model import Fault
from .answer import (
    DNS_S,
    ENDED_EARLY,
    JSON,
    KEEPALIVE_S,
    MAX_BODY,
    MAX_HEADERS,
    OWN_HEADERS,
    RECYCLE_S,
    TOO_LONG,
    Answer,
    shows_its_end,
)
from .wire_faults import AboutToReplay, Unfit, fault_of

if TYPE_CHECKING:
    import ssl

    from ..ports import Clock

MAX_LINE, MAX_FIELD = 8190, 8190  #: bytes of status line and header
NOT_CONNECTED = frozenset({Fault.REFUSED, Fault.UNREACHABLE, Fault.CONNECT_TIMEOUT, Fault.PROXY})


class _Line:
    """A session with the connections that it owns."""

    __slots__ = ("connector", "session", "under_way")

    def __init__(self, session: aiohttp.ClientSession, connector: aiohttp.TCPConnector) -> None:
        self.session = session
        self.connector = connector
        self.under_way = 0


class Wire:
    """Connections to one origin. To be used and closed on one event loop."""

    def __init__(
        self,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        # aiohttp would round times from 5 s up to whole seconds; with no threshold they hold as they are.
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_s, sock_connect=connect_timeout_s, ceil_threshold=float("inf")
        )
        self._clock = clock
        self._tls: ssl.SSLContext | bool = tls or True
        self._proxy = proxy
        self._line: _Line | None = None
        self._retired: list[_Line] = []
        self._recycle_at = 0.0

    async def send(self, method: str, url: URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Make one call. The attempt's time starts now."""
        started = self._clock.monotonic()
        line = self._line
        if line is None or started >= self._recycle_at:
            line = await self._recycle(started)
        tracker = aiohttp.UploadTracker() if body else None
        turns: list[None] = []  # filled when the loop turns: no reply to this request can be here before that
        asyncio.get_running_loop().call_soon(turns.append, None)
        response: aiohttp.ClientResponse | None = None
        status, content, fault, message = None, b"", None, ""
        line.under_way += 1
        try:
            response = await line.session.request(
                method,
                url,
                data=body or None,
                headers={**headers, **JSON} if body else headers,
                allow_redirects=False,
                upload_tracker=tracker,
                middlewares=None if body else _NO_REPLAY,
            )
            status = response.status
            content = await _read(response, stale=not turns)
        except Exception as error:  # noqa: BLE001 - unlisted errors are faults too
            fault, message = fault_of(error, untouched=tracker is not None and not tracker.bytes_written)
            status = error.status if isinstance(error, aiohttp.ClientHttpProxyError) else status
            if fault in NOT_CONNECTED:  # it may have moved: ask for its address again
                line.connector.clear_dns_cache()
        finally:
            line.under_way -= 1
            if response is not None and not response.closed:
                response.close()
        return Answer(
            status=status,
            headers=_NO_HEADERS if response is None else response.headers,
            body=content,
            fault=fault,
            message=message,
            bytes_out=tracker.bytes_written if tracker is not None else 0,
            latency_s=self._clock.monotonic() - started,
        )

    async def aclose(self) -> None:
        """Close all connections; calls under way end as lost."""
        lines, self._retired = [*self._retired, *([self._line] if self._line else [])], []
        self._line = None
        for line in lines:
            await line.session.close()

    async def _recycle(self, now: float) -> _Line:
        """Open a new session for the calls from here on; close the older ones that nobody uses any more."""
        if self._line:
            self._retired.append(self._line)
        line = self._line = self._open()
        self._recycle_at = now + RECYCLE_S
        idle = [old for old in self._retired if not old.under_way]
        self._retired = [old for old in self._retired if old.under_way]
        for old in idle:
            await old.session.close()
        return line

    def _open(self) -> _Line:
        connector = aiohttp.TCPConnector(
            limit=0,  # the limiter is the only queue: time spent in a second one would look like a timeout
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=DNS_S,
            ssl=self._tls,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            headers=OWN_HEADERS,
            skip_auto_headers=("Accept",),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            proxy=self._proxy,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
        )
        return _Line(session, connector)


def address(origin: str, path: str, params: Mapping[str, str]) -> URL:
    """The URL of a call, quoted once and then left alone. Raises `ValueError` for an impossible host."""
    query = f"?{urlencode(params, quote_via=quote)}" if params else ""
    return URL(f"{URL(origin).origin()}{path}{query}", encoded=True)


async def _no_replay(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Hide from aiohttp the errors after which it repeats a call: one send is one send."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise AboutToReplay from error


_NO_REPLAY = (
    _no_replay,
)  #: for calls without a body: those with one are POST, which aiohttp does not repeat
_NO_HEADERS: Mapping[str, str] = {}


async def _read(response: aiohttp.ClientResponse, *, stale: bool) -> bytes:
    """The body, up to `MAX_BODY`. Raises `Unfit` if the reply must not be used."""
    if stale:
        raise Unfit(Fault.MALFORMED, "a reply was there before its request was sent: it belongs to another")
    encoding = response.headers.get(aiohttp.hdrs.CONTENT_ENCODING, "identity")
    if encoding.lower() != "identity":
        raise Unfit(Fault.MALFORMED, f"the reply is encoded ({encoding}), which was not asked for")
    length = response.content_length
    if length is not None and length <= MAX_BODY:
        return await response.read()
    content = bytearray()
    if length is None:
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > MAX_BODY:
                break
        else:
            return _whole(response, bytes(content))
    raise Unfit(Fault.TOO_LARGE, TOO_LONG)


def _whole(response: aiohttp.ClientResponse, content: bytes) -> bytes:
    framed = "Transfer-Encoding" in response.headers or response.status in {204, 304}
    if framed or shows_its_end(content):
        return content
    raise Unfit(Fault.CUT, ENDED_EARLY)
