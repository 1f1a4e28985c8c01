"""Plays what a seed means: sessions of the real engine in a simulated world, with deaths between them.

A death is a copy of the run directory, taken at the very instant: what had been written by then is there, and
nothing that the dying process still does is. Its successor works on the copy.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
import contextlib
from pathlib import Path
import shutil
from typing import Any

from plans import Crash, Plan, Stopping, draw
from wires import Process, SimulatedGateway, WorldClock, WorldLoop
from world import World

from bulk_trigger.errors import JournalError
from bulk_trigger.header import JOURNAL
from bulk_trigger.journal import Journal
from bulk_trigger.launch import describe
from bulk_trigger.model import ENDINGS, Outcome, State
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Ending, Run, Stop, discard_results
from bulk_trigger.settings import Settings

MOST_SESSIONS = 30
CALM_AFTER = 12  #: sessions; then nothing new goes wrong, so that the end has to come
FINISHED = frozenset({0, 1, 5})


class Session:
    """One life of the process under test."""

    def __init__(self, history: History, directory: Path, settings: Settings, *, number: int) -> None:
        self.history = history
        self.world = history.world
        self.directory = directory
        self.settings = settings
        self.number = number
        plan = history.plan
        self.crash: Crash | None = plan.crashes[number] if number < len(plan.crashes) else None
        self.stopping: Stopping | None = None if number >= len(plan.stops) else plan.stops[number]
        self.process = Process(self.world, self.step)
        self.steps: Counter[str] = Counter()
        self.ending: Ending | None = None
        self.grave: Path | None = None  #: where the files lie as the death left them
        self.told: Counter[int] = Counter()
        self.run: Run | None = None
        self.open_intents = 0  #: that it found when it began
        self._main: asyncio.Task[Ending] | None = None
        self._waking = 0

    @property
    def finished(self) -> bool:
        """Whether it ended because every row had."""
        return self.ending is not None and self.ending.exit_code in FINISHED

    # --- its life

    def live(self, journal: Journal) -> None:
        """Run until the run ends, stops, or dies."""
        self._journal = journal
        database = journal._database
        if self.crash or self.stopping:
            database._connection.set_trace_callback(lambda _: self.step("statement"))
        self._loop = loop = WorldLoop(self.world, self._turn)
        loop.set_exception_handler(self._complain)
        try:
            self._main = loop.create_task(self._execute(journal))
            self._main.add_done_callback(lambda _: loop.stop())
            with self._as_running():
                loop.run_forever()
            if self.process.alive:
                self._end()
            else:
                self._bury()
        finally:
            self.process.alive = False
            loop.close()

    async def _execute(self, journal: Journal) -> Ending:
        plan, world = self.history.plan, self.world
        clock = WorldClock(world, plan.seed + self.number)
        gateway = SimulatedGateway(self.settings, self.process, clock)
        self.run = Run(
            self.directory,
            journal,
            self.settings,
            gateway,
            observer=self if plan.observed or plan.deaf else None,
            clock=clock,
            threaded=False,
        )
        return await self.run.execute()

    def settled(self, outcome: Outcome) -> None:
        """Be told of an ending, as the run's observer."""
        self.told[outcome.row] += 1
        if self.history.plan.deaf and self.number == 0 and len(self.told) >= self.history.plan.deaf:
            self.world.hits["the observer failed"] += 1
            raise OSError("nobody listens any more")

    def _end(self) -> None:
        assert self._main is not None
        self.ending = None if self._main.cancelled() else self._main.result()

    # --- its death

    def _turn(self) -> None:
        self.step("turn")

    def step(self, what: str) -> None:
        """Something is about to happen: maybe the last thing."""
        if not self.process.alive:
            return
        self.steps[what] += 1
        count = self.steps[what]
        crash, stopping = self.crash, self.stopping
        if crash and crash.step == what and count == crash.n:
            self.die(crash)
        elif stopping and stopping.step == what and count == stopping.n and self.run:
            self.stopping = None
            self._stop(stopping)
        if what in {"statement", "turn"} and crash and crash.step == "end" and self.is_closing:
            self._waking += 1
            if self._waking == crash.n:
                self.die(crash)

    @property
    def is_closing(self) -> bool:
        """Whether the session has nothing more to send."""
        return self.run is not None and (self.run.is_draining or not self.run.tally.left)

    def _stop(self, stopping: Stopping) -> None:
        assert self.run is not None
        self.world.hits[f"operator: {stopping.how}"] += 1
        match stopping.how:
            case "drain":
                self.run.stop(Stop(130, "interrupted"))
            case "leave":
                self.run.leave()
            case _:
                assert self._main is not None
                asyncio.get_running_loop().call_later(0, self._main.cancel)

    def die(self, crash: Crash) -> None:
        """The process is killed, here and now."""
        self.world.hits[f"killed at a {crash.step}"] += 1
        self.world.hits[f"killed while {self._phase()}"] += 1
        self.process.alive = False
        self._died_at = self.world.now
        self.grave = self.history.copy(self.directory)
        self._loop.stop()

    def _phase(self) -> str:
        """What it was doing, as the world sees it."""
        if self.is_closing:
            return "closing"
        ours = [call for call in self.world.calls if call.session == self.world.session]
        if self.number and not any(call.api == "trigger" for call in ours):
            return "resuming"
        if any(call.ended is None and call.api in {"get", "list"} for call in ours):
            return "looking up"
        return "sending" if any(call.ended is None for call in ours) else "waiting"

    def _bury(self) -> None:
        """Let the dead process clean up after itself, where nobody sees it."""
        loop, selector = self._loop, self._loop.selector
        selector.last_words = True
        selector.turns = 0
        with contextlib.suppress(JournalError):
            self._journal.close()
        main = self._main
        assert main is not None
        if not main.done():
            main.cancel()
            with self._as_running():
                loop.run_forever()
        if not main.cancelled():
            main.exception()
        self.world.now = self._died_at

    @contextlib.contextmanager
    def _as_running(self) -> Iterator[None]:
        """Without the garbage collector's stop at every bend: a session is short."""
        yield

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self.process.alive:
            self.history.complaints.append(str(context.get("exception") or context["message"]))


class History:
    """One seed, played to its end."""

    def __init__(self, seed: int, place: Path) -> None:
        self.plan: Plan = draw(seed)
        self.world = World(self.plan)
        self.place = place
        self.sessions: list[Session] = []
        self.complaints: list[str] = []
        self.reran = False
        self._copies = 0

    @property
    def directory(self) -> Path:
        """The run directory as the last session left it."""
        last = self.sessions[-1]
        return last.grave or last.directory

    @property
    def last(self) -> Ending | None:
        """How the last session ended."""
        return self.sessions[-1].ending

    def play(self) -> None:
        """Create the run, and go on with it until every row has ended."""
        directory = self.place / "run"
        directory.mkdir()
        settings = self.plan.settings
        journal = self._create(directory)
        while True:
            self._live(directory, settings, journal)
            if self._is_over() or len(self.sessions) >= MOST_SESSIONS:
                return
            directory = self.directory
            settings = self._wait()
            journal = self._open(directory, settings)

    def _create(self, directory: Path) -> Journal:
        source = JobTuples(self.plan.jobs)
        return Journal.create(
            directory / JOURNAL,
            source,
            settings=self.plan.settings,
            tool="simulated",
            at_ms=self._now_ms(),
            source=lambda: describe(source),
            explain=lambda bad, _: str(bad),
        )

    def _open(self, directory: Path, settings: Settings) -> Journal:
        journal = Journal.open(directory / JOURNAL, at_ms=self._now_ms(), durability=settings.durability)
        if self.sessions[-1].finished:
            self.reran = True
            discard_results(directory)
            journal.reopen(self.plan.rerun, self._now_ms())
        return journal

    def _live(self, directory: Path, settings: Settings, journal: Journal) -> None:
        self.world.session = number = len(self.sessions)
        session = Session(self, directory, settings, number=number)
        session.open_intents = journal.counts()[State.SENDING]
        self.sessions.append(session)
        session.live(journal)
        for call in self.world.calls:
            if call.session == number:
                self.world.gone(call)

    def _is_over(self) -> bool:
        ending = self.last
        if ending is None or ending.exit_code not in FINISHED:
            return False
        if self.reran or not self.plan.rerun:
            return True
        counts = ending.summary["counts"]
        return not any(counts[state] for state in self.plan.rerun)

    def _wait(self) -> Settings:
        """Let the time pass until somebody resumes; returns the settings of the next session."""
        number = len(self.sessions)
        session = self.sessions[-1]
        if number >= CALM_AFTER:
            self.world.settle_down()
        if session.grave and session.crash:
            self.world.pass_time(session.crash.down_s)
        else:
            self.world.pass_time(self.plan.pauses_s[number % len(self.plan.pauses_s)])
        overrides = self.plan.overrides[number % len(self.plan.overrides)]
        return Settings(**{**_as_dict(self.plan.settings), **overrides})

    def copy(self, directory: Path) -> Path:
        """The files of a run directory as they are now, in a place of their own."""
        self._copies += 1
        place = self.place / f"run-{self._copies}"
        shutil.copytree(directory, place)
        return place

    def _now_ms(self) -> int:
        return int(self.world.wall * 1000)

    @property
    def ended(self) -> bool:
        """Whether every row has ended."""
        return self.sessions[-1].finished

    def states(self) -> Counter[State]:
        """How many rows ended how."""
        assert self.last is not None
        return Counter({state: self.last.summary["counts"][state.value] for state in ENDINGS})


def _as_dict(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}
