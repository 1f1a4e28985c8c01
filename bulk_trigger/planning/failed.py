"""Instances that ended badly, and were not made good since, as jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from ..errors import SettingsError
from ..instances import BAD, Status
from .moments import Past, is_triggered
from .plan import PlannedJob

COLUMNS = ("failedInstance", "failedStatus")

KNOWN = (*sorted(BAD), Status.SKIP)  #: what `--status` takes


class Failed(msgspec.Struct, frozen=True):
    """What failed, and what was left out."""

    jobs: list[PlannedJob]  #: in the order of their times
    made_good: int  #: times that failed, but have an instance that succeeded or has not ended
    live: int  #: instances that have not ended
    triggered: int  #: jobs whose instance was itself triggered: the new one gets the same ID


def read_statuses(text: str) -> frozenset[Status]:
    """Read `fail,timeout`, or the numbers. Raises `SettingsError`."""
    by_name = {status.name: status for status in KNOWN} | {str(status.value): status for status in KNOWN}
    words = [word.strip().upper().replace("-", "_") for word in text.split(",")]
    if unknown := [word for word in words if word not in by_name]:
        known = ", ".join(status.word for status in KNOWN)
        raise SettingsError(f"--status {unknown[0].lower()!r} is not known; use {known}")
    return frozenset(by_name[word] for word in words)


def find_failed(history: Iterable[Past], wanted: Collection[Status]) -> Failed:
    """The times of flows that ended as wanted and as nothing better. Each is one job."""
    by_minute: dict[tuple[int, int], list[Past]] = {}
    for past in history:
        by_minute.setdefault(past.minute, []).append(past)
    jobs: list[PlannedJob] = []
    made_good = live = triggered = 0
    for same_time in by_minute.values():
        failed = [past for past in same_time if past.instance.status in wanted]
        alive = sum(past.instance.is_live for past in same_time)
        live += alive
        if not failed:
            continue
        if alive or any(past.instance.status == Status.SUCCESS for past in same_time):
            made_good += 1
            continue
        last = max(failed, key=lambda past: past.instance.start_time)
        word = Status(last.instance.status or 0).word
        jobs.append(PlannedJob(last.flow_id, last.trigger_time_ms, (last.instance.instance_id, word)))
        triggered += any(is_triggered(past.instance) for past in same_time)
    jobs.sort(key=lambda job: (job.trigger_time_ms, job.flow_id))
    return Failed(jobs, made_good, live, triggered)
