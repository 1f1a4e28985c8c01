"""Jobs that are planned, in the order in which they are written, and what there is to say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
import heapq

import msgspec

from .cadence import Cadence, Irregular, Times
from .ranges import Range
from .zones import Zone

_DAY = timedelta(days=1)


class PlannedJob(msgspec.Struct, frozen=True, gc=False):
    """One row of the job list to be; `more` holds the other columns."""

    flow_id: int
    trigger_time_ms: int
    more: tuple[str, ...] = ()


class Plan(msgspec.Struct, kw_only=True):
    """What is going to be written, and how it came about."""

    zone: Zone
    span: Range
    jobs: Iterable[PlannedJob]
    flow_ids: Sequence[int] = ()  #: that were named; some may have no job
    columns: tuple[str, ...] = ()  #: of `PlannedJob.more`
    cadences: list[str] = []  #: in words
    irregular: list[Irregular] = []
    notes: list[str] = []  #: for the user, a sentence each


class Totals:
    """Counts jobs as they are written."""

    def __init__(self, flow_ids: Iterable[int] = ()) -> None:
        self.per_flow: Counter[int] = Counter(dict.fromkeys(flow_ids, 0))
        self.first_ms: int | None = None
        self.last_ms: int | None = None

    @property
    def rows(self) -> int:
        """How many jobs there were."""
        return self.per_flow.total()

    @property
    def longest(self) -> int:
        """The most jobs that one flow has."""
        return max(self.per_flow.values(), default=0)

    def counted(self, jobs: Iterable[PlannedJob]) -> Iterator[PlannedJob]:
        """Give the jobs on, counted."""
        for job in jobs:
            self.per_flow[job.flow_id] += 1
            ms = job.trigger_time_ms
            self.first_ms = ms if self.first_ms is None else min(self.first_ms, ms)
            self.last_ms = ms if self.last_ms is None else max(self.last_ms, ms)
            yield job


class Due(msgspec.Struct, frozen=True):
    """When flows are due."""

    times_ms: dict[int, Sequence[int]]  #: by flow, in order
    irregular: list[Irregular]


def due(cadences: Mapping[int, Cadence], span: Range) -> Due:
    """When each flow is due in the range. What flows share is worked out once."""
    by_cadence: dict[Cadence, Times] = {}
    times_ms: dict[int, Sequence[int]] = {}
    for flow_id, cadence in cadences.items():
        if cadence not in by_cadence:
            by_cadence[cadence] = cadence.times(span)
        times_ms[flow_id] = by_cadence[cadence].ms
    irregular = {each: None for times in by_cadence.values() for each in times.irregular}
    return Due(times_ms, sorted(irregular, key=lambda each: each.wall))


def in_order(times_ms: Mapping[int, Sequence[int]]) -> Iterator[PlannedJob]:
    """The jobs of flows with their sorted times: by time, those of one time in the flows' order.

    So an interrupted run leaves all flows at about the same time, and none at its beginning.
    """
    streams = (_stream(number, *each) for number, each in enumerate(times_ms.items()))
    return (PlannedJob(flow_id, ms) for ms, _, flow_id in heapq.merge(*streams))


def with_business_date(plan: Plan) -> None:
    """Add the day of the data, which is the day before the trigger (contract 1.2), as a column."""
    jobs, zone = plan.jobs, plan.zone
    plan.columns = (*plan.columns, "businessDate")
    plan.notes.append("businessDate is the day of the data: the day before the trigger, in the plan's zone")
    plan.jobs = (
        PlannedJob(
            job.flow_id,
            job.trigger_time_ms,
            (*job.more, (zone.wall(job.trigger_time_ms // 1000) - _DAY).date().isoformat()),
        )
        for job in jobs
    )


def _stream(number: int, flow_id: int, times_ms: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    return ((ms, number, flow_id) for ms in times_ms)
