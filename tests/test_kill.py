"""SIGKILL of the real program at seeded instants, then `resume`: the ledger is the witness."""

from __future__ import annotations

import asyncio
from collections import Counter
import os
from pathlib import Path
import random
import resource
import signal
import sys
from typing import Any

from oracle import JobKey, Verdict, assert_accounted, read_results
import pytest
from running import hourly

from bulk_trigger.sandbox import Ledger, Sandbox, Scenario

IN_FLIGHT = 8
LATENCY = '[latency]\nshape = "uniform"\nlow_ms = 1\nhigh_ms = 40\n'
SCENARIO = """
    visible_after_s = 0.1
    [latency]
    shape = "uniform"
    low_ms = 1
    high_ms = 40
    [[faults]]
    kind = "code"
    code = 62109
    when = "after"
    rate = 0.05
    [[faults]]
    kind = "code"
    code = 62109
    rate = 0.05
"""


class Program:
    """The real program, run against a sandbox in this process."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.folder = folder
        card = sandbox.credentials
        self._target = ["--gateway", sandbox.url, "--org-id", card["orgId"], "--user-id", card["userId"]]
        self._environment = {
            **os.environ,
            "BULK_TRIGGER_APP_KEY": card["appKey"],
            "BULK_TRIGGER_APP_SECRET": card["appSecret"],
        }

    async def start(self, *arguments: str, **how: Any) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bulk_trigger",
            *arguments,
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            **how,
        )

    async def run(self, jobs: Path, **how: Any) -> asyncio.subprocess.Process:
        quick = [
            "--rate",
            "none",
            "--in-flight",
            str(IN_FLIGHT),
            "--reconcile-wait",
            "600ms",
            "--no-progress",
        ]
        return await self.start(
            "run", str(jobs), "--run-dir", str(self.folder / "run"), *self._target, *quick, **how
        )

    async def resume(self) -> asyncio.subprocess.Process:
        return await self.start("resume", str(self.folder / "run"), "--no-progress")


async def until_effects(sandbox: Sandbox, count: int, process: asyncio.subprocess.Process) -> bool:
    """Wait until the ledger holds so many effects; False if the process ended before."""
    while process.returncode is None:
        if len(sandbox.ledger.effects) >= count:
            return True
        await asyncio.sleep(0.005)
    return False


async def kill_and_resume(
    folder: Path, scenario: str, jobs: list[JobKey], dice: random.Random, kills: int
) -> int:
    """Run, kill, resume, kill, ..., resume to the end; returns the exit code of the last."""
    path = folder / "jobs.csv"
    path.write_text("flowId,triggerTime\n" + "".join(f"{flow},{time}\n" for flow, time in jobs))
    ledger = Ledger(folder / "ledger.jsonl", durable=False)
    async with Sandbox(Scenario.parse(scenario), seed=dice.randrange(99), ledger=ledger) as sandbox:
        program = Program(sandbox, folder)
        process = await program.run(path)
        for at in sorted(dice.sample(range(1, len(jobs) - 10), kills)):
            if not await until_effects(sandbox, at, process):
                break
            await asyncio.sleep(dice.random() * 0.03)
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
            process = await program.resume()
        _, told = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        assert b"Traceback" not in told
        return process.returncode


@pytest.mark.parametrize("seed", range(5))
async def test_killed_at_any_instant_and_resumed_each_job_runs_exactly_once(
    tmp_path: Path, seed: int
) -> None:
    """P1, P7, P12, P20: with look-ups, whatever instant the kill hits."""
    jobs = hourly(150, flows=12)

    code = await kill_and_resume(tmp_path, SCENARIO, jobs, random.Random(seed), kills=4)

    verdict = Verdict(tmp_path / "ledger.jsonl", jobs)
    verdict.assert_each_once()
    verdict.assert_in_order()
    rows = read_results(tmp_path / "run" / "results.csv")
    assert_accounted(rows, jobs, verdict)
    assert code == 0
    assert {row["status"] for row in rows} == {"succeeded"}


@pytest.mark.parametrize("seed", range(3))
async def test_killed_without_look_ups_no_job_runs_twice_and_the_doubts_are_named(
    tmp_path: Path, seed: int
) -> None:
    """P1, P8: at most once; the rows in doubt are reported, at most twice the in-flight cap per kill."""
    jobs = hourly(150, flows=30)
    code = await kill_and_resume(
        tmp_path, 'lookup = "forbidden"\n' + LATENCY, jobs, random.Random(seed), kills=1
    )

    verdict = Verdict(tmp_path / "ledger.jsonl", jobs)
    verdict.assert_none_twice()
    verdict.assert_in_order()
    rows = read_results(tmp_path / "run" / "results.csv")
    assert_accounted(rows, jobs, verdict)
    states = Counter(row["status"] for row in rows)
    assert code == 5
    assert 0 < states["unknown"] <= 2 * IN_FLIGHT
    proven = {job for job, row in zip(jobs, rows, strict=True) if row["status"] == "succeeded"}
    in_doubt = {job for job, row in zip(jobs, rows, strict=True) if row["status"] == "unknown"}
    assert set(verdict.effects) - proven <= in_doubt


@pytest.mark.parametrize("limit_kib", [160, 320, 480])
async def test_a_disk_that_is_full_stops_the_sending_and_resume_goes_on(
    tmp_path: Path, limit_kib: int
) -> None:
    """F86, P21: the journal breaks in the run: exit 4, and after room was made each job exactly once."""
    jobs = hourly(1500, flows=50)
    path = tmp_path / "jobs.csv"
    path.write_text("flowId,triggerTime\n" + "".join(f"{flow},{time}\n" for flow, time in jobs))
    async with Sandbox(
        Scenario.parse(LATENCY), ledger=Ledger(tmp_path / "ledger.jsonl", durable=False)
    ) as sandbox:
        program = Program(sandbox, tmp_path)
        broken = await program.run(path, preexec_fn=lambda: _limit_files(limit_kib * 1024))
        _, told = await asyncio.wait_for(broken.communicate(), 60)
        assert (broken.returncode, b"Traceback" in told) == (4, False), told

        resumed = await program.resume()
        await asyncio.wait_for(resumed.communicate(), 60)
        assert resumed.returncode == 0

    verdict = Verdict(tmp_path / "ledger.jsonl", jobs)
    verdict.assert_each_once()
    verdict.assert_in_order()


def _limit_files(size: int) -> None:
    """No file may grow beyond that: as on a full disk, a write fails."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
