"""Plays what a seed means: sessions of the real engine in a simulated world, with deaths between them.

A death is a copy of the run directory, taken at the very instant: what had been written by then is there, and
nothing that the dying process still does is. Its successor works on the copy.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
import contextlib
from math import inf
from pathlib import Path
import shutil
from typing import Any, TypeVar

from plans import Crash, Plan, Stopping
from platter import Loss
from store import Store, Trip
from wires import Process, SimulatedGateway, WorldClock, WorldLoop
from world import World

from bulk_trigger.cli.proof import prove
from bulk_trigger.errors import JournalError
from bulk_trigger.header import JOURNAL
from bulk_trigger.journal import Journal
from bulk_trigger.launch import describe, look_into
from bulk_trigger.model import ENDINGS, Outcome, State
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Ending, Run, Stop, discard_results
from bulk_trigger.run import run as run_module
from bulk_trigger.settings import Settings

T = TypeVar("T")

TICK_S = 60.0  #: progress.json is written so often: once a second, in outages of hours, proves nothing
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
        self.crash: Crash | None = _of_session(plan.crashes, number)
        self.stopping: Stopping | None = _of_session(plan.stops, number)
        self.trip: Trip | None = None
        self.broken_at = inf  #: when the disk failed
        self.process = Process(self.world, self.step)
        self.steps: Counter[str] = Counter()
        self.ending: Ending | None = None
        self.died_at = inf
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
        self._loop = loop = WorldLoop(self.world, self._turn)
        self._set_traps()
        loop.set_exception_handler(self._complain)
        try:
            self._main = loop.create_task(self._execute(journal))
            self._main.add_done_callback(lambda _: loop.stop())
            loop.run_forever()
            if self.process.alive:
                self._end()
            else:
                self._bury()
        finally:
            self.process.alive = False
            loop.close()

    def _trace(self, *_: object) -> bool:
        self.step("statement")
        return True

    def _set_traps(self) -> None:
        """See every statement, and let the disk fail or lose its power at the moment that the plan says."""
        store, crash = self.history.store, self.crash
        connection: Any = self._journal._database._connection
        if store is None:
            if crash:
                connection.set_trace_callback(lambda _: self.step("statement"))
            return
        connection._connection.exec_trace = self._trace
        if crash and crash.step in {"sync", "write", "rename", "delete"}:
            store.cut(crash.step, crash.n)
        elif breakage := _of_session(self.history.plan.breakages, self.number):
            self.trip = store.fail(
                breakage.kind,
                breakage.n,
                breakage.error,
                forever=breakage.forever,
                file="*journal.db*" if breakage.kind in {"write", "sync"} else "*",
            )

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
        if self.history.store and self.crash and self.history.store.is_off:
            self.die(self.crash)
            return
        if self.trip and self.trip.struck and self.broken_at == inf and self.trip.kind in {"write", "sync"}:
            self.broken_at = self.world.now
            self.world.hits[f"disk failed: {self.trip.kind}"] += 1
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
        self.world.hits[f"{'power cut' if crash.loss != 'none' else 'killed'} at a {crash.step}"] += 1
        self.world.hits[f"killed while {self._phase()}"] += 1
        self.process.alive = False
        self.died_at = self.world.now
        self.grave = self.history.freeze(self.directory)
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
            loop.run_forever()
        if not main.cancelled():
            main.exception()
        self.world.now = self.died_at

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self.process.alive:
            self.history.complaints.append(str(context.get("exception") or context["message"]))


class History:
    """One plan, played to its end."""

    def __init__(self, plan: Plan, place: Path) -> None:
        self.plan = plan
        self.world = World(self.plan)
        self.place = place
        self.sessions: list[Session] = []
        self.complaints: list[str] = []
        self.reran = False
        self.unproven: tuple[str, ...] = ()  #: what `verify` says in the end
        self.refused = ""  #: why a run cannot be resumed, by its own word
        self.store = Store(place / "disk") if self.plan.platter else None
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
        tick_s, run_module.TICK_S = run_module.TICK_S, TICK_S
        try:
            self._play()
        finally:
            run_module.TICK_S = tick_s

    def _play(self) -> None:
        directory = self.place / "disk" / "run"
        directory.mkdir(parents=True)
        with self.store or contextlib.nullcontext():
            settings = self.plan.settings
            journal = self._create(directory)
            while True:
                self._live(directory, settings, journal)
                if self._is_over() or len(self.sessions) >= MOST_SESSIONS:
                    break
                directory = self.directory
                settings = self._wait()
                try:
                    journal = self._open(directory, settings)
                except JournalError as error:
                    self.refused = str(error)
                    return
            with look_into(self.directory) as opened:
                self.unproven = prove(opened).problems

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
        if self.store:
            died = session.grave is not None and session.crash is not None
            self.store.power_on(
                session.process.dice, Loss(session.crash.loss if died and session.crash else "none")
            )
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

    def freeze(self, directory: Path) -> Path:
        """Keep the files of a run directory as they are now, where no dead process can reach them."""
        if self.store:
            self.store.power_off()
            return directory
        self._copies += 1
        place = self.place / "disk" / f"run-{self._copies}"
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


def _of_session(plans: Sequence[T | None], number: int) -> T | None:
    return plans[number] if number < len(plans) else None


def _as_dict(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}
