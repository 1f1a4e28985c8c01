"""Instances that ended badly, and were not made good since, as jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import IntEnum

import msgspec

from ..errors import SettingsError
from .moments import Past, is_triggered
from .plan import PlannedJob

COLUMNS = ("failedInstance", "failedStatus")


class Status(IntEnum):
    """How an instance may have ended without success (contract 5.1)."""

    FAIL = -1
    INTERNAL_ERROR = 4
    TIMEOUT = 7
    CANCEL = 8
    SKIP = 10


USUAL = frozenset({Status.FAIL, Status.INTERNAL_ERROR, Status.TIMEOUT, Status.CANCEL})
_SUCCESS = 1


class Failed(msgspec.Struct, frozen=True):
    """What failed, and what was left out."""

    jobs: list[PlannedJob]  #: in the order of their times
    made_good: int  #: times that failed, but have an instance that succeeded or has not ended
    live: int  #: instances that have not ended
    triggered: int  #: jobs whose instance was itself triggered: the new one gets the same ID


def read_statuses(text: str) -> frozenset[Status]:
    """Read `fail,timeout`, or the numbers. Raises `SettingsError`."""
    by_name = {status.name: status for status in Status} | {str(status.value): status for status in Status}
    words = [word.strip().upper().replace("-", "_") for word in text.split(",")]
    if unknown := [word for word in words if word not in by_name]:
        known = ", ".join(word_of(status) for status in Status)
        raise SettingsError(f"--status {unknown[0].lower()!r} is not known; use {known}")
    return frozenset(by_name[word] for word in words)


def word_of(status: Status) -> str:
    """The status as it is typed and written."""
    return status.name.lower().replace("_", "-")


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
        if alive or any(past.instance.status == _SUCCESS for past in same_time):
            made_good += 1
            continue
        last = max(failed, key=lambda past: past.instance.start_time)
        word = word_of(Status(last.instance.status or 0))
        jobs.append(PlannedJob(last.flow_id, last.trigger_time_ms, (last.instance.instance_id, word)))
        triggered += any(is_triggered(past.instance) for past in same_time)
    jobs.sort(key=lambda job: (job.trigger_time_ms, job.flow_id))
    return Failed(jobs, made_good, live, triggered)
