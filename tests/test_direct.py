"""What is special about the direct wire; what it shares with aiohttp's stands in the tests of the wires."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
import gc
import os
import re
import socket
import ssl
import stat
import struct
from typing import Any

import pytest
from scripted import (
    BODY,
    CREDENTIALS,
    JOB,
    SUCCESS,
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
    serving,
    settings_for,
    silence,
    tls_of,
    trigger_at,
    triggered,
)
import trustme

from bulk_trigger.errors import SettingsError
from bulk_trigger.gateway.answer import KEEPALIVE_S, Answer
from bulk_trigger.gateway.direct import DirectWire, _Call, header_lines
from bulk_trigger.gateway.http import HttpGateway
from bulk_trigger.gateway.wire import address
from bulk_trigger.model import Fault, Job
from bulk_trigger.ports import SystemClock

BOTH_LOOPS = pytest.mark.asyncio(loop_factories=["real", "uvloop"])
HTTP_AND_HTTPS = pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])


class Clock(SystemClock):
    """A clock that a test can put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def monotonic(self) -> float:
        return SystemClock.monotonic() + self.ahead


def contexts(tls: bool) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    return tls_of(trustme.CA(), "127.0.0.1") if tls else (None, None)


def wire_of(gateway: HttpGateway) -> DirectWire:
    assert gateway._direct is not None
    return gateway._direct


def sockets() -> int:
    """How many sockets this process holds. (libuv opens other descriptors as it likes.)"""
    gc.collect()
    count = 0
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - no paths: numbers
        with suppress(OSError):  # the descriptor of the listing itself
            count += stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    return count


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """No socket more than before, and nothing that a loop complains about."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    before = sockets()
    yield
    for _ in range(5):
        await asyncio.sleep(0.002)
    assert sockets() <= before
    assert not complaints


# --- connections


@BOTH_LOOPS
@HTTP_AND_HTTPS
async def test_there_are_never_more_connections_than_calls_under_way(tls: bool) -> None:
    """P15. And none is left when the wire is closed."""
    server_tls, client_tls = contexts(tls)
    async with nothing_left(), serving(always(SUCCESS), tls=server_tls) as server:
        async with gateway_to(server, tls=client_tls) as gateway:

            async def work() -> None:
                for _ in range(25):
                    assert (await triggered(gateway, JOB)).success

            await asyncio.gather(*(work() for _ in range(8)))

            assert len(server.requests) == 200
            assert server.used <= 8
            assert (
                repr(wire_of(gateway)) == f"<DirectWire {server.used} open, 0 under way, {server.used} idle>"
            )
        assert repr(wire_of(gateway)) == "<DirectWire 0 open, 0 under way, 0 idle>"


@BOTH_LOOPS
@HTTP_AND_HTTPS
async def test_a_connection_that_the_gateway_has_closed_is_not_used_and_nothing_is_lost(tls: bool) -> None:
    """P6: F17. The attempt goes out once, on a new connection."""
    server_tls, client_tls = contexts(tls)
    for hang_up in (asyncio.StreamWriter.close, abort):
        idle: list[asyncio.StreamWriter] = []

        async def script(
            _: Request, writer: asyncio.StreamWriter, idle: list[asyncio.StreamWriter] = idle
        ) -> None:
            idle.append(writer)
            writer.write(SUCCESS)

        async with serving(script, tls=server_tls) as server, gateway_to(server, tls=client_tls) as gateway:
            assert (await triggered(gateway, JOB)).success
            (connection,) = wire_of(gateway)._open
            hang_up(idle[0])
            await connection.lost

            assert (await triggered(gateway, JOB)).success
            assert (len(server.requests), server.used) == (2, 2)


@BOTH_LOOPS
async def test_a_reply_that_lies_in_the_kernel_already_is_not_taken_for_the_next_one() -> None:
    """P3: F34. It has arrived, but the loop has not turned since."""
    foreign = http({"status": 62104, "msg": "of another call"})
    async with serving(always(SUCCESS)) as server, gateway_to(server) as gateway:
        assert (await triggered(gateway, JOB)).success
        (connection,) = wire_of(gateway)._open
        for _ in range(3):
            await asyncio.sleep(0)
        peer = _peer_of(connection._sock, server.writers)
        os.write(peer.get_extra_info("socket").fileno(), foreign)

        reply = await triggered(gateway, JOB)

        assert reply.success
        assert server.used == 2


@BOTH_LOOPS
@pytest.mark.parametrize("with_reset", [False, True], ids=["FIN", "RST"])
async def test_real_transports_show_what_the_kernel_refused(with_reset: bool) -> None:
    """P6: the end comes after the kernel was asked. A reset is refused on the spot, a mere end is not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = address(f"http://127.0.0.1:{listener.getsockname()[1]}", "/x", {})
        wire = DirectWire(url, timeout_s=1, connect_timeout_s=1, clock=SystemClock())
        connection = await wire._dial()
        peer, _ = listener.accept()
        with peer:
            if with_reset:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        request = b"POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
        wire._begin(_Call(request, 0, 0.0, answer.set_result), connection, SystemClock.monotonic())
        fault = (await answer).fault
        await wire.aclose()

    assert fault is (Fault.NOT_SENT if with_reset else Fault.RESET)


def _peer_of(sock: socket.socket, writers: list[asyncio.StreamWriter]) -> asyncio.StreamWriter:
    return next(one for one in writers if one.get_extra_info("peername") == sock.getsockname())


async def test_idle_connections_are_used_last_in_first_out_and_closed_when_their_time_is_up() -> None:
    clock = Clock()
    async with serving(always(SUCCESS)) as server, gateway_to(server, clock=clock) as gateway:
        wire = wire_of(gateway)
        await asyncio.gather(*(triggered(gateway, JOB) for _ in range(3)))
        assert len(wire._idle) == 3
        last = list(wire._idle)[-1]
        for _ in range(3):
            await triggered(gateway, JOB)
            assert list(wire._idle)[-1] is last

        clock.ahead = KEEPALIVE_S - 1
        assert (await triggered(gateway, JOB)).success
        clock.ahead = KEEPALIVE_S + 1
        wire._tick()
        assert list(wire._idle) == [last]
        clock.ahead = 3 * KEEPALIVE_S
        assert (await triggered(gateway, JOB)).success

        assert last not in wire._idle
        assert server.used == 4


@pytest.mark.parametrize(
    ("reply", "used"),
    [
        (http(b"{}", 200, "Connection: close"), 2),
        (SUCCESS.replace(b"HTTP/1.1", b"HTTP/1.0"), 2),
        (http(b"{}", 200, "Keep-Alive: timeout=1"), 2),
        (http(b"{}", 200, "Keep-Alive: timeout=9"), 1),
        (SUCCESS + SUCCESS, 2),
    ],
)
async def test_a_connection_is_kept_only_if_the_reply_allows_it(reply: bytes, used: int) -> None:
    async with serving(always(reply)) as server, gateway_to(server) as gateway:
        for _ in range(2):
            assert (await triggered(gateway, JOB)).fault is None

    assert server.used == used


async def test_a_reply_framed_by_its_connection_counts_if_it_shows_its_end() -> None:
    """P30."""
    content = SUCCESS.partition(b"\r\n\r\n")[2]

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + content)
        writer.close()

    assert (await trigger_at(script))[0].success


@BOTH_LOOPS
async def test_a_gateway_that_speaks_first_or_hangs_up_at_once_got_nothing() -> None:
    """P6: the connection was of no use before the request was written, or the loss was seen after it."""

    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await reader.read()

    async def curt(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        abort(writer)

    for connected, faults in (
        (chatty, {Fault.NOT_SENT, Fault.MALFORMED}),
        (curt, {Fault.NOT_SENT, Fault.RESET}),
    ):
        async with nothing_left(), listening(connected) as port:
            reply = await knock_at(f"http://127.0.0.1:{port}")

        assert reply.fault in faults
        assert reply.bytes_out == (0 if reply.fault is Fault.NOT_SENT else len(BODY))


# --- time


@BOTH_LOOPS
async def test_every_call_that_gets_no_reply_is_ended_by_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """P30: F18. Each in its own time, and no timer is armed while an earlier one is."""
    async with serving(silence) as server, gateway_to(server, timeout_s=0.3) as gateway:
        wire, armed = wire_of(gateway), []
        wake_at = wire._wake_at

        def count(moment: float, now: float) -> None:
            assert wire._timer is None or moment < wire._wakes_at
            armed.append(moment)
            wake_at(moment, now)

        monkeypatch.setattr(wire, "_wake_at", count)
        early = [asyncio.ensure_future(triggered(gateway, JOB)) for _ in range(100)]
        await server.saw(100)
        await asyncio.sleep(0.05)
        late = [asyncio.ensure_future(triggered(gateway, JOB)) for _ in range(10)]
        replies = await asyncio.gather(*early, *late)

    assert {(reply.fault, reply.bytes_out) for reply in replies} == {(Fault.TIMEOUT, len(BODY))}
    assert min(reply.latency_s for reply in replies) >= 0.3
    assert len(armed) < len(replies)
    assert "0.3 s" in replies[0].message


async def test_the_time_for_a_connection_is_not_taken_from_the_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time of the attempt starts when its request is written."""
    clock, answer = Clock(), asyncio.Event()

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        await answer.wait()
        writer.write(SUCCESS)

    async with serving(script) as server, gateway_to(server, clock=clock) as gateway:
        wire = wire_of(gateway)
        dial = wire._dialer.dial

        async def slowly(*args: Any) -> Any:
            clock.ahead += 100
            return await dial(*args)

        monkeypatch.setattr(wire._dialer, "dial", slowly)
        call = asyncio.ensure_future(triggered(gateway, JOB))
        await server.saw(1)
        assert [call.deadline > clock.monotonic() for call in wire._under_way.values()] == [True]
        answer.set()
        reply = await call

    assert reply.success
    assert reply.latency_s >= 100


# --- ends


@BOTH_LOOPS
@HTTP_AND_HTTPS
async def test_a_call_that_nobody_waits_for_keeps_its_connection_to_itself(tls: bool) -> None:
    """P3, P31: no later call may get its reply."""
    server_tls, client_tls = contexts(tls)
    answer = asyncio.Event()

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        await answer.wait()
        writer.write(SUCCESS)

    async with (
        nothing_left(),
        serving(script, tls=server_tls) as server,
        gateway_to(server, tls=client_tls) as gateway,
    ):
        triggered(gateway, JOB).cancel()
        await server.saw(1)
        later = triggered(gateway, JOB)
        await server.saw(2)
        answer.set()

        assert (await later).success
        assert server.used == 2


@BOTH_LOOPS
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_dial_that_is_given_up_or_fails_leaves_nothing_behind(scheme: str) -> None:
    """P31: F9, F13. In TCP, in the handshake of TLS, and by the timeout."""

    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with nothing_left(), listening(mute) as port:
        for turns in range(12):
            gateway = gateway_for(f"{scheme}://127.0.0.1:{port}", timeout_s=0.05)
            give_token(gateway)
            call = triggered(gateway, JOB)
            for _ in range(turns):
                await asyncio.sleep(0)
            await gateway.aclose()
            assert (await call).fault in {Fault.NOT_SENT, Fault.CONNECT_TIMEOUT, Fault.RESET}
        gateway = gateway_for(f"{scheme}://127.0.0.1:{port}", timeout_s=0.05)
        give_token(gateway)
        for _ in range(3):
            assert (await triggered(gateway, JOB)).fault in {Fault.CONNECT_TIMEOUT, Fault.TIMEOUT}
        await gateway.aclose()


@BOTH_LOOPS
@HTTP_AND_HTTPS
async def test_closing_ends_the_calls_under_way_as_lost(tls: bool) -> None:
    """P6: they were sent."""
    server_tls, client_tls = contexts(tls)
    async with nothing_left(), serving(silence, tls=server_tls) as server:
        gateway = gateway_for(server.origin, tls=client_tls)
        give_token(gateway)
        calls = [asyncio.ensure_future(triggered(gateway, JOB)) for _ in range(5)]
        await server.saw(5)
        await gateway.aclose()
        replies = await asyncio.gather(*calls)
        later = await triggered(gateway, JOB)

    assert {(reply.fault, reply.bytes_out) for reply in replies} == {(Fault.RESET, len(BODY))}
    assert (later.fault, later.bytes_out) == (Fault.NOT_SENT, 0)


@BOTH_LOOPS
async def test_closing_while_a_connection_is_made_sends_nothing() -> None:
    async with nothing_left(), serving(always(SUCCESS)) as server:
        gateway = gateway_for(server.origin)
        give_token(gateway)
        call = asyncio.ensure_future(triggered(gateway, JOB))
        await asyncio.sleep(0)
        await gateway.aclose()
        (outcome,) = await asyncio.gather(call, return_exceptions=True)

        assert not isinstance(outcome, BaseException)
        assert outcome.fault is Fault.NOT_SENT
        assert not server.requests


# --- what leaves


@pytest.mark.parametrize("value", ["a\r\nEvil: yes", "a\nEvil: yes", "a\rEvil: yes", "ü"])
def test_a_header_that_would_be_two_is_a_bug(value: str) -> None:
    """P29: no text of the gateway can put a header into our requests."""
    with pytest.raises(ValueError, match=r"line break|ascii"):
        header_lines({"apim-accesstoken": value})


async def test_both_wires_send_the_same_headers() -> None:
    """Only their order may differ."""
    heads: list[set[str]] = []
    async with serving(always(SUCCESS)) as server, gateway_to(server) as gateway:
        assert (await triggered(gateway, JOB)).success
        assert (await gateway._call(gateway._trigger, BODY)).success
        varies = re.compile(r"(apim-(?:timestamp|signature)): [0-9a-f]+")
        heads = [set(varies.sub(r"\1", each.head.lower()).split("\r\n")) for each in server.requests]

    assert heads[0] == heads[1]
    assert [request.body for request in server.requests] == [BODY, BODY]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://Gateway.Example", "gateway.example"),
        ("https://gateway.example:443", "gateway.example"),
        ("https://gateway.example:8443", "gateway.example:8443"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("https://bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_the_request_line_and_the_host_are_written_as_http_wants_them(origin: str, host: str) -> None:
    url = address(origin, "/x", {"a": "b/c"})
    wire = DirectWire(url, timeout_s=1, connect_timeout_s=1, clock=SystemClock())

    assert wire._head.startswith(f"POST /x?a=b%2Fc HTTP/1.1\r\nHost: {host}\r\n".encode())


async def test_a_context_that_does_not_verify_is_refused() -> None:
    """P29."""
    lax = ssl.create_default_context()
    lax.check_hostname = False
    for mode in (ssl.CERT_REQUIRED, ssl.CERT_NONE):
        lax.verify_mode = mode
        with pytest.raises(SettingsError, match="verify"):
            HttpGateway(settings_for("https://gateway.example"), CREDENTIALS, tls=lax)


# --- addresses


async def test_a_name_is_looked_up_once_for_all_who_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """F3: and again after no address has answered."""
    loop, lookups = asyncio.get_running_loop(), []
    getaddrinfo = loop.getaddrinfo

    def counting(host: Any, *args: Any, **options: Any) -> Awaitable[Any]:
        lookups.append(host)
        return getaddrinfo(host, *args, **options)

    monkeypatch.setattr(loop, "getaddrinfo", counting)
    async with serving(always(SUCCESS)) as server:
        gateway = gateway_for(server.origin.replace("127.0.0.1", "localhost"))
        give_token(gateway)
        replies = await asyncio.gather(*(triggered(gateway, Job(n, n, 60_000)) for n in range(1, 21)))
        await gateway.aclose()
    assert all(reply.fault is None for reply in replies)
    assert lookups == ["localhost"]

    gateway = gateway_for(f"http://localhost:{free_port()}")
    give_token(gateway)
    for _ in range(2):
        assert (await triggered(gateway, JOB)).fault is Fault.REFUSED
    await gateway.aclose()
    assert lookups == ["localhost"] * 3
