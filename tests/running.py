"""Runs against the real sandbox over real sockets, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from oracle import JobKey, Verdict, assert_proven, read_results

from bulk_trigger import Credentials, Ending, Settings
from bulk_trigger.launch import create, execute, reopen
from bulk_trigger.model import State
from bulk_trigger.ports import Observer
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Run, Stop
from bulk_trigger.sandbox import Ledger, Sandbox, Scenario

T0 = 1_704_067_200_000
HOUR = 3_600_000
FAST = '[latency]\nshape = "constant"\nmedian_ms = 1\n'


def hourly(rows: int, flows: int = 10) -> list[JobKey]:
    """Jobs in the order of a replay: all flows hour by hour."""
    return [(3300 + n % flows, T0 + n // flows * HOUR) for n in range(rows)]


def single_faults(on: str, faults: Sequence[tuple[str, str]]) -> str:
    """A scenario in which the second call of an API meets the first of these (kind, more), and so on."""
    return "".join(
        f'[[faults]]\non = "{on}"\nkind = "{kind}"\ncalls = [{number}]\n{more}\n'
        for number, (kind, more) in enumerate(faults, 2)
    )


class Rig:
    """A sandbox and a place for runs against it."""

    def __init__(self, sandbox: Sandbox, folder: Path, ledger: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.ledger = ledger
        self.directory = folder / "run"
        self.notices: list[str] = []
        card = sandbox.credentials
        self.credentials = Credentials(card["appKey"], card["appSecret"])
        self.target = {"gateway": sandbox.url, "org_id": card["orgId"], "user_id": card["userId"]}

    def settings(self, **changes: Any) -> Settings:
        """Settings that make a test quick: no rate, short waits."""
        quick = {"rates": (), "reconcile_wait_s": 0.4, "in_flight": 16, "timeout_s": 5.0}
        return Settings(**{**self.target, **quick, **changes})

    async def trigger(
        self,
        jobs: Sequence[JobKey],
        *,
        observer: Observer | None = None,
        watch: Callable[[Run], bool] = lambda _: True,
        **changes: Any,
    ) -> Ending:
        """Run a job list from its beginning. `watch` looks at the run again and again until it says True."""
        opened = create(JobTuples(jobs), self.directory, self.settings(**changes), again=True)
        with opened:
            async with asyncio.TaskGroup() as tasks:

                def ready(run: Run) -> None:
                    watching.append(tasks.create_task(_watch(run, watch)))

                watching: list[asyncio.Task[None]] = []
                ending = await execute(
                    opened, self.credentials, observer=observer, notice=self.notices.append, ready=ready
                )
                for task in watching:
                    task.cancel()
        return ending

    async def resume(self, *, rerun: Sequence[State] = (), **overrides: Any) -> Ending:
        """Go on with the run."""
        with reopen(self.directory, overrides, rerun=rerun) as opened:
            return await execute(opened, self.credentials, notice=self.notices.append)

    def verdict(self, jobs: Sequence[JobKey]) -> Verdict:
        return Verdict(self.ledger, jobs)

    def results(self) -> list[dict[str, str]]:
        return read_results(self.directory / "results.csv")

    def assert_proven(self, jobs: Sequence[JobKey]) -> Verdict:
        """All that must hold for a finished run, whatever happened."""
        return assert_proven(self.directory, self.ledger, jobs)


async def _watch(run: Run, watch: Callable[[Run], bool]) -> None:
    while not watch(run):  # noqa: ASYNC110 - the run is looked at from outside, it tells nobody
        await asyncio.sleep(0.001)


def after(rows: int, act: Callable[[Run], None]) -> Callable[[Run], bool]:
    """A watch that acts once so many rows have succeeded."""

    def watch(run: Run) -> bool:
        if run.tally.counts[State.SUCCEEDED] < rows:
            return False
        act(run)
        return True

    return watch


def interrupt(run: Run) -> None:
    """What the first Ctrl-C does."""
    run.stop(Stop(130, "interrupted"))


@asynccontextmanager
async def rig(folder: Path, scenario: str = "", *, seed: int = 1) -> AsyncIterator[Rig]:
    """Start a sandbox with a scenario (TOML); latency is 1 ms unless the scenario says something of it."""
    text = scenario if "[latency]" in scenario else scenario + "\n" + FAST
    ledger = folder / "ledger.jsonl"
    async with Sandbox(Scenario.parse(text), seed=seed, ledger=Ledger(ledger, durable=False)) as sandbox:
        yield Rig(sandbox, folder, ledger)
