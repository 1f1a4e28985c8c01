"""A server that costs next to nothing: it answers every trigger at once with the right instance ID.

Run as a process (`python -m benchmarks.answerer [CERTIFICATE]`); prints its port, ends when its standard
input does. nginx would be no substitute: it cannot know the instance ID that the engine expects in each
answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
import re
import ssl
import subprocess
import sys
import tempfile
import threading
from typing import cast

import uvloop

from bulk_trigger.model import predict_instance_id

from .machine import ROOT, pin

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
            reply = answer(head, body)
            if b"HTTP/1.0\r\n" in head[:200]:  # ab speaks it, and otherwise waits for our end
                reply = reply.replace(b"\r\n", b"\r\nConnection: Keep-Alive\r\n", 1)
            self._transport.write(reply)


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


async def serve(certificate: str | None) -> None:
    """Serve until standard input ends; `certificate`: a PEM file with its key, for https."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await loop.create_server(Answerer, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(
        target=lambda: (sys.stdin.buffer.read(), loop.call_soon_threadsafe(over.set)), daemon=True
    ).start()
    await over.wait()


@contextmanager
def answerer(scheme: str = "http") -> Iterator[tuple[str, Mapping[str, str]]]:
    """Run the server on the second core; gives its address, and the environment of those who trust it."""
    with tempfile.TemporaryDirectory() as folder:
        certificates, environment = _certificates(Path(folder)) if scheme == "https" else ([], {})
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.answerer", *certificates],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: pin(1),  # noqa: PLW1509 - one thread, nothing imported: safe here
        ) as server:
            assert server.stdout is not None and server.stdin is not None  # noqa: PT018 - pipes
            yield f"{scheme}://127.0.0.1:{int(server.stdout.readline())}", environment
            server.stdin.close()


def _certificates(folder: Path) -> tuple[list[str], dict[str, str]]:
    import trustme  # noqa: PLC0415 - only https needs it

    authority = trustme.CA()
    own, trusted = folder / "server.pem", folder / "authority.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(own))
    authority.cert_pem.write_to_path(str(trusted))
    return [str(own)], {"SSL_CERT_FILE": str(trusted)}


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1] if len(sys.argv) > 1 else None))
