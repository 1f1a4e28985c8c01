"""The event loops that a test can ask for, the options that make a short proof a long one, and the search
for secrets after each test.

A test that says nothing runs once, on asyncio's own loop. `@pytest.mark.asyncio(loop_factories=["virtual"])`,
or the same as `pytestmark`, runs it where waiting is free; several names run it once on each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
import sys

import canary
from clock import VirtualLoop
import hypothesis
import pytest

OPTIONS = (
    ("--seeds", 2000, "simulated runs, each a history of its own"),
    ("--seed", None, "the one simulated run to play again"),
    ("--kills", 60, "SIGKILLs of the real program"),
    ("--fuzz", 30, "seconds that the fuzzers share"),
)

hypothesis.settings.register_profile("patient", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("patient")

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


EAR = canary.Ear()


def pytest_sessionstart() -> None:
    EAR.listen()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """P28: when all is over, nothing that a test left, printed or heard from a child may hold a secret."""
    report = yield
    if report.when == "teardown":
        found = [*EAR.forget(), *canary.found_after(item, report)]
        if found:
            report.outcome = "failed"
            report.longrepr = "a secret was left behind:\n  " + "\n  ".join(found)
    return report
