"""How a reply leaves, and all the ways in which it does not."""

import asyncio
import contextlib
from http import HTTPStatus
import socket
import struct

from aiohttp import web

from .replies import JSON, Reply
from .scenario import Fault

_LINGER_ZERO = struct.pack("ii", 1, 0)  # close() then sends RST instead of FIN
_CHUNK = b" " * 65536
_POLL_S = 0.1


async def deliver(
    request: web.BaseRequest, reply: Reply, fault: Fault | None
) -> tuple[web.StreamResponse, bool]:
    """Send *reply*, or what the fault leaves of it; return what aiohttp is given, and whether all of it left.

    aiohttp insists on a response; after a fault it is an empty one that dies on the closed connection.
    """
    with contextlib.suppress(ConnectionError):  # the client has gone: nothing left
        match fault.kind if fault else None:
            case "reset":
                _reset(request)
            case "close":
                _close(request)
            case "cut" if fault:
                _close(request, _raw(reply)[: fault.bytes])
            case "huge" if fault:
                await _flood(request, reply, fault.megabytes)
            case _:
                response = web.Response(
                    status=reply.status,
                    body=reply.body,
                    headers={"Content-Type": reply.content_type, **reply.headers},
                )
                await response.prepare(request)
                await response.write_eof()
                return response, True
    return web.Response(), False


async def stay_silent(request: web.BaseRequest) -> web.Response:
    """Return when the client has given up."""
    while request.transport is not None:  # noqa: ASYNC110 - aiohttp tells nobody when a client leaves
        await asyncio.sleep(_POLL_S)
    return web.Response()


def _reset(request: web.BaseRequest) -> None:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        request.transport.abort()


def _close(request: web.BaseRequest, last_words: bytes = b"") -> None:
    if request.transport is not None:
        request.transport.write(last_words)
        request.transport.close()


async def _flood(request: web.BaseRequest, reply: Reply, megabytes: int) -> None:
    """Send a body that has no length and, as far as the client can tell, no end."""
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": JSON})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for _ in range(megabytes * (2**20 // len(_CHUNK))):
        await response.write(_CHUNK)
    _close(request)


def _raw(reply: Reply) -> bytes:
    """Return the reply as it stands on the wire."""
    head = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {len(reply.body)}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
        "\r\n",
    ]
    return "\r\n".join(head).encode() + reply.body
