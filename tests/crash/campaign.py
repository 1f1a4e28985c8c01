"""Blows at chosen failpoints, over as many runs as they take: each is struck, resumed, struck again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
import json
from pathlib import Path
import random
from typing import Literal, NamedTuple

from points import CALLBACKS, POINTS
from victims import IN_FLIGHT, Plot, Victim, at_once, victim

AT_ONCE = 14  #: runs; most of their time is waiting
CHANCES = 8  #: runs that may end without coming to a point
LONGEST = {"kill": 4, "raise": 8}  #: blows at one run, one after the other


class Aim(NamedTuple):
    """A blow to come: at the `hit`-th arrival at a point."""

    name: str
    hit: int

    def __str__(self) -> str:
        return f"{self.name}:{self.hit}"

    def may_be(self, *, born: bool) -> bool:
        """Whether the point can be reached by a process that resumes, or by one that begins a run."""
        return {**POINTS, **CALLBACKS}[self.name].only != ("birth" if born else "resume")


OPENER = Aim("send.after_body", 12)  #: where a run is struck so that it can be resumed


class Campaign:
    """Blows to be dealt. `prove` is given each run at its end, with the rows in doubt at its kills."""

    def __init__(
        self,
        plot: Plot,
        folder: Path,
        prove: Callable[[Victim, set[int]], None],
        *,
        act: Literal["kill", "raise"] = "kill",
    ) -> None:
        self.struck: list[Aim] = []
        self.while_resuming = 0
        self._plot = plot
        self._folder = folder
        self._prove = prove
        self._act = act
        self._aims: deque[Aim] = deque()
        self._in_vain: Counter[str] = Counter()
        self._runs = 0

    async def strike(self, aims: Iterable[Aim]) -> None:
        """Deal all these blows; of an aim that a run does not reach any more, another run is the victim."""
        self._aims.extend(aims)
        await at_once(self._go_on() for _ in range(AT_ONCE))

    async def _go_on(self) -> None:
        while self._aims:
            self._runs += 1
            async with victim(self._plot, self._folder / f"run-{self._runs}", seed=self._runs) as run:
                doubts = await self._one(run)
                try:
                    self._prove(run, doubts)
                except (AssertionError, OSError) as error:
                    raise AssertionError(f"{error}\n{run}\n{run.sessions[-1].told}") from error

    async def _one(self, run: Victim) -> set[int]:
        doubts: set[int] = set()
        while run.blows < LONGEST[self._act]:
            born = run.is_born
            aim = self._next(born=born)
            session = await run.session(*((f"--{self._act}", str(aim)) if aim else ()))
            if not (session.was_killed or session.met_a_bug):
                self._missed(aim, fresh=run.blows == 0)
                return doubts
            assert aim is not None
            self.struck.append(aim)
            self.while_resuming += born
            in_doubt = run.in_doubt()
            assert len(in_doubt) <= 2 * IN_FLIGHT, f"{run}: {in_doubt}"
            doubts |= in_doubt
        await run.session()
        return doubts

    def _next(self, *, born: bool) -> Aim | None:
        possible = [aim for aim in self._aims if aim.may_be(born=born)]
        if possible:
            aim = possible[0] if born else min(possible, key=lambda aim: aim.may_be(born=True))
            self._aims.remove(aim)
            return aim
        return OPENER if self._aims and not born else None

    def _missed(self, aim: Aim | None, *, fresh: bool) -> None:
        """The run ended without coming there so often: another one has the aim from its beginning."""
        if aim is None:
            return
        if fresh:
            self._in_vain[aim.name] += 1
            assert self._in_vain[aim.name] <= CHANCES, f"no run comes to {aim}"
            aim = Aim(aim.name, max(aim.hit // 2, 1))
        self._aims.appendleft(aim)


async def count_hits(plot: Plot, folder: Path) -> Mapping[str, int]:
    """How often a run that nobody strikes comes to each point."""
    async with victim(plot, folder / "counted") as run:
        session = await run.session("--hits", str(folder / "hits.json"))
        assert session.code == 0, session.told
    found: dict[str, int] = json.loads((folder / "hits.json").read_text())
    return {name: hits for name, hits in found.items() if hits}


def aims_at(names: Collection[str], hits: Mapping[str, int], blows: int, seed: int) -> list[Aim]:
    """All points in turn, with another of their hits every time; as many as asked for, and each once."""
    dice = random.Random(seed)
    turns = {name: dice.sample(range(1, hits.get(name, 1) + 1), hits.get(name, 1)) for name in sorted(names)}
    aims = (Aim(name, turns[name][turn % len(turns[name])]) for turn in range(blows + 1) for name in turns)
    chosen = list(islice(aims, max(blows, len(turns))))
    dice.shuffle(chosen)
    return chosen
