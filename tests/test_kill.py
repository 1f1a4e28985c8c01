"""The real program on a disk that is full, then `resume`: the ledger is the witness."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
import resource
import sys
from typing import Any

from oracle import Verdict
import pytest
from running import hourly

from bulk_trigger.sandbox import Ledger, Sandbox, Scenario

IN_FLIGHT = 8
LATENCY = '[latency]\nshape = "uniform"\nlow_ms = 1\nhigh_ms = 40\n'


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
