"""A server that costs next to nothing: it answers every trigger at once with the right instance ID.

Run as a process (`python -m benchmarks.answerer`); prints its port, ends when its standard input does.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
import re
import sys
import threading
from typing import cast

import uvloop

from bulk_trigger.model import predict_instance_id

TOKEN = b'{"status":0,"msg":"SUCCESS","data":{"accessToken":"benchmark","expire":7200}}'
_BODY = re.compile(rb'"flowId":\s*(\d+),\s*"triggerTime":\s*(\d+)')
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


class Answerer(asyncio.Protocol):
    """One connection; requests may come in pieces, but never pipelined."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, blank, body = self._data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if blank and len(body) >= (int(length[1]) if length else 0):
            self._data = b""
            self._transport.write(answer(head, body))


def answer(head: bytes, body: bytes) -> bytes:
    """The whole reply to one request."""
    if b"/token/" in head[:80]:
        return _reply(TOKEN)
    if job := _BODY.search(body):
        return _reply(
            b'{"status":0,"msg":" Success","data":{"flowInstanceId":"%s"}}' % _instance(job[1], job[2])
        )
    return _reply(b'{"status":0,"msg":" Success","data":null}')


@lru_cache(maxsize=1 << 16)
def _instance(flow_id: bytes, time_ms: bytes) -> bytes:
    return predict_instance_id(int(flow_id), int(time_ms)).encode()


def _reply(content: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(content),
        content,
    )


async def main() -> None:
    """Serve until standard input ends."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(Answerer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(
        target=lambda: (sys.stdin.buffer.read(), loop.call_soon_threadsafe(over.set)), daemon=True
    ).start()
    await over.wait()


if __name__ == "__main__":
    uvloop.run(main())
