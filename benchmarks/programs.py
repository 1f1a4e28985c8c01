"""Load generators that others wrote in C and Go, where they are installed: what a bare POST costs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import re
import shutil
from typing import NamedTuple

from .machine import run
from .sides import PATH, QUERY, START_MS

BODY = f'{{"flowId":3000,"triggerTime":{START_MS}}}'
JSON = "application/json"
WRK_RATE = 40_000  #: about what our server answers: wrk is given a time, not a number


class Program(NamedTuple):
    """How to call it, and how to find in what it says how many answers were good."""

    command: Callable[[str, int, int, Path], list[str]]
    good: str
    bad: str


def _wrk(url: str, count: int, connections: int, body: Path) -> list[str]:
    script = body.with_suffix(".lua")
    script.write_text(f"wrk.method, wrk.body = 'POST', '{BODY}'\nwrk.headers['Content-Type'] = '{JSON}'\n")
    seconds = max(1, round(count / WRK_RATE))
    return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]


def _hey(url: str, count: int, connections: int, _: Path) -> list[str]:
    rounds = max(1, count // connections)
    return [
        *("hey", "-n", str(rounds * connections), "-c", str(connections)),
        *("-m", "POST", "-T", JSON, "-d", BODY, url),
    ]


def _ab(url: str, count: int, connections: int, body: Path) -> list[str]:
    body.write_text(BODY)
    count = max(count, connections)
    return ["ab", "-q", "-k", "-n", str(count), "-c", str(connections), "-T", JSON, "-p", str(body), url]


PROGRAMS = {
    "wrk": Program(_wrk, r"(\d+) requests in", r"Non-2xx|Socket errors"),
    "hey": Program(_hey, r"\[200\]\s+(\d+) responses", r"Error distribution"),
    "ab": Program(_ab, r"Complete requests:\s+(\d+)", r"Non-2xx|Failed requests:\s+[1-9]"),
}


def missing(name: str) -> str | None:
    """Why a program cannot take part, or None."""
    return None if shutil.which(name) else "not installed"


def measure(name: str, url: str, count: int, connections: int, folder: Path) -> dict[str, float]:
    """Let it send about `count` triggers; its start is counted, which the number makes small."""
    program = PROGRAMS[name]
    cost = run(program.command(url + PATH + QUERY, count, connections, folder / "body"))
    answered = re.search(program.good, cost.said)
    assert answered and not re.search(program.bad, cost.said), cost.said  # noqa: PT018 - one sentence
    return {"cpu_us": cost.cpu_s / int(answered[1]) * 1e6, "per_s": int(answered[1]) / cost.wall_s}
