"""Runs that are killed again and again: the program in a process, its gateway in this one, and the proof."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
import os
from pathlib import Path
import shutil
import signal
import sys
from typing import Any

import failpoints
from oracle import JobKey, Verdict, assert_proven, read_results

import bulk_trigger
from bulk_trigger.journal import Journal
from bulk_trigger.model import State
from bulk_trigger.sandbox import Ledger, Sandbox, Scenario

LAUNCHER = str(Path(failpoints.__file__))
HANGS_S = 90.0  #: no session takes that long, however busy the machine is
IN_FLIGHT = 8
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Plot:
    """What a victim has to do, against which gateway."""

    scenario: str
    jobs: Sequence[JobKey]
    flags: tuple[str, ...] = ()
    rate: int = 30  #: calls per second
    in_flight: int = IN_FLIGHT


@dataclass
class Session:
    """One process: how it ended, and what it said."""

    armed: tuple[str, ...]
    code: int
    told: str

    @property
    def was_killed(self) -> bool:
        return self.code == KILLED

    @property
    def met_a_bug(self) -> bool:
        """Whether an injected error came to light: it is told, and the exit code is no success."""
        return self.code not in {0, KILLED} and bool({"--raise", "--starve"} & set(self.armed))


@dataclass
class Victim:
    """A run, from its first process to its last."""

    plot: Plot
    folder: Path
    sandbox: Sandbox
    sessions: list[Session] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        return self.folder / "run"

    @property
    def is_born(self) -> bool:
        """Whether there is a run that can be resumed."""
        return (self.directory / "journal.db").exists()

    @property
    def kills(self) -> int:
        return sum(session.was_killed for session in self.sessions)

    @property
    def blows(self) -> int:
        """Kills, and bugs met."""
        return sum(session.was_killed or session.met_a_bug for session in self.sessions)

    async def start(self, *armed: str, **how: Any) -> asyncio.subprocess.Process:
        """Start the program: `run` until there is a run, then `resume`. `armed` goes to the launcher."""
        if self.is_born:
            arguments = ["resume", str(self.directory)]
        else:
            arguments = ["run", str(self._write_jobs()), "--run-dir", str(self.directory), *self._flags()]
        return await asyncio.create_subprocess_exec(
            sys.executable,
            LAUNCHER,
            *("--starts", str(self.folder / "starts.txt"), *armed),
            *("--", *arguments, "--no-progress"),
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            **how,
        )

    async def session(self, *armed: str, kill_after_s: float | None = None) -> Session:
        """Let one process run until it ends, or dies."""
        process = await self.start(*armed)
        told = asyncio.ensure_future(process.communicate())
        try:
            if kill_after_s is not None:
                await asyncio.wait([told], timeout=kill_after_s)
                kill(process)
            await asyncio.wait_for(asyncio.shield(told), HANGS_S)
        except TimeoutError:
            raise AssertionError(f"it hangs: {self}; {' '.join(armed)}") from None
        finally:
            kill(process)
            _, text = await told
        assert process.returncode is not None
        self.sessions.append(Session(armed, process.returncode, text.decode()))
        return self.sessions[-1]

    async def end(self, process: asyncio.subprocess.Process, *armed: str) -> Session:
        """Wait for a process that was started by hand."""
        _, told = await asyncio.wait_for(process.communicate(), HANGS_S)
        assert process.returncode is not None
        self.sessions.append(Session(armed, process.returncode, told.decode()))
        return self.sessions[-1]

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait for something that nobody tells."""
        async with asyncio.timeout(HANGS_S):
            while not is_so():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)

    async def effects(self, count: int) -> None:
        """Wait until so many flows were triggered."""
        await self.until(lambda: len(self.sandbox.ledger.effects) >= count)

    def in_doubt(self) -> set[int]:
        """The rows that may be on the wire or in the gateway, as the journal has it at this moment."""
        if not self.is_born:
            return set()
        copy = self.folder / "copy"
        copy.mkdir()
        for path in self.directory.glob("journal.db*"):
            shutil.copy(path, copy)
        journal = Journal.read(copy / "journal.db")
        rows = {outcome.row for outcome in journal.outcomes() if outcome.state is State.SENDING}
        journal.close()
        shutil.rmtree(copy)
        return rows

    def results(self) -> list[dict[str, str]]:
        return read_results(self.directory / "results.csv")

    def __str__(self) -> str:
        lived = "; ".join(f"{' '.join(each.armed)} → {each.code}" for each in self.sessions)
        return f"{self.folder.name}: {lived}"

    # ---

    def _flags(self) -> list[str]:
        card = self.sandbox.credentials
        return [
            *("--gateway", self.sandbox.url, "--org-id", card["orgId"], "--user-id", card["userId"]),
            *(
                "--rate",
                f"{self.plot.rate}/s",
                "--in-flight",
                str(self.plot.in_flight),
                "--reconcile-wait",
                "600ms",
            ),
            *self.plot.flags,
        ]

    def _environment(self) -> dict[str, str]:
        card = self.sandbox.credentials
        ours = {name: value for name, value in os.environ.items() if not name.startswith("BULK_TRIGGER")}
        return {
            **ours,
            "PYTHONPATH": str(Path(bulk_trigger.__file__).parents[1]),
            "BULK_TRIGGER_APP_KEY": card["appKey"],
            "BULK_TRIGGER_APP_SECRET": card["appSecret"],
        }

    def _write_jobs(self) -> Path:
        path = self.folder / "jobs.csv"
        rows = "".join(f"{flow},{time}\n" for flow, time in self.plot.jobs)
        path.write_text(f"flowId,triggerTime\n{rows}")
        return path


async def at_once(them: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run several of these side by side; the first that fails ends them all."""
    async with asyncio.TaskGroup() as tasks:
        for each in them:
            tasks.create_task(each)


def kill(process: asyncio.subprocess.Process) -> None:
    """SIGKILL, if it has not ended by itself."""
    with suppress(ProcessLookupError):
        process.kill()


@asynccontextmanager
async def victim(plot: Plot, folder: Path, seed: int = 1) -> AsyncIterator[Victim]:
    """A run that is about to begin, and its gateway."""
    folder.mkdir(parents=True)
    ledger = Ledger(folder / "ledger.jsonl", durable=False)
    async with Sandbox(Scenario.parse(plot.scenario), seed=seed, ledger=ledger) as sandbox:
        yield Victim(plot, folder, sandbox)


# --- the proof


def prove(victim: Victim) -> Verdict:
    """What holds whatever happened: accounted, in order, none twice, the rate kept, and no bug met."""
    for session in victim.sessions:
        assert "Traceback" not in session.told or "--starve" in session.armed, session.told
        assert "a bug in" not in session.told or session.met_a_bug, session.told
    assert (victim.directory / "results.csv").exists(), f"{victim}: {victim.sessions[-1].told}"
    assert not list(victim.directory.glob(".*")), "what a kill left half-written is still there"
    assert busiest_second(victim.folder / "starts.txt") <= victim.plot.rate
    return assert_proven(victim.directory, victim.folder / "ledger.jsonl", victim.plot.jobs)


def prove_each_once(victim: Victim) -> None:
    """P7: with look-ups, each job exactly once, and the program says so."""
    verdict = prove(victim)
    blemished = [row for row in victim.results() if row["status"] != "succeeded"]
    assert not blemished, f"{victim}: {blemished[:2]}"
    verdict.assert_each_once()
    assert victim.sessions[-1].code == 0, victim.sessions[-1].told


def prove_doubts_named(victim: Victim, doubts: Collection[int]) -> None:
    """P8: without look-ups, the rows that were in doubt at a kill are `unknown`, and no others."""
    prove(victim)
    unknown = {int(row["row"]) for row in victim.results() if row["status"] == "unknown"}
    assert unknown == set(doubts)
    assert victim.sessions[-1].code == (5 if unknown else 0), victim.sessions[-1].told


def busiest_second(starts: Path) -> int:
    """P15, P16: the most calls that the program started within any second, over all its processes."""
    times = [
        float(time)
        for time, count in (line.split() for line in starts.read_text().splitlines())
        for _ in range(int(count))
    ]
    most, first = 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
