"""Which lists show many instances at once: windows of trigger time, per flow or of all flows. Pure.

A flow runs one instance at a time, in the order of their creation. So of a long flow only the front of those
that have not ended is worth a look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import msgspec

from ..model import MINUTE_MS
from .targets import Followed

FRONT = 100  #: instances of a flow that are looked at; a page of a list is as long
_DAY_MS = 86_400_000
_FLOW_MS = 31 * _DAY_MS  #: longest window of one flow
_ALL_MS = _DAY_MS  #: longest window of all flows
_GAP_MS = 3_600_000  #: in a window of all flows: what others trigger in between would be read in vain


class Window(msgspec.Struct, frozen=True):
    """A list to read: from `from_ms` on and before `to_ms`, of one flow or (None) of all."""

    flow_id: int | None
    from_ms: int
    to_ms: int
    wanted: Sequence[Followed]


def plan_windows(waiting: Sequence[Followed], front: int | None) -> list[Window]:
    """The lists that show these instances, of each flow the first `front`, with the fewest pages."""
    by_flow: dict[int, list[Followed]] = {}
    for each in waiting:
        group = by_flow.setdefault(each.flow_id, [])
        if front is None or len(group) < front:
            group.append(each)
    of_flows = [
        _window(flow_id, part)
        for flow_id, group in by_flow.items()
        for part in _parts(group, _FLOW_MS, _FLOW_MS)
    ]
    looked_at = [each for group in by_flow.values() for each in group]
    of_all = [_window(None, part) for part in _parts(looked_at, _ALL_MS, _GAP_MS)]
    return min(of_flows, of_all, key=_pages)


def _parts(group: list[Followed], longest_ms: int, gap_ms: int) -> Iterator[list[Followed]]:
    part: list[Followed] = []
    for each in sorted(group, key=lambda one: one.trigger_time_ms):
        at = each.trigger_time_ms
        if part and (at - part[-1].trigger_time_ms > gap_ms or at - part[0].trigger_time_ms > longest_ms):
            yield part
            part = []
        part.append(each)
    if part:
        yield part


def _window(flow_id: int | None, part: Sequence[Followed]) -> Window:
    """A minute wider on both sides: whether the exact time or its minute counts is not documented."""
    return Window(
        flow_id, part[0].trigger_time_ms - MINUTE_MS, part[-1].trigger_time_ms + MINUTE_MS + 1, part
    )


def _pages(windows: list[Window]) -> int:
    return sum(ceil(len(window.wanted) / FRONT) for window in windows)
