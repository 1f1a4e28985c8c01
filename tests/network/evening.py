"""A whole run as a table: each case is a flow whose first trigger meets one fault, and what must come of it.

Many cases share one run, so that a sweep costs little. Between them go rows to which nothing happens: a run
of nothing but bad replies would pause, and rightly so.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from behind import DEFAULTS, Behind, Ended, behind
from canary import found_below
from loops import FreeLoop
from oracle import JobKey
from proxy import Script, Toxic
from running import HOUR, T0
from toxics import by_attempt, passed
import uvloop

from bulk_trigger.settings import OnUnknown

FIRST_CASE, FIRST_GOOD = 10_000, 20_000


@dataclass(frozen=True)
class Way:
    """On which wire, and on which event loop."""

    wire: str
    loop: Callable[[], asyncio.AbstractEventLoop]

    @property
    def settings(self) -> dict[str, Any]:
        """Where waiting is free, the times are those that the program has by default."""
        return {} if self.loop is uvloop.new_event_loop else DEFAULTS


WAYS = {
    "direct": Way("direct", FreeLoop),
    "aiohttp": Way("aiohttp", FreeLoop),
    "direct, uvloop": Way("direct", uvloop.new_event_loop),
}


class Fate(Enum):
    """What becomes of a row: its status, by which way, with so many sends and effects; was it looked up?"""

    AT_ONCE = ("succeeded", "reply", 1, 1, False)
    FOUND = ("succeeded", "reconciled", 1, 1, True)  #: in doubt, and it had taken effect
    SENT_AGAIN = ("succeeded", "reply", 2, 1, True)  #: in doubt, and it had not
    RETRIED = ("succeeded", "reply", 2, 1, False)  #: it provably had not
    REFUSED = ("failed", "", 1, 0, False)
    LIED_TO = ("unknown", "", 1, 0, True)  #: it was said to have taken effect, and had not


@dataclass(frozen=True)
class Case:
    """One fault, and what must come of it."""

    name: str  #: number in the catalogue, and words
    toxic: Toxic
    fate: Fate
    flags: str = ""
    looked_up: Toxic = passed  #: what becomes of the first look-up, if there is one

    def __str__(self) -> str:
        return self.name


def both(name: str, make: Callable[[bool], Toxic]) -> list[Case]:
    """A fault after which nobody knows: whether it was applied or not, the row runs once."""
    return [
        Case(f"{name}, applied", make(True), Fate.FOUND),
        Case(f"{name}, not applied", make(False), Fate.SENT_AGAIN),
    ]


class Evening:
    """What became of all the cases of a run."""

    def __init__(self, cases: Sequence[Case], rig: Behind, rows_each: int) -> None:
        self.cases = {case.name: FIRST_CASE + n for n, case in enumerate(cases)}
        assert len(self.cases) == len(cases), "two cases have one name"
        self.rig = rig
        self.exit_code = -1
        self.stops: list[str] = []  #: why the run stopped before its end, each time
        self.jobs = _jobs(len(cases), rows_each)
        self._expected = {FIRST_CASE + n: case.fate for n, case in enumerate(cases)}

    def look(self, exit_code: int) -> None:
        """Take the findings, once the run is over."""
        self.exit_code = exit_code
        self.verdict = self.rig.verdict(self.jobs)
        self.results = self.rig.results()
        self._rows = defaultdict(list)
        for row in self.results:
            self._rows[int(row["flowId"])].append(row)

    def assert_as_it_must(self, case: Case) -> None:
        """P1, P3, P4, P6, P12, P13: the row's state, what the gateway saw of it, and the rows behind it."""
        flow_id = self.cases[case.name]
        status, via, sends, effects, looked_up = case.fate.value
        row, *later = self._rows[flow_id]
        job = (flow_id, int(row["triggerTime"]))
        seen = [request.job for request in self.rig.proxy.about(flow_id, "trigger")]
        found = (row["status"], row["via"], seen.count(job), self.verdict.effects_by_job[job])
        assert found == (status, via, sends, effects), f"{case}: {row}"
        assert int(row["attempts"]) == sends, case
        assert row["flags"] == case.flags, case
        assert self._was_looked_up(job, sends) is looked_up, case
        assert (row["flowInstanceId"] == self.verdict.ids.get(job)) is (status == "succeeded"), case
        assert {each["status"] for each in later} <= {"succeeded"}, case
        assert seen == sorted(seen, key=lambda job: job[1] if job else 0), case

    def _was_looked_up(self, job: JobKey, sends: int) -> bool:
        """Before it was sent again, that is; what the first success teaches is found out by look-ups too."""
        calls = self.rig.proxy.about(job[0], "trigger", "get", "list")
        last = max(place for place, call in enumerate(calls) if call.job == job)
        return any(call.api != "trigger" for call in (calls[:last] if sends > 1 else calls))

    def assert_the_rest_is_well(self) -> None:
        """P1, P2, P5, P28: nothing else happened, the good rows are good, the exit code says how it was."""
        fates = Counter(self._expected.values())
        self.rig.assert_proven(self.jobs)
        assert not list(found_below(self.rig.folder))
        wrong = {fate: fate.value[0] for fate in fates if fate.value[0] != "succeeded"}
        states = Counter(row["status"] for row in self.results)
        assert states.total() == len(self.jobs)
        assert len(self.jobs) - states["succeeded"] == sum(fates[fate] for fate in wrong)
        assert self.exit_code == (5 if "unknown" in wrong.values() else 1 if wrong else 0)
        good = [row for row in self.results if int(row["flowId"]) >= FIRST_GOOD]
        assert {(row["via"], row["attempts"]) for row in good} == {("reply", "1")}


def spend(way: Way, folder: Path, cases: Sequence[Case], *, rows_each: int = 2, **changes: Any) -> Evening:
    """Run the cases, on a loop of their own; go on for as often as it stops because something is wrong."""

    async def run() -> Evening:
        async with behind(folder, script_of(cases)) as rig:
            rig.wire = way.wire
            evening = Evening(cases, rig, rows_each)
            calm = {"in_flight": 2, "on_unknown": OnUnknown.CONTINUE}
            ending = await rig.send(evening.jobs, **{**way.settings, **calm, **changes})
            while ending.exit_code == 4 and len(evening.stops) < len(cases):
                evening.stops.append(ending.reason)
                ending = await rig.go_on()
            evening.look(ending.exit_code)
            return evening

    with asyncio.Runner(loop_factory=way.loop) as runner:
        return runner.run(run())


def spend_with_the_program(folder: Path, cases: Sequence[Case], *options: str) -> tuple[Evening, Ended]:
    """The same with the real program, and what it said."""

    async def run() -> tuple[Evening, Ended]:
        async with behind(folder, script_of(cases)) as rig:
            evening = Evening(cases, rig, rows_each=2)
            calm = ("--in-flight", "2", "--on-unknown", "continue")
            ended = await rig.program(trace_memory=True).send(evening.jobs, *calm, *options)
            evening.look(ended.exit_code)
            return evening, ended

    return asyncio.run(run())


def script_of(cases: Sequence[Case]) -> Script:
    """What the first trigger of each flow meets, and its first look-up."""
    sends = {FIRST_CASE + n: [case.toxic] for n, case in enumerate(cases)}
    lookups = {FIRST_CASE + n: [case.looked_up] for n, case in enumerate(cases)}
    return by_attempt(sends, other=by_attempt(lookups, "get"))


def _jobs(cases: int, rows_each: int) -> list[JobKey]:
    """A few good rows, then bad and good ones in turn; then the rows behind them.

    Good flows are as long as bad ones: where lengths differ, the longest would go first.
    """
    jobs = [(FIRST_GOOD - 1 - n, T0) for n in range(3)]
    for row in range(rows_each):
        for n in range(cases):
            jobs += [(FIRST_CASE + n, T0 + row * HOUR), (FIRST_GOOD + n, T0 + row * HOUR)]
    return jobs
