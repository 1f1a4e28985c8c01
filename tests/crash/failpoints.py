"""The real program, in a process that dies at a named instant (see `points`).

    python failpoints.py --kill d1.after_commit:3 -- run jobs.csv --gateway ...

The program has no hooks for this and knows nothing of it. The launcher imports it, wraps the one function at
which the failpoint sits, and calls its real entry point in the same process. At the third arrival at the
point, the process sends itself SIGKILL: in the thread that arrived, before anything else of it runs.

    --kill NAME:HIT             SIGKILL
    --raise NAME:HIT            a `RuntimeError` out of the function: a bug that nobody foresaw
    --stall NAME:HIT:SECONDS    the thread stands still for so long
    --starve NAME:HIT           no more memory is to be had from there on
    --jump NAME:HIT:SECONDS     from there on the wall clock is so much further or back; nothing else is
    --hits FILE                 count the arrivals at every point; JSON, written at the end
    --starts FILE               write down when each call started, in monotonic seconds: what the limiter did
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial, wraps
from importlib import import_module
import inspect
import json
import os
from pathlib import Path
import resource
import signal
import sys
import time
from typing import Any

from points import CALLBACKS, PACKAGE, POINTS, Call, Point

Act = Callable[[], None]


class Arrivals:
    """Counts how often a point is reached, and acts at the wanted time; 0 is never."""

    def __init__(self, point: Point, act: Act, wanted: int = 0) -> None:
        self.hits = 0
        self._point = point
        self._act = act
        self._wanted = wanted

    def watch(self) -> None:
        """Wrap the function at which the point sits."""
        owner, name = self._point.find()
        setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        before = self._point.side == "before"

        @wraps(function)
        def called(*arguments: Any, **named: Any) -> Any:
            if before:
                self._arrive(Call(arguments))
            result = function(*arguments, **named)
            if not before:
                self._arrive(Call(arguments, result))
            return result

        @wraps(function)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            if before:
                self._arrive(Call(arguments))
            result = await function(*arguments, **named)
            if not before:
                self._arrive(Call(arguments, result))
            return result

        return awaited if inspect.iscoroutinefunction(function) else called

    def _arrive(self, call: Call) -> None:
        if self._point.counts(call):
            self.hits += 1
            if self.hits == self._wanted:
                self._point.first(call)
                self._act()


# --- acting


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail() -> None:
    raise RuntimeError("injected")


def _starve() -> None:
    """Forbid the process to grow, and use up what it has, but for what it takes to tell an error."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kept: list[bytearray] = []
    spare = bytearray(256 * 1024)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), resource.RLIM_INFINITY))
    for size in (1 << 20, 1 << 16, 1 << 12, 512):
        with suppress(MemoryError):
            while True:
                kept.append(bytearray(size))
    _hoard.append(kept)
    del spare


_hoard: list[list[bytearray]] = []


def _jump(seconds: float) -> None:
    """Everything that asks the wall clock hears another time from here on."""
    ports = import_module(f"{PACKAGE}.ports")
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)
    ports.SystemClock.wall = staticmethod(time.time)


_EVERYWHERE = {**POINTS, **CALLBACKS}
_ACTS: Mapping[str, Callable[..., Act]] = {
    "kill": lambda: _kill,
    "raise": lambda: _fail,
    "stall": lambda seconds: partial(time.sleep, float(seconds)),
    "starve": lambda: _starve,
    "jump": lambda seconds: partial(_jump, float(seconds)),
}


def _log_starts(path: Path) -> None:
    """Write down the start of each call, with one write: what is there stays there after a kill."""
    limiter = import_module(f"{PACKAGE}.limiter").Limiter
    started = limiter.started
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @wraps(started)
    def note(self: Any, count: int = 1) -> None:
        os.write(log, f"{time.monotonic()!r} {count}\n".encode())
        started(self, count)

    limiter.started = note


def main(command: Sequence[str]) -> int:
    """Arm what is asked for, and run the program."""
    parser = argparse.ArgumentParser()
    for act in _ACTS:
        parser.add_argument(f"--{act}", action="append", default=[], metavar="NAME:HIT")
    parser.add_argument("--hits", type=Path)
    parser.add_argument("--starts", type=Path)
    ours = command.index("--")
    asked, arguments = parser.parse_args(command[:ours]), command[ours + 1 :]
    for act, make in _ACTS.items():
        for text in getattr(asked, act):
            name, hit, *more = text.split(":")
            Arrivals(_EVERYWHERE[name], make(*more), int(hit)).watch()
    if asked.starts:
        _log_starts(asked.starts)
    counted = {name: Arrivals(point, _kill) for name, point in POINTS.items()} if asked.hits else {}
    for arrivals in counted.values():
        arrivals.watch()
    try:
        code: int = import_module(f"{PACKAGE}.cli").main(arguments)
    finally:
        if asked.hits:
            asked.hits.write_text(json.dumps(Counter({name: each.hits for name, each in counted.items()})))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
