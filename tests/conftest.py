"""The event loops that a test can ask for, and the options that turn a short proof into a long one.

A test that says nothing runs once, on asyncio's own loop. `@pytest.mark.asyncio(loop_factories=["virtual"])`,
or the same as `pytestmark`, runs it where waiting is free; several names run it once on each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
import sys

from clock import VirtualLoop
import pytest

OPTIONS = (
    ("--seeds", 2000, "simulated runs, each a history of its own"),
    ("--seed", None, "the one simulated run to play again"),
    ("--kills", 60, "SIGKILLs of the real program"),
    ("--fuzz", 10, "seconds for each fuzzer"),
)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("proofs", "How long the proofs are (the defaults are for every change)")
    for name, default, meaning in OPTIONS:
        group.addoption(name, type=int, default=default, metavar="N", help=f"{meaning} [{default}]")


def _loops() -> Mapping[str, LoopFactory]:
    loops: dict[str, LoopFactory] = {"real": asyncio.new_event_loop, "virtual": VirtualLoop}
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - not on Windows

        loops["uvloop"] = uvloop.new_event_loop
    return loops


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """All loops for a test that names some; without this choice every test would run on every loop."""
    loops = _loops()
    named = any("loop_factories" in marker.kwargs for marker in item.iter_markers("asyncio"))
    return loops if named else {"real": loops["real"]}
