"""The sandbox as a process of its own: one line says where it is, and it ends when its parent does."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
import os
import signal
import sys
import threading

import orjson

from .server import Sandbox


def run(sandbox: Sandbox, *, until_stdin_closes: bool = False) -> None:
    """Do what `serve` does in an event loop of its own: uvloop's, where there is one."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(sandbox, until_stdin_closes=until_stdin_closes))


async def serve(sandbox: Sandbox, *, until_stdin_closes: bool = False) -> None:
    """Start *sandbox*, print its URL and credentials as one line of JSON, and stay until told to stop.

    It stops at SIGINT or SIGTERM and, if *until_stdin_closes*, when its standard input ends: so it does
    not outlive a parent that holds the other end, however that one dies.
    """
    stop = _listen_for_the_end(until_stdin_closes=until_stdin_closes)
    async with sandbox:
        card = {"url": sandbox.url, **sandbox.credentials}
        sys.stdout.write(orjson.dumps(card).decode() + "\n")
        sys.stdout.flush()
        await stop.wait()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _listen_for_the_end(*, until_stdin_closes: bool) -> asyncio.Event:
    """Return what is set when it is time to stop. Listens from before the first line is printed."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stop.set)
    if until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_stdin, args=(loop, stop), daemon=True).start()
    return stop


def _wait_for_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Read by descriptor: a daemon thread that waits inside `sys.stdin` upsets the interpreter's exit."""
    with suppress(OSError):  # it was never open
        while os.read(0, 65536):
            pass
    with suppress(RuntimeError):  # a signal has ended the loop meanwhile
        loop.call_soon_threadsafe(stop.set)
