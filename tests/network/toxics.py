"""What can become of an exchange on its way: Toxiproxy's list, and replies that nobody should send.

Each is named as the catalogue of faults would; "applied" means that the sandbox was asked, and its honest
reply thrown away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
import random

from proxy import Exchange, Request, Script, Toxic

Making = Callable[[Exchange], bytes]


def toxic(name: str) -> Callable[[Callable[[Exchange], Awaitable[None]]], Toxic]:
    return lambda act: Toxic(name, act)


# --- nothing goes wrong


@toxic("pass")
async def passed(exchange: Exchange) -> None:
    await exchange.tell(await exchange.answer())


@toxic("pass, and close")
async def passed_and_closed(exchange: Exchange) -> None:
    """Each request has a connection of its own."""
    await exchange.tell(_with_header(await exchange.answer(), "Connection: close"))
    exchange.link.hang_up()


# --- what breaks


@toxic("reset, applied")
async def reset_after(exchange: Exchange) -> None:
    await exchange.answer()
    exchange.link.reset()


@toxic("reset, not applied")
async def reset_before(exchange: Exchange) -> None:
    exchange.link.reset()


@toxic("closed, applied")
async def closed_after(exchange: Exchange) -> None:
    await exchange.answer()
    exchange.link.hang_up()


@toxic("closed, not applied")
async def closed_before(exchange: Exchange) -> None:
    exchange.link.hang_up()


@toxic("silence, applied")
async def withheld(exchange: Exchange) -> None:
    await exchange.answer()
    await asyncio.Event().wait()


@toxic("silence, not applied")
async def black_hole(exchange: Exchange) -> None:
    await asyncio.Event().wait()


def late(seconds: float) -> Toxic:
    """The request is held up; whoever asked has long gone when it arrives."""

    async def act(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await exchange.tell(await exchange.answer())

    return Toxic("late", act)


def cut_request(at: int) -> Toxic:
    """So many bytes of the request reach the sandbox, then both connections are reset."""

    async def act(exchange: Exchange) -> None:
        await exchange.ask(exchange.request.raw[:at])
        exchange.link.reset()

    return Toxic("request cut", act)


def cut_reply(at: int, *, reset: bool) -> Toxic:
    """So many bytes of the reply reach the program, then the connection ends."""

    async def act(exchange: Exchange) -> None:
        await exchange.tell((await exchange.answer())[:at])
        if reset:
            exchange.link.reset()
        else:
            exchange.link.hang_up()

    return Toxic("reply cut", act)


# --- what is slow


def delayed(up_s: float, down_s: float) -> Toxic:
    async def act(exchange: Exchange) -> None:
        await asyncio.sleep(up_s)
        reply = await exchange.answer()
        await asyncio.sleep(down_s)
        await exchange.tell(reply)

    return Toxic("delayed", act)


def sliced(size: int, pause_s: float) -> Toxic:
    """The reply comes in slices."""

    async def act(exchange: Exchange) -> None:
        reply = await exchange.answer()
        for start in range(0, len(reply), size):
            await exchange.tell(reply[start : start + size])
            await asyncio.sleep(pause_s)

    return Toxic("sliced", act)


def narrow(bytes_per_s: float) -> Toxic:
    """A line of that bandwidth, both ways."""
    size = 64

    async def act(exchange: Exchange) -> None:
        raw = exchange.request.raw
        for start in range(0, len(raw), size):
            await asyncio.sleep(size / bytes_per_s)
            await exchange.ask(raw[start : start + size])
        reply = await exchange.heard()
        for start in range(0, len(reply), size):
            await asyncio.sleep(size / bytes_per_s)
            await exchange.tell(reply[start : start + size])

    return Toxic("narrow", act)


@toxic("slow close")
async def slow_close(exchange: Exchange) -> None:
    """The reply says that the connection ends with it, and then it does not end."""
    await exchange.tell(_with_header(await exchange.answer(), "Connection: close"))
    await asyncio.Event().wait()


# --- what is said instead of the reply


def instead(reply: bytes | Making, *, applied: bool) -> Toxic:
    """Say something else."""

    async def act(exchange: Exchange) -> None:
        if applied:
            await exchange.answer()
        await exchange.tell(reply if isinstance(reply, bytes) else reply(exchange))

    return Toxic("other reply", act)


def rewritten(change: Callable[[bytes], bytes]) -> Toxic:
    """Say the honest reply, changed."""

    async def act(exchange: Exchange) -> None:
        await exchange.tell(change(await exchange.answer()))

    return Toxic("rewritten reply", act)


def closing(reply: bytes, *, applied: bool) -> Toxic:
    """Say something else, and hang up: the end of the connection is the end of the reply."""

    async def act(exchange: Exchange) -> None:
        if applied:
            await exchange.answer()
        await exchange.tell(reply)
        exchange.link.hang_up()

    return Toxic("other reply, closed", act)


def endless(start: bytes, chunk: bytes, *, applied: bool, pause_s: float = 0.0) -> Toxic:
    """Say something that goes on for as long as anybody listens."""

    async def act(exchange: Exchange) -> None:
        if applied:
            await exchange.answer()
        await exchange.tell(start)
        for _ in count():
            await exchange.tell(chunk)
            await asyncio.sleep(pause_s)

    return Toxic("endless reply", act)


def replayed(*, tell: Sequence[int]) -> Toxic:
    """The request reaches the sandbox twice; the program is told the first of its replies, or the second."""

    async def act(exchange: Exchange) -> None:
        replies = [await exchange.answer(), await exchange.answer()]
        await exchange.tell(b"".join(replies[number] for number in tell))

    return Toxic("replayed", act)


# --- which exchange meets what


def by_attempt(
    plan: Mapping[int, Sequence[Toxic]], api: str = "trigger", other: Script = lambda _: passed
) -> Script:
    """For each flow in the plan: what its first calls of that API meet, one after the other."""

    def script(request: Request) -> Toxic:
        own = left.get(request.flow_id) if request.api == api else None
        return own.popleft() if own else other(request)

    left: dict[int | None, deque[Toxic]] = {flow_id: deque(toxics) for flow_id, toxics in plan.items()}
    return script


def by_chance(seed: int, menu: Mapping[Toxic, float]) -> Script:
    """Each request meets one of the menu with its probability; the same for the same seed and request."""

    def script(request: Request) -> Toxic:
        if request.api == "token":
            return passed
        roll = random.Random(
            f"{seed} {request.api} {request.job or request.flow_id} {request.attempt}"
        ).random()
        for each, share in menu.items():
            roll -= share
            if roll < 0:
                return each
        return passed

    return script


def always(each: Toxic) -> Script:
    return lambda _: each


def for_triggers(each: Toxic) -> Script:
    return lambda request: each if request.api == "trigger" else passed


def _with_header(reply: bytes, line: str) -> bytes:
    return reply.replace(b"\r\n\r\n", f"\r\n{line}\r\n\r\n".encode(), 1)
