"""What exists turns a plan into what is missing or failed; the user is told what that leaves out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
import heapq

from ..instances import Status
from ..recap import counted
from .failed import COLUMNS, find_failed
from .missing import find_missing
from .moments import Past
from .plan import Plan, PlannedJob, in_order
from .ranges import Range

_SHOWN = 5


def until(span: Range, now_ms: int) -> Range:
    """The part of a range that can have a history."""
    return Range(span.from_ms, max(min(span.to_ms, now_ms), span.from_ms))


def keep_missing(
    plan: Plan, times_ms: Mapping[int, Sequence[int]], history: Iterable[Past], now_ms: int
) -> None:
    """Keep of a plan the times without an instance."""
    missing = find_missing(times_ms, history, now_ms)
    plan.jobs = in_order(missing.times_ms)
    left = sum(map(len, missing.times_ms.values()))
    plan.notes.append(f"{left:,} of {counted(missing.due, 'time')} have no instance")
    if missing.not_yet:
        plan.notes.append(
            f"{counted(missing.not_yet, 'time')} left out: not due yet, or due in the last ten minutes"
        )
    if missing.strangers:
        shown = ", ".join(map(str, missing.strangers[:_SHOWN]))
        more = f" and {len(missing.strangers) - _SHOWN} more" if len(missing.strangers) > _SHOWN else ""
        plan.notes.append(
            f"look again before you run it: flow {shown}{more} has instances, but none at any of the planned "
            "times; are the cadence and --timezone right?"
        )


def add_failed(plan: Plan, history: Iterable[Past], wanted: Collection[Status]) -> None:
    """Add to a plan the times that failed."""
    failed = find_failed(history, wanted)
    empty = ("",) * len(COLUMNS)
    others = (PlannedJob(job.flow_id, job.trigger_time_ms, empty) for job in plan.jobs)
    plan.jobs = heapq.merge(others, failed.jobs, key=lambda job: job.trigger_time_ms)
    plan.columns = COLUMNS
    plan.notes.append(f"{counted(len(failed.jobs), 'time')} failed and nothing better came after")
    if failed.made_good:
        plan.notes.append(
            f"{counted(failed.made_good, 'time')} left out: another instance succeeded, or has not ended"
        )
    if failed.live:
        plan.notes.append(f"{counted(failed.live, 'instance')} in the range not ended yet: left out")
    if failed.triggered:
        plan.notes.append(
            f"{counted(failed.triggered, 'row')} failed after a trigger like ours: the new instance gets the "
            "ID of the old one, and the gateway may refuse that"
        )
    if not plan.cadences:
        plan.notes.append(
            "instances that were never created cannot be found this way: --missing with a cadence finds them"
        )
