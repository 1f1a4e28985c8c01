"""The event loops that a test can ask for.

A test that says nothing runs once, on asyncio's own loop. `@pytest.mark.asyncio(loop_factories=["virtual"])`,
or the same as `pytestmark`, runs it where waiting is free; several names run it once on each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
import sys

from clock import VirtualLoop
import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


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
