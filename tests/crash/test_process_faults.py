"""What can happen to a process short of dying: signals, standstills, and too little of everything."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
import json
import os
from pathlib import Path
import resource
import signal
from typing import Any

from plots import CALM
from running import hourly
from victims import IN_FLIGHT, Plot, Victim, at_once, prove_each_once, victim

SLOW = '[latency]\nshape = "constant"\nmedian_ms = 300\n'
LEISURELY = replace(CALM, scenario=SLOW, jobs=CALM.jobs[:36], flags=("--timeout", "1s"), rate=20)
STILL_S = 4.5  #: how long a process is stopped: longer than the timeout of a send


def progress(run: Victim) -> dict[str, Any]:
    path = run.directory / "progress.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def summary(run: Victim) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.directory / "summary.json").read_text())
    return found


# --- signals


async def test_a_signal_while_the_input_is_read_leaves_no_run(tmp_path: Path) -> None:
    """F75, P24, P31: nothing was sent, and the same command starts afresh."""
    async with victim(CALM, tmp_path / "run") as run:
        process = await run.start("--stall", "import.chunk:2:2")
        await run.until((run.directory / "journal.db.part").exists)
        process.send_signal(signal.SIGINT)
        session = await run.end(process)

        assert session.code == 130
        assert run.sandbox.ledger.calls == []
        assert not run.directory.exists()
        await run.session()
        prove_each_once(run)


async def test_a_signal_while_results_are_written_lets_them_be_finished(tmp_path: Path) -> None:
    """F75, P5, P23, P31: every row has ended, so the exit code is that of the rows."""
    async with victim(CALM, tmp_path / "run") as run:
        process = await run.start("--stall", "export.begin:1:1")
        await run.until(lambda: progress(run).get("left") == 0)
        process.send_signal(signal.SIGINT)

        await run.end(process)
        prove_each_once(run)


async def test_a_second_signal_while_results_are_written_leaves_them_whole_or_absent(tmp_path: Path) -> None:
    """F75, P23, P31: a disk that hangs does not keep the process; `resume` writes the results."""
    async with victim(CALM, tmp_path / "run") as run:
        process = await run.start("--stall", "export.temp_written:1:60")
        await run.until(lambda: list(run.directory.glob(".results.csv.*")))
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGINT)

        assert (await run.end(process)).code == 130
        assert not (run.directory / "results.csv").exists()
        await run.session()
        prove_each_once(run)


# --- standstills, and too little of something


async def test_a_process_that_is_held_up_or_short_of_something_is_slower_and_nothing_else(
    tmp_path: Path,
) -> None:
    """F13, F76, F78, F79: each of these scenes in a run of its own, side by side: they mostly wait."""
    await at_once(
        [
            be_stopped(tmp_path / "stopped"),
            be_blocked(tmp_path / "blocked"),
            be_starved(tmp_path / "starved"),
            have_few_descriptors(tmp_path / "few"),
        ]
    )


async def be_stopped(place: Path) -> None:
    """F76, P7, P15: what was in flight is in doubt and is looked up; the rate holds when it wakes."""
    async with victim(LEISURELY, place) as run:
        process = await run.start()
        await run.effects(10)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(STILL_S)
        process.send_signal(signal.SIGCONT)
        session = await run.end(process)

        prove_each_once(run)
        times = [call.mono for call in run.sandbox.ledger.calls]
        assert max(later - earlier for earlier, later in pairwise(times)) > STILL_S - 0.5
        assert 1 <= summary(run)["reconciled"] <= IN_FLIGHT
        assert "stood still" in session.told


async def be_blocked(place: Path) -> None:
    """F79, P7, P15: by something in the event loop."""
    async with victim(LEISURELY, place) as run:
        session = await run.session("--stall", f"classify.done:10:{STILL_S}")

        prove_each_once(run)
        assert summary(run)["reconciled"] <= IN_FLIGHT
        assert "stood still" in session.told


async def be_starved(place: Path) -> None:
    """F78, P7: it runs for a fifth of the time; replies are not taken for lost ones."""
    async with victim(replace(CALM, flags=("--timeout", "20s")), place) as run:
        process = await run.start()
        stops = 0
        ended = asyncio.ensure_future(run.end(process))
        while not ended.done():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGSTOP)
                stops += 1
                await asyncio.sleep(0.08)
                os.kill(process.pid, signal.SIGCONT)
            await asyncio.wait([ended], timeout=0.02)

        prove_each_once(run)
        assert stops > 10
        assert summary(run)["reconciled"] == 0


async def have_few_descriptors(place: Path) -> None:
    """F13, P1: at most 40 of them, and 64 sends that may be in flight."""
    async with victim(Plot(SLOW, hourly(75, flows=75), rate=500, in_flight=64), place) as run:
        process = await run.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
        await run.end(process)

        prove_each_once(run)
        assert summary(run)["retries"] > 0


async def test_a_process_without_memory_is_like_one_that_was_killed(tmp_path: Path) -> None:
    """F77, P7: wherever it runs out; the journal has what was known, and `resume` completes the run."""
    early = 0

    async def starve(aim: str) -> None:
        nonlocal early
        async with victim(CALM, tmp_path / aim.partition(":")[0]) as run:
            starved = await run.session("--starve", aim)
            await run.session()
            prove_each_once(run)
            early += starved.met_a_bug

    await at_once(map(starve, ("import.chunk:2", "token.before:1", "d1.after_commit:3", "d2.before:10")))
    assert early >= 2
