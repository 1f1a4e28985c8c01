"""Many seeds, played on all cores, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
import multiprocessing
import os
from pathlib import Path
import sys
from tempfile import TemporaryDirectory

from checks import check, digest
from history import History
from sabotage import sabotaged
from wires import StuckError

FIRST = 1
CHUNK = 25  #: seeds that a process plays before it reports
TOLD = 5  #: failing seeds that are told of
MEMORY = Path("/dev/shm")  # a thousand small files per second: where there is memory to keep them in


@dataclass
class Found:
    """What some seeds came to."""

    histories: int = 0
    jobs: int = 0
    sends: int = 0
    sessions: int = 0
    hours: float = 0.0  #: of simulated time
    hits: Counter[str] = field(default_factory=Counter)  #: what the world did to the engine, by its name
    exits: Counter[str] = field(default_factory=Counter)  #: of sessions; "died" for those that were killed
    states: Counter[str] = field(default_factory=Counter)  #: of rows, where all of a run have ended
    problems: dict[int, list[str]] = field(default_factory=dict)  #: by seed
    digests: dict[int, str] = field(default_factory=dict)

    def add(self, other: Found) -> None:
        """Take in what other seeds came to."""
        self.histories += other.histories
        self.jobs += other.jobs
        self.sends += other.sends
        self.sessions += other.sessions
        self.hours += other.hours
        self.hits += other.hits
        self.exits += other.exits
        self.states += other.states
        self.problems |= other.problems
        self.digests |= other.digests

    def in_words(self) -> str:
        """The failing seeds, each with the line that plays it again."""
        first = sorted(self.problems.items())[:TOLD]
        return "\n".join(
            f"python -m pytest tests/simulation --seed {seed}    # {'; '.join(problems[:3])}"
            for seed, problems in first
        )


def play(seeds: Iterable[int], sabotage: str = "") -> Found:
    """Play seeds in this process, with the engine as it is or broken."""
    found = Found()
    with sabotaged(sabotage) if sabotage else nullcontext():
        for seed in seeds:
            _play_one(seed, found)
    return found


def _play_one(seed: int, found: Found) -> None:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        history = History(seed, Path(folder))
        try:
            history.play()
            problems = [*check(history), *history.complaints]
            found.digests[seed] = digest(history)
        except (Exception, StuckError) as error:  # noqa: BLE001 - whatever it is, it is a finding
            problems = [f"raised {error!r}"]
        world = history.world
        found.histories += 1
        found.jobs += len(history.plan.jobs)
        found.sends += sum(call.api == "trigger" for call in world.calls)
        found.sessions += len(history.sessions)
        found.hours += world.now / 3600
        found.hits += world.hits
        found.exits.update(
            str(each.ending.exit_code) if each.ending else "died" for each in history.sessions
        )
        if history.sessions and history.ended:
            found.states.update({state.value: rows for state, rows in history.states().items()})
        if problems:
            found.problems[seed] = problems


def play_on_all_cores(seeds: range, sabotage: str = "") -> Found:
    """Play seeds in as many processes as there are cores."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    found = Found()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawn, _find_modules, (list(sys.path),)) as pool:
        for part in pool.map(play, chunks, [sabotage] * len(chunks)):
            found.add(part)
    return found


def _find_modules(path: list[str]) -> None:
    sys.path[:] = path
