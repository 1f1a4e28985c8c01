"""One send is one send, and a connection serves one call at a time: the library's own ideas are kept out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import scripted
from scripted import (
    JOB,
    SUCCESS,
    WIRES,
    Request,
    always,
    gateway_to,
    http,
    knock_at,
    listening,
    prepare_at,
    serving,
    tls_of,
    token_reply,
    trigger_at,
    triggered,
)
import trustme

from bulk_trigger.gateway import answer
from bulk_trigger.model import Fault, Reply
from bulk_trigger.ports import SystemClock


@pytest.fixture(autouse=True, params=WIRES)
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All of this file holds for both wires."""
    monkeypatch.setattr(scripted, "WIRE", request.param)
    return str(request.param)


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
            lambda: triggered(gateway, JOB),
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


async def test_a_reply_that_nobody_asked_for_is_not_given_to_the_next_call(wire: str) -> None:
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
            first = await triggered(gateway, JOB)
            if gap:
                writers[0].write(foreign)
                await asyncio.sleep(0.02)
            second = await triggered(gateway, JOB)
            third = await triggered(gateway, JOB)

        assert first.success
        assert second.code != 62104
        assert second.fault is (Fault.MALFORMED if gap and wire == "aiohttp" else None)
        assert third.success
        # aiohttp may go on with the connection if it dropped the stray bytes itself: that depends on Python.
        assert server.used == 2 or wire == "aiohttp"


async def test_an_early_refusal_on_a_fresh_connection_is_used() -> None:
    """F33: the server answers before it has read the body."""

    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b"", 413))
        await reader.read()

    async with listening(eager) as port:
        reply = await knock_at(f"http://127.0.0.1:{port}")

    assert (reply.fault, reply.status) == (None, 413)


# --- connections


async def test_connections_are_kept_and_cookies_are_not() -> None:
    """F26, F46."""
    reply_with_cookie = SUCCESS.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=abc; Path=/\r\n\r\n", 1)
    async with serving(always(reply_with_cookie)) as server, gateway_to(server) as gateway:
        for _ in range(3):
            assert (await triggered(gateway, JOB)).success

    assert server.used == 1
    assert not [request for request in server.requests if request.header("Cookie")]


async def test_old_connections_are_replaced_without_harm_to_calls_under_way(wire: str) -> None:
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
        assert (await triggered(gateway, JOB)).success
        slow = asyncio.ensure_future(triggered(gateway, JOB))
        await server.saw(2)
        now += answer.RECYCLE_S
        assert (await triggered(gateway, JOB)).success
        assert server.used == 2
        now += answer.RECYCLE_S
        assert (await triggered(gateway, JOB)).success
        assert server.used == 3
        held.set()

        assert (await slow).success
        assert len(gateway._wire._retired) == (1 if wire == "aiohttp" else 0)


async def test_a_connection_in_steady_use_is_replaced_too() -> None:
    """F3."""
    clock = SteppingClock(answer.KEEPALIVE_S - 1)
    async with serving(always(SUCCESS)) as server, gateway_to(server, clock=clock) as gateway:
        start = clock.now
        while clock.now < start + 1.5 * answer.RECYCLE_S:
            assert (await triggered(gateway, JOB)).success
            clock.step()

    assert server.used == 2


class SteppingClock(SystemClock):
    """A clock that goes forward only when told, a step at a time."""

    def __init__(self, step_s: float) -> None:
        super().__init__()
        self.step_s = step_s
        self.now = 1000.0

    def step(self) -> None:
        self.now += self.step_s

    def monotonic(self) -> float:
        return self.now


async def test_the_pool_is_no_second_queue() -> None:
    """P15: F12. However many calls there are, none waits inside the library while its time runs."""
    release = asyncio.Event()

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(SUCCESS)

    async with serving(script) as server, gateway_to(server) as gateway:
        calls = [asyncio.ensure_future(triggered(gateway, JOB)) for _ in range(150)]
        await server.saw(150)
        release.set()

        assert all(reply.success for reply in await asyncio.gather(*calls))


async def test_a_token_reply_is_read_over_tls() -> None:
    server_tls, client_tls = tls_of(trustme.CA(), "127.0.0.1")
    async with serving(always(SUCCESS), token=always(token_reply()), tls=server_tls) as server:
        assert (await prepare_at(server.origin, tls=client_tls)).success
