"""Desired against actual: the times at which flows were due, and have no instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ..model import MINUTE_MS
from .moments import Past

SETTLING_MS = 10 * MINUTE_MS  #: so long after its time an instance may still be about to be created


class Missing(msgspec.Struct, frozen=True):
    """What is missing, and what is odd about it."""

    times_ms: dict[int, list[int]]  #: by flow, in order
    due: int  #: times at which flows were due
    not_yet: int  #: times left out: in the future, or too fresh to be called missing
    strangers: list[int]  #: flows that have instances, but none at any of their times


def find_missing(times_ms: Mapping[int, Sequence[int]], history: Iterable[Past], now_ms: int) -> Missing:
    """The times that have no instance of their flow in the same UTC minute, however that one ended."""
    existing: dict[int, set[int]] = {}
    for past in history:
        existing.setdefault(past.flow_id, set()).add(past.trigger_time_ms // MINUTE_MS)
    missing: dict[int, list[int]] = {}
    due = not_yet = 0
    strangers: list[int] = []
    for flow_id, times in times_ms.items():
        there = existing.get(flow_id, set())
        ripe = [ms for ms in times if ms <= now_ms - SETTLING_MS]
        missing[flow_id] = [ms for ms in ripe if ms // MINUTE_MS not in there]
        due += len(ripe)
        not_yet += len(times) - len(ripe)
        if ripe and there and len(missing[flow_id]) == len(ripe):
            strangers.append(flow_id)
    return Missing(missing, due, not_yet, strangers)
