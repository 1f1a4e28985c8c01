"""What can go wrong on the wire, each with the fault that says it: the table of exceptions, row by row."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
import errno
import gc
import resource
import socket
import ssl
from typing import Any

import aiohttp
import pytest
import trustme
import uvloop

from bulk_trigger import wire
from bulk_trigger.gateway import HttpGateway
from bulk_trigger.model import Fault, Reply
from scripted import (
    CREDENTIALS,
    JOB,
    SUCCESS,
    Request,
    Script,
    Server,
    abort,
    always,
    gateway_to,
    http,
    listening,
    reset,
    serving,
    settings_for,
    silence,
    then_close,
    token_reply,
)

BODY = len(b'{"flowId":3377,"triggerTime":1574385824000}')
LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


async def trigger_at(script: Script, **options: Any) -> tuple[Reply, Server]:
    async with serving(script) as server, gateway_to(server, **options) as gateway:
        return await gateway.trigger(JOB), server


async def prepare_at(origin: str, **options: Any) -> Reply:
    own = {name: options.pop(name) for name in ("proxy", "tls") if name in options}
    gateway = HttpGateway(settings_for(origin, **options), CREDENTIALS, **own)
    try:
        return await gateway.prepare()
    finally:
        await gateway.aclose()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def tls_of(authority: trustme.CA, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server with a certificate for these names, and of a client that trusts its authority."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(*names).configure_cert(server)
    authority.configure_trust(client)
    return server, client


# --- before anything is sent


async def test_a_refused_connection_was_not_sent() -> None:
    """F5."""
    for host in ("127.0.0.1", "localhost"):
        reply = await prepare_at(f"http://{host}:{free_port()}")

        assert (reply.fault, reply.bytes_out) == (Fault.REFUSED, 0)


async def test_a_name_that_does_not_resolve_was_not_sent() -> None:
    """F1."""
    reply = await prepare_at("https://gateway.invalid")

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

        reply = await prepare_at(f"http://127.0.0.1:{address[1]}", connect_timeout_s=0.05)
        for filler in fillers:
            filler.close()

    assert (reply.fault, reply.bytes_out) == (Fault.CONNECT_TIMEOUT, 0)
    assert reply.latency_s < 4


async def test_a_server_that_never_speaks_tls_is_a_connect_timeout() -> None:
    """F8, F9: the handshake is within the connect timeout, and within the total one."""
    for times in ({"connect_timeout_s": 0.05}, {"timeout_s": 0.05}):
        async with serving(silence) as server:
            reply = await prepare_at(f"https://127.0.0.1:{server.port}", **times)

        assert (reply.fault, reply.bytes_out) == (Fault.CONNECT_TIMEOUT, 0)


async def test_a_certificate_that_cannot_be_verified_is_refused_before_a_byte_is_sent() -> None:
    """P29: F7. Unknown authority, wrong host."""
    ours, theirs = trustme.CA(), trustme.CA()
    cases = [
        (tls_of(theirs, "127.0.0.1")[0], tls_of(ours, "127.0.0.1")[1]),
        (tls_of(theirs, "127.0.0.1")[0], None),
        tls_of(ours, "other.example"),
    ]
    for server_tls, client_tls in cases:
        async with serving(always(SUCCESS), token=always(SUCCESS), tls=server_tls) as server:
            reply = await prepare_at(server.origin, tls=client_tls)

        assert (reply.fault, reply.bytes_out) == (Fault.TLS, 0)
        assert "certificate" in reply.message.lower()
        assert not server.requests


async def test_other_trouble_with_tls_is_refused_too() -> None:
    """F8: the server speaks plain HTTP."""

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with listening(speak_first) as port:
        reply = await prepare_at(f"https://127.0.0.1:{port}")

    assert (reply.fault, reply.bytes_out) == (Fault.TLS, 0)


@pytest.mark.parametrize("hang_up", [asyncio.StreamWriter.close, abort])
async def test_a_hang_up_during_the_handshake_says_nothing_about_the_certificate(
    hang_up: Callable[[asyncio.StreamWriter], None],
) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        hang_up(writer)

    async with listening(connected) as port:
        reply = await prepare_at(f"https://127.0.0.1:{port}")

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

    assert wire._fault(error, untouched=True)[0] is fault


async def test_running_out_of_descriptors_is_told_apart() -> None:
    """F13."""
    async with serving(always(SUCCESS)) as server:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        gateway = HttpGateway(settings_for(server.origin), CREDENTIALS)
        gc.collect()
        with socket.socket() as last:
            resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno(), hard))
            try:
                reply = await gateway.prepare()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        again = await gateway.prepare()
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
        direct = await prepare_at(server.origin)
        tunnel = await prepare_at("https://127.0.0.1:1", proxy=f"http://user:canary@127.0.0.1:{proxy.port}")
        gone = await prepare_at("https://127.0.0.1:1", proxy=f"http://127.0.0.1:{free_port()}")

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
                reply = await gateway.trigger(JOB)

            assert (reply.fault, reply.bytes_out) == (fault, BODY)
            assert len(server.requests) == 1

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


@LOOPS
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_not_sent_is_said_only_when_the_server_saw_nothing(
    loop: Callable[[], asyncio.AbstractEventLoop], tls: bool
) -> None:
    """P6: F17, F22. The server closes idle connections under our hands, at every possible moment."""

    async def scenario() -> None:
        server_tls, client_tls = tls_of(trustme.CA(), "127.0.0.1") if tls else (None, None)
        claims = 0
        for turns in range(12):
            closing: list[asyncio.StreamWriter] = []

            async def script(
                _: Request, writer: asyncio.StreamWriter, closing: list[asyncio.StreamWriter] = closing
            ) -> None:
                closing.append(writer)
                writer.write(SUCCESS)

            async with (
                serving(script, tls=server_tls) as server,
                gateway_to(server, tls=client_tls, timeout_s=0.3) as gateway,
            ):
                first = await gateway.trigger(JOB)
                abort(closing[0])
                for _ in range(turns):
                    await asyncio.sleep(0)
                reply = await gateway.trigger(JOB)

            assert first.success
            if reply.fault is Fault.NOT_SENT:
                claims += 1
                assert (reply.bytes_out, len(server.requests)) == (0, 1)
            else:
                assert reply.success or (reply.fault is Fault.RESET and reply.bytes_out == BODY)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


async def test_a_body_that_was_never_handed_over_is_not_sent() -> None:
    """P6: the counter of the upload says 0, and then the two worst doubts are none."""
    for error, fault in (
        (aiohttp.ClientOSError(104, "reset"), Fault.NOT_SENT),
        (aiohttp.ServerDisconnectedError(), Fault.NOT_SENT),
        (aiohttp.ClientConnectionResetError("closing"), Fault.NOT_SENT),
        (TimeoutError(), Fault.CONNECT_TIMEOUT),
        (aiohttp.ClientPayloadError("cut"), Fault.CUT),
    ):
        assert wire._fault(error, untouched=True)[0] is fault
        assert wire._fault(error, untouched=False)[0] in {Fault.RESET, Fault.TIMEOUT, Fault.CUT}


# --- after it was sent


async def test_a_reply_cut_after_any_byte_is_no_reply() -> None:
    """P30: F23. Every k: before the end of the headers the connection is lost, after it the reply is cut."""
    headers = SUCCESS.index(b"\r\n\r\n") + 4
    sent = -1

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(SUCCESS[:sent])
        await writer.drain()
        writer.close()

    async with serving(script) as server, gateway_to(server) as gateway:
        for sent in range(len(SUCCESS)):
            reply = await gateway.trigger(JOB)

            assert reply.fault is (Fault.RESET if sent < headers else Fault.CUT), sent
            assert (reply.success, reply.bytes_out) == (False, BODY)
        sent = len(SUCCESS)
        assert (await gateway.trigger(JOB)).success
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
        reply, _ = await trigger_at(script, timeout_s=0.1)

        assert (reply.fault, reply.bytes_out) == (Fault.TIMEOUT, BODY)


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


async def test_a_body_of_just_the_limit_is_read() -> None:
    body = b'{"status":62104,"msg":"' + b"x" * (wire.MAX_BODY - 25) + b'"}'
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        len(body),
        body,
    )

    assert len(body) == wire.MAX_BODY
    for whole in (http(body), chunked):
        assert (await trigger_at(always(whole)))[0].code == 62104


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 20_000 + b"\r\n\r\n",
        b"\x00\xff\x00\xff",
    ],
    ids=lambda reply: repr(reply[:30]),
)
async def test_what_is_not_http_is_malformed(reply: bytes) -> None:
    """P30: F25, and 5.1 "malformed HTTP, header over limit"."""
    answer, _ = await trigger_at(then_close(reply))

    assert (answer.fault, answer.success, answer.bytes_out) == (Fault.MALFORMED, False, BODY)


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
        fault, message = wire._fault(error, untouched=True)

        assert fault is Fault.RESET
        assert type(error).__name__ in message


async def test_a_call_after_the_end_is_an_unforeseen_fault_not_an_exception() -> None:
    async with serving(always(SUCCESS)) as server, gateway_to(server) as gateway:
        session = gateway._wire._line.session if gateway._wire._line else None
        assert session is not None
        await session.close()
        reply = await gateway.trigger(JOB)

    assert reply.fault is Fault.RESET
    assert "RuntimeError" in reply.message


async def test_a_cancelled_call_is_cancelled() -> None:
    """P31: the caller drains by cancelling; the wire swallows nothing and keeps no connection."""
    async with serving(silence) as server, gateway_to(server) as gateway:
        call = asyncio.ensure_future(gateway.trigger(JOB))
        while not server.requests:
            await asyncio.sleep(0)
        call.cancel()

        with pytest.raises(asyncio.CancelledError):
            await call
        assert gateway._wire._line is not None
        assert gateway._wire._line.under_way == 0


# --- one send is one send


async def test_no_call_is_ever_repeated_by_the_library() -> None:
    """P11: F16, F17. Not even a GET, which aiohttp would send again on a connection that was closed."""
    closing = False

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        if closing:
            writer.close()
        else:
            writer.write(SUCCESS)

    async with serving(script) as server, gateway_to(server) as gateway:
        calls: list[Callable[[], Awaitable[Reply]]] = [
            lambda: gateway.trigger(JOB),
            lambda: gateway.get_instance("1-2"),
            gateway.current_time,
        ]
        for call in calls:
            closing = False
            assert (await call()).fault is None
            closing = True
            seen = len(server.requests)

            assert (await call()).fault is Fault.RESET
            assert len(server.requests) == seen + 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    """P29: F45. The other listener sees no connection, so no header of ours."""
    async with serving(always(SUCCESS)) as other:
        for location in (
            other.origin,
            f"//127.0.0.1:{other.port}/x",
            "http://169.254.169.254/?canary-secret-b7d0",
        ):
            reply, server = await trigger_at(always(http(b"", status, f"Location: {location}")))

            assert (reply.fault, reply.status) == (None, status)
            assert reply.location in {"127.0.0.1", "169.254.169.254"}
            assert len(server.requests) == 1
        assert other.connections == 0


async def test_a_reply_that_nobody_asked_for_is_not_given_to_the_next_call() -> None:
    """P3: F34. It comes with the reply, or a moment later on the idle connection."""
    foreign = http({"status": 62104, "msg": "of another call"})

    for gap in (False, True):
        writers: list[asyncio.StreamWriter] = []

        async def script(
            _: Request,
            writer: asyncio.StreamWriter,
            writers: list[asyncio.StreamWriter] = writers,
            gap: bool = gap,
        ) -> None:
            writers.append(writer)
            writer.write(SUCCESS if gap or len(writers) > 1 else SUCCESS + foreign)

        async with serving(script) as server, gateway_to(server) as gateway:
            first = await gateway.trigger(JOB)
            if gap:
                writers[0].write(foreign)
                await asyncio.sleep(0.02)
            second = await gateway.trigger(JOB)
            third = await gateway.trigger(JOB)

        assert first.success
        assert second.code != 62104
        assert second.fault is (Fault.MALFORMED if gap else None)
        assert third.success
        assert server.connections == 2


async def test_an_early_refusal_on_a_fresh_connection_is_used() -> None:
    """F33: the server answers before it has read the body."""

    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b"", 413))
        await reader.read()

    async with listening(eager) as port:
        reply = await prepare_at(f"http://127.0.0.1:{port}")

    assert (reply.fault, reply.status) == (None, 413)


# --- connections


async def test_connections_are_kept_and_cookies_are_not() -> None:
    """F26, F46."""
    reply_with_cookie = SUCCESS.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=abc; Path=/\r\n\r\n", 1)
    async with serving(always(reply_with_cookie)) as server, gateway_to(server) as gateway:
        for _ in range(3):
            assert (await gateway.trigger(JOB)).success

    assert server.connections == 1
    assert not [request for request in server.requests if request.header("Cookie")]


async def test_old_connections_are_replaced_without_harm_to_calls_under_way() -> None:
    """F3: a gateway that moved is noticed, because no connection lives for ever."""
    held = asyncio.Event()
    now = 1000.0

    class Clock:
        def monotonic(self) -> float:
            return now

        def wall(self) -> float:
            return 1_700_000_000.0

        def dice(self) -> float:
            return 0.5

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 2:
            await held.wait()
        writer.write(SUCCESS)

    async with serving(script) as server, gateway_to(server, clock=Clock()) as gateway:
        assert (await gateway.trigger(JOB)).success
        slow = asyncio.ensure_future(gateway.trigger(JOB))
        while len(server.requests) < 2:
            await asyncio.sleep(0)
        now += wire.RECYCLE_S
        assert (await gateway.trigger(JOB)).success
        assert server.connections == 2
        now += wire.RECYCLE_S
        assert (await gateway.trigger(JOB)).success
        assert server.connections == 3
        held.set()

        assert (await slow).success
        assert len(gateway._wire._retired) == 1


async def test_the_pool_is_no_second_queue() -> None:
    """P15: F12. However many calls there are, none waits inside the library while its time runs."""
    release = asyncio.Event()

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(SUCCESS)

    async with serving(script) as server, gateway_to(server) as gateway:
        calls = [asyncio.ensure_future(gateway.trigger(JOB)) for _ in range(150)]
        while len(server.requests) < 150:
            await asyncio.sleep(0.001)
        release.set()

        assert all(reply.success for reply in await asyncio.gather(*calls))


async def test_a_token_reply_is_read_over_tls() -> None:
    server_tls, client_tls = tls_of(trustme.CA(), "127.0.0.1")
    async with serving(always(SUCCESS), token=always(token_reply()), tls=server_tls) as server:
        assert (await prepare_at(server.origin, tls=client_tls)).success
