"""When a flow is due within a range, and what daylight saving time does to that.

Rule 1: `--every` goes by the time that passes. So does an expression that means "every so often" (its minutes
        or hours begin with `*`): it is due as often in a day of 23 or 25 hours as its clock shows such times.
Rule 2: an expression that names times of the day is due once for each. A time that does not exist moves to
        the first moment after the gap, one that comes twice is due the first time (as Debian's cron has it).
        `twice` takes both, `skip` leaves out what does not exist (as Quartz has it).
Rule 3: no two times are in one UTC minute: their instances would have the same ID.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

from ..errors import SettingsError
from ..model import MINUTE_MS
from ..quantities import format_duration, parse_duration
from .cron import Cron
from .ranges import Range
from .zones import Moments, Zone

_MARGIN = timedelta(days=2)  #: more than any zone and any gap


class Dst(StrEnum):
    """What becomes of times of the day that the change of the clock leaves out or repeats."""

    ONCE = "once"
    TWICE = "twice"
    SKIP = "skip"


class Irregular(msgspec.Struct, frozen=True):
    """A time that the clock leaves out or shows twice, and the moments that were taken for it."""

    wall: datetime  #: naive
    exists: bool  #: it comes twice; otherwise never
    planned_ms: tuple[int, ...]


class Times(msgspec.Struct, frozen=True):
    """When a flow is due."""

    ms: Sequence[int]  #: epoch milliseconds, in order
    irregular: list[Irregular] = []


class Cadence(Protocol):
    """Says when a flow is due."""

    def times(self, span: Range) -> Times:
        """All times in a range."""

    def describe(self) -> str:
        """What the user is told of it."""


class Every:
    """A fixed distance, counted from the start of the range."""

    def __init__(self, period_s: float) -> None:
        self._period_ms = round(period_s * 1000)
        if self._period_ms < MINUTE_MS:
            raise SettingsError("--every must be at least 1m: instances of one minute have the same ID")

    def times(self, span: Range) -> Times:
        """All times in a range."""
        return Times(range(span.from_ms, span.to_ms, self._period_ms))

    def describe(self) -> str:
        """What the user is told of it."""
        return f"every {format_duration(self._period_ms / 1000)} from the start on"


def every(text: str, zone: Zone, span: Range) -> Every:
    """Read a distance such as 15m or 1h. Raises `SettingsError`.

    Days are hours of the clock to some and 24 hours to others; where that is not the same, the user picks.
    """
    if text.strip().lower().endswith("d") and zone.changes_between(span.from_ms // 1000, span.to_ms // 1000):
        raise SettingsError(
            f"--every {text}: the clock changes in {zone.name} meanwhile, so days are not all of 24 hours; "
            "write --every 24h for that distance, or --cron '0 0 * * *' for the same time each day"
        )
    return Every(parse_duration(text))


class ByCron:
    """A cron expression on the wall clock of a zone."""

    def __init__(self, cron: Cron, zone: Zone, dst: Dst = Dst.ONCE) -> None:
        self._cron = cron
        self._zone = zone
        self._dst = dst

    def times(self, span: Range) -> Times:
        """All times in a range."""
        zone, found, irregular = self._zone, list[int](), list[Irregular]()
        start, end = (zone.wall(ms // 1000) for ms in (span.from_ms, span.to_ms))
        choose = self._fixed if self._cron.is_fixed else _as_often_as_shown
        for wall in self._cron.walls(start - _MARGIN, end + _MARGIN):
            moments = zone.moments(wall)
            chosen = moments.at if len(moments.at) == 1 else choose(moments)
            planned = tuple(at * 1000 for at in chosen if span.from_ms <= at * 1000 < span.to_ms)
            found += planned
            if len(moments.at) != 1 and _touches(moments, span):
                irregular.append(Irregular(wall, bool(moments.at), planned))
        return Times(_one_per_minute(found), irregular)

    def describe(self) -> str:
        """What the user is told of it."""
        return f"cron {self._cron.text!r} ({self._cron.dialect.title()}) in {self._zone.name}"

    def _fixed(self, moments: Moments) -> tuple[int, ...]:
        if moments.after_gap is not None:
            return () if self._dst is Dst.SKIP else (moments.after_gap,)
        return moments.at if self._dst is Dst.TWICE else moments.at[:1]


def _as_often_as_shown(moments: Moments) -> tuple[int, ...]:
    return moments.at


def _touches(moments: Moments, span: Range) -> bool:
    at = moments.at or (moments.after_gap or 0,)
    return any(span.from_ms <= each * 1000 < span.to_ms for each in at)


def _one_per_minute(times_ms: Iterable[int]) -> list[int]:
    """Times in order; of one UTC minute the first."""
    by_minute: dict[int, int] = {}
    for ms in sorted(times_ms):
        by_minute.setdefault(ms // MINUTE_MS, ms)
    return list(by_minute.values())
