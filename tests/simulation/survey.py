"""Many histories, over all cores: what was found, and what really happened in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
import contextlib
from dataclasses import dataclass, field
import gc
from itertools import islice
from multiprocessing import get_context
import os
from pathlib import Path
from tempfile import TemporaryDirectory
import warnings

from checks import check, digest
from drawing import draw
from history import History
from plans import Plan
from sabotage import sabotaged

CHUNK = 10  #: histories that a process plays before it reports
_MEMORY = Path("/dev/shm")  # where there is one: syncs cost nothing there


@dataclass(frozen=True)
class Finding:
    """What is wrong with one history."""

    seed: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {problem}" for problem in self.problems[:5]]
        return "\n".join([*lines, f"  replay: python -m pytest tests/simulation --seed {self.seed}"])


@dataclass
class Survey:
    """What some histories came to."""

    histories: int = 0
    jobs: int = 0
    sessions: int = 0
    sends: int = 0
    seconds: float = 0.0  #: simulated
    hits: Counter[str] = field(default_factory=Counter)  #: what went wrong in the world, and how often
    states: Counter[str] = field(default_factory=Counter)  #: how rows ended
    exits: Counter[int] = field(default_factory=Counter)  #: exit codes of sessions
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Survey) -> None:
        """Take in another one."""
        for name in (
            "histories",
            "jobs",
            "sessions",
            "sends",
            "seconds",
            "hits",
            "states",
            "exits",
            "findings",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        return (
            f"{self.histories:,} histories with {self.jobs:,} jobs, {self.sends:,} sends and "
            f"{self.sessions:,} sessions in {self.seconds / 3600:,.0f} simulated hours: "
            f"{len(self.findings)} with findings"
        )


@contextlib.contextmanager
def played(plan: Plan) -> Iterator[History]:
    """A history, played to its end; its files go when the block ends."""
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as place, warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # a killed process leaves coroutines that nobody awaits
        history = History(plan, Path(place))
        history.play()
        yield history


def look_at(seed: int) -> Survey:
    """Play a history, and check it. What it raises is a finding too."""
    try:
        with played(draw(seed)) as history:
            return _judged(history)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a run that does not end is a `BaseException`
        return Survey(histories=1, findings=[Finding(seed, (f"raised: {error!r}",))])


def _judged(history: History) -> Survey:
    problems = check(history)
    ended = history.ended
    return Survey(
        histories=1,
        jobs=len(history.plan.jobs),
        sessions=len(history.sessions),
        sends=sum(call.api == "trigger" for call in history.world.calls),
        seconds=history.world.now,
        hits=history.world.hits,
        states=Counter({state.value: count for state, count in history.states().items()})
        if ended
        else Counter(),
        exits=Counter(session.ending.exit_code for session in history.sessions if session.ending),
        findings=[Finding(history.plan.seed, tuple(problems))] if problems else [],
    )


def look_at_many(seeds: range, sabotage: str = "", *, until_found: bool = False) -> Survey:
    """The same for some seeds, in this process, with a sabotaged engine if that is asked for."""
    found = Survey()
    gc.disable()  # a history leaves few cycles, and looking for them takes a tenth of the time
    try:
        with sabotaged(sabotage):
            for seed in seeds:
                found.add(look_at(seed))
                if until_found and found.findings:
                    break
    finally:
        gc.enable()
        gc.collect()
    return found


def fingerprint(seed: int) -> str:
    """All that happened in a history, in one word."""
    with played(draw(seed)) as history:
        return digest(history)


def survey(
    pool: ProcessPoolExecutor, seeds: range, sabotage: str = "", *, until_found: bool = False
) -> Survey:
    """Play these seeds over all processes of a pool; `until_found`: stop at the first finding."""
    found = Survey()
    chunks = (seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK))
    running: set[Future[Survey]] = set()
    while True:
        for chunk in islice(chunks, 2 * (os.cpu_count() or 1) - len(running)):
            running.add(pool.submit(look_at_many, chunk, sabotage, until_found=until_found))
        if not running:
            return found
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for each in done:
            found.add(each.result())
        if until_found and found.findings:
            for each in running:
                each.cancel()
            return found


def workers(count: int | None = None) -> ProcessPoolExecutor:
    """Processes that play histories, started afresh: nothing of ours is in them."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))
