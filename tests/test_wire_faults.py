"""What can go wrong on the wire, each with the fault that says it: the table of exceptions, row by row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
import errno
import gc
import resource
import socket
import struct
import threading

import aiohttp
import pytest
import scripted
from scripted import (
    BODY,
    JOB,
    SUCCESS,
    WIRES,
    Request,
    abort,
    always,
    free_port,
    gateway_for,
    gateway_to,
    give_token,
    http,
    knock_at,
    listening,
    reset,
    serving,
    silence,
    then_close,
    tls_of,
    trigger_at,
    triggered,
)
import trustme
import uvloop

from bulk_trigger.gateway import answer
from bulk_trigger.gateway.wire_faults import fault_of
from bulk_trigger.model import Fault, Reply

LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@pytest.fixture(autouse=True, params=WIRES)
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All of this file holds for both wires."""
    monkeypatch.setattr(scripted, "WIRE", request.param)
    return str(request.param)


# --- before anything is sent


async def test_a_refused_connection_was_not_sent() -> None:
    """F5."""
    for host in ("127.0.0.1", "localhost"):
        reply = await knock_at(f"http://{host}:{free_port()}")

        assert (reply.fault, reply.bytes_out) == (Fault.REFUSED, 0)


async def test_a_name_that_does_not_resolve_was_not_sent() -> None:
    """F1."""
    reply = await knock_at("https://gateway.invalid")

    assert (reply.fault, reply.bytes_out) == (Fault.NAME, 0)


async def test_a_server_that_never_accepts_is_a_connect_timeout() -> None:
    """F6: the backlog is full, so the handshake of TCP is never answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)

        reply = await knock_at(f"http://127.0.0.1:{address[1]}", connect_timeout_s=0.05)
        for filler in fillers:
            filler.close()

    assert (reply.fault, reply.bytes_out) == (Fault.CONNECT_TIMEOUT, 0)
    assert reply.latency_s < 4


async def test_a_server_that_never_speaks_tls_is_a_connect_timeout() -> None:
    """F8, F9: the handshake is within the connect timeout, and within the total one."""
    for times in ({"connect_timeout_s": 0.05}, {"timeout_s": 0.05}):
        async with serving(silence) as server:
            reply = await knock_at(f"https://127.0.0.1:{server.port}", **times)

        assert (reply.fault, reply.bytes_out) == (Fault.CONNECT_TIMEOUT, 0)


async def test_a_certificate_that_cannot_be_verified_is_refused_before_a_byte_is_sent() -> None:
    """P29: F7. Unknown authority, wrong host, expired."""
    ours, theirs = trustme.CA(), trustme.CA()
    cases = [
        (tls_of(theirs, "127.0.0.1")[0], tls_of(ours, "127.0.0.1")[1]),
        (tls_of(theirs, "127.0.0.1")[0], None),
        tls_of(ours, "other.example"),
        tls_of(ours, "127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC)),
    ]
    for server_tls, client_tls in cases:
        async with serving(always(SUCCESS), token=always(SUCCESS), tls=server_tls) as server:
            reply = await knock_at(server.origin, tls=client_tls)

        assert (reply.fault, reply.bytes_out) == (Fault.TLS, 0)
        assert "certificate" in reply.message.lower()
        assert not server.requests


async def test_other_trouble_with_tls_is_refused_too() -> None:
    """F8: the server speaks plain HTTP."""

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with listening(speak_first) as port:
        reply = await knock_at(f"https://127.0.0.1:{port}")

    assert (reply.fault, reply.bytes_out) == (Fault.TLS, 0)


@pytest.mark.parametrize("hang_up", [asyncio.StreamWriter.close, abort])
async def test_a_hang_up_during_the_handshake_says_nothing_about_the_certificate(
    hang_up: Callable[[asyncio.StreamWriter], None],
) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        hang_up(writer)

    async with listening(connected) as port:
        reply = await knock_at(f"https://127.0.0.1:{port}")

    assert (reply.fault, reply.bytes_out) == (Fault.UNREACHABLE, 0)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (errno.EHOSTUNREACH, Fault.UNREACHABLE),
        (errno.ENETUNREACH, Fault.UNREACHABLE),
        (errno.ECONNREFUSED, Fault.REFUSED),
        (errno.ETIMEDOUT, Fault.CONNECT_TIMEOUT),
        (errno.EMFILE, Fault.RESOURCES),
        (errno.ENFILE, Fault.RESOURCES),
        (errno.ENOMEM, Fault.RESOURCES),
        (errno.ENOBUFS, Fault.RESOURCES),
        (errno.EADDRNOTAVAIL, Fault.RESOURCES),
        (None, Fault.UNREACHABLE),
    ],
)
def test_why_a_connection_could_not_be_made_is_told_apart(code: int | None, fault: Fault) -> None:
    """F13 and its kin: the system's error numbers."""
    key = aiohttp.client_reqrep.ConnectionKey(
        "h", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
    )
    error = aiohttp.ClientConnectorError(key, OSError(code, "text") if code else OSError("many"))

    assert fault_of(error, untouched=True)[0] is fault


async def test_running_out_of_descriptors_is_told_apart() -> None:
    """F13."""
    async with serving(always(SUCCESS)) as server:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        gateway = gateway_for(server.origin)
        give_token(gateway)
        gc.collect()
        with socket.socket() as last:
            resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno(), hard))
            try:
                reply = await triggered(gateway, JOB)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        again = await triggered(gateway, JOB)
        await gateway.aclose()

    assert (reply.fault, reply.bytes_out) == (Fault.RESOURCES, 0)
    assert again.success


async def test_a_proxy_is_used_only_on_request_and_its_refusal_is_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """P29: F10, F11. The environment names a proxy, and nothing is sent there."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    refusal = http(b"", 407, 'Proxy-Authenticate: Basic realm="x"')
    async with serving(always(refusal), token=always(refusal)) as proxy, serving(always(SUCCESS)) as server:
        direct = await knock_at(server.origin)
        tunnel = await knock_at("https://127.0.0.1:1", proxy=f"http://user:canary@127.0.0.1:{proxy.port}")
        gone = await knock_at("https://127.0.0.1:1", proxy=f"http://127.0.0.1:{free_port()}")

    assert direct.success
    assert (tunnel.fault, tunnel.status, tunnel.bytes_out) == (Fault.PROXY, 407, 0)
    assert (gone.fault, gone.status, gone.bytes_out) == (Fault.PROXY, None, 0)
    assert [request.head.split()[0] for request in proxy.requests] == ["CONNECT"]
    assert "canary" not in tunnel.message


# --- the same evidence over plain HTTP and TLS, on both loops


@LOOPS
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_what_was_handed_over_counts_as_sent(
    loop: Callable[[], asyncio.AbstractEventLoop], tls: bool
) -> None:
    """P6: F14, F15, F16, F18. A lost connection proves nothing once the body has left our hands."""

    async def scenario() -> None:
        server_tls, client_tls = tls_of(trustme.CA(), "127.0.0.1") if tls else (None, None)
        for script, fault in (
            (then_close(), Fault.RESET),
            (reset, Fault.RESET),
            (silence, Fault.TIMEOUT),
            (then_close(SUCCESS[:-1]), Fault.CUT),
        ):
            async with (
                serving(script, tls=server_tls) as server,
                gateway_to(server, tls=client_tls, timeout_s=0.3) as gateway,
            ):
                reply = await triggered(gateway, JOB)

            assert (reply.fault, reply.bytes_out) == (fault, len(BODY))
            assert len(server.requests) == 1

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


@LOOPS
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_not_sent_is_said_only_when_the_server_saw_nothing(
    loop: Callable[[], asyncio.AbstractEventLoop], tls: bool
) -> None:
    """P6: F17, F22. The server closes an idle connection, and some turns of the loop later it is used."""

    async def scenario() -> None:
        server_tls, client_tls = tls_of(trustme.CA(), "127.0.0.1") if tls else (None, None)
        for turns in range(12):
            idle: list[asyncio.StreamWriter] = []

            async def script(
                _: Request, writer: asyncio.StreamWriter, idle: list[asyncio.StreamWriter] = idle
            ) -> None:
                idle.append(writer)
                writer.write(SUCCESS)

            async with (
                serving(script, tls=server_tls) as server,
                gateway_to(server, tls=client_tls) as gateway,
            ):
                assert (await triggered(gateway, JOB)).success
                abort(idle[0])
                for _ in range(turns):
                    await asyncio.sleep(0)
                reply = await triggered(gateway, JOB)

            assert reply.fault in {None, Fault.NOT_SENT, Fault.RESET}
            assert reply.bytes_out == (0 if reply.fault is Fault.NOT_SENT else len(BODY))
            assert len(server.requests) == (2 if reply.success else 1)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


@LOOPS
@pytest.mark.parametrize("with_reset", [False, True], ids=["FIN", "RST"])
def test_a_connection_that_died_unnoticed_is_told_by_what_was_handed_over(
    loop: Callable[[], asyncio.AbstractEventLoop], with_reset: bool, wire: str
) -> None:
    """P6: F17. The kernel knows that the peer is gone, the loop does not yet.

    The direct wire asks the kernel, and the call goes out once, on another connection. With aiohttp it
    depends on the loop.
    """
    seen, hang_up, gone = [], threading.Event(), threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            seen.append(connection.recv(65536))
            connection.sendall(SUCCESS)
            hang_up.wait(5)
            if with_reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.set()
        if wire == "direct":
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(65536))
                connection.sendall(SUCCESS)

    async def scenario(port: int) -> tuple[Reply, Reply]:
        gateway = gateway_for(f"http://127.0.0.1:{port}")
        give_token(gateway)
        first = await triggered(gateway, JOB)
        hang_up.set()
        gone.wait(5)  # blocks the loop on purpose
        if wire == "direct":
            second = await triggered(gateway, JOB)
        else:  # at once, and not in a task of its own: the loop must not turn before
            second = await gateway._call(gateway._trigger, BODY)
        await gateway.aclose()
        return first, second

    with socket.create_server(("127.0.0.1", 0)) as listener, asyncio.Runner(loop_factory=loop) as runner:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        first, second = runner.run(scenario(listener.getsockname()[1]))
        server.join()

    assert first.success
    if wire == "direct":
        assert second.success
        assert len(seen) == 2
    else:
        assert (second.fault, second.bytes_out) in {(Fault.NOT_SENT, 0), (Fault.RESET, len(BODY))}
        assert len(seen) == 1


async def test_a_body_that_was_never_handed_over_is_not_sent() -> None:
    """P6: the counter of the upload says 0, and then the two worst doubts are none."""
    for error, fault in (
        (aiohttp.ClientOSError(104, "reset"), Fault.NOT_SENT),
        (aiohttp.ServerDisconnectedError(), Fault.NOT_SENT),
        (aiohttp.ClientConnectionResetError("closing"), Fault.NOT_SENT),
        (TimeoutError(), Fault.CONNECT_TIMEOUT),
        (aiohttp.ClientPayloadError("cut"), Fault.CUT),
    ):
        assert fault_of(error, untouched=True)[0] is fault
        assert fault_of(error, untouched=False)[0] in {Fault.RESET, Fault.TIMEOUT, Fault.CUT}


# --- after it was sent


async def test_a_reply_cut_after_any_byte_is_no_reply(wire: str) -> None:
    """P30: F23. Every k. Where headers are cut, the wires differ in the word, not in what it proves."""
    headers = SUCCESS.index(b"\r\n\r\n") + 4
    sent = -1

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(SUCCESS[:sent])
        await writer.drain()
        writer.close()

    async with serving(script) as server, gateway_to(server) as gateway:
        for sent in range(len(SUCCESS)):
            reply = await triggered(gateway, JOB)

            begun = sent > 0 if wire == "direct" else sent >= headers
            assert reply.fault is (Fault.CUT if begun else Fault.RESET), sent
            assert (reply.success, reply.bytes_out) == (False, len(BODY))
        sent = len(SUCCESS)
        assert (await triggered(gateway, JOB)).success
        assert len(server.requests) == len(SUCCESS) + 1


async def test_a_reply_that_takes_too_long_times_out_however_it_trickles() -> None:
    """P30: F18, F24, F25. A byte now and then, or 1xx without end, does not hold us."""

    async def trickle(_: Request, writer: asyncio.StreamWriter) -> None:
        for byte in SUCCESS:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    async def go_on(_: Request, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.005)

    for script in (trickle, go_on, silence):
        reply, _ = await trigger_at(script, timeout_s=0.4)

        assert (reply.fault, reply.bytes_out) == (Fault.TIMEOUT, len(BODY))


async def test_an_endless_reply_is_not_read_to_its_end() -> None:
    """P30: F42. Chunked without end, until the connection closes without end, and announced as huge."""

    async def chunks(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async def stream(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    huge = always(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n{")
    for script in (chunks, stream, huge):
        reply, _ = await trigger_at(script)

        assert (reply.fault, reply.status, reply.success) == (Fault.TOO_LARGE, 200, False)


def refusal_of(length: int) -> bytes:
    """A body of so many bytes."""
    return b'{"status":62104,"msg":"' + b"x" * (length - 25) + b'"}'


def chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("form", [http, chunked])
async def test_a_body_is_read_up_to_the_limit_and_no_further(form: Callable[[bytes], bytes]) -> None:
    """P30: F42."""
    most, _ = await trigger_at(always(form(refusal_of(answer.MAX_BODY))))
    more, _ = await trigger_at(always(form(refusal_of(answer.MAX_BODY + 1))))

    assert (most.fault, most.code) == (None, 62104)
    assert (more.fault, more.code) == (Fault.TOO_LARGE, None)


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 40_000 + b"\r\n\r\n",
        b"\x00\xff\x00\xff",
    ],
    ids=lambda reply: repr(reply[:30]),
)
async def test_what_is_not_http_is_malformed(reply: bytes) -> None:
    """P30: F25, and 5.1 "malformed HTTP, header over limit"."""
    answer, _ = await trigger_at(then_close(reply))

    assert (answer.fault, answer.success, answer.bytes_out) == (Fault.MALFORMED, False, len(BODY))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_an_encoded_reply_is_not_decoded(encoding: str) -> None:
    """P30: F43. We ask for identity; a bomb is never unpacked."""
    reply, server = await trigger_at(always(http(SUCCESS, 200, f"Content-Encoding: {encoding}")))

    assert (reply.fault, reply.success) == (Fault.MALFORMED, False)
    assert server.requests[0].header("Accept-Encoding") == "identity"


async def test_a_broken_chunk_is_no_reply() -> None:
    """P30: which of the two faults it is depends on how the bytes arrive; both are unknown."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for rest in (b"2\r\n{}\r\nzz\r\n", b"5\r\n{}"):
        reply, _ = await trigger_at(then_close(head + rest))

        assert reply.fault in {Fault.CUT, Fault.MALFORMED}
        assert not reply.success


async def test_switching_protocols_is_not_taken_for_a_reply() -> None:
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    reply, _ = await trigger_at(always(upgrade), timeout_s=0.2)

    assert not reply.success
    assert reply.fault in {Fault.TIMEOUT, Fault.CUT, Fault.RESET} or reply.status == 101


async def test_an_error_that_no_table_lists_is_taken_for_the_worst() -> None:
    """P6: unlisted is unknown, whatever the upload counter says."""
    for error in (
        RuntimeError("boom"),
        aiohttp.InvalidURL("x"),
        aiohttp.ClientConnectionError("odd"),
        KeyError(),
    ):
        fault, message = fault_of(error, untouched=True)

        assert fault is Fault.RESET
        assert type(error).__name__ in message


async def test_a_call_after_the_end_is_a_fault_not_an_exception(wire: str) -> None:
    async with serving(always(SUCCESS)) as server, gateway_to(server) as gateway:
        if wire == "direct":
            assert gateway._direct is not None
            await gateway._direct.aclose()
        else:
            assert gateway._wire._line is not None
            await gateway._wire._line.session.close()
        reply = await triggered(gateway, JOB)

    if wire == "direct":
        assert reply.fault is Fault.NOT_SENT
    else:
        assert reply.fault is Fault.RESET
        assert "RuntimeError" in reply.message


async def test_a_cancelled_call_is_cancelled() -> None:
    """P31: the caller drains by cancelling; the wire swallows nothing and keeps no connection."""
    async with serving(silence) as server, gateway_to(server) as gateway:
        call = asyncio.ensure_future(gateway.current_time())
        await server.saw(1)
        call.cancel()

        with pytest.raises(asyncio.CancelledError):
            await call
        assert gateway._wire._line is not None
        assert gateway._wire._line.under_way == 0
