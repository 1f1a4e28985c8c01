"""Time zones: which moments a time on the wall clock means, and what is odd about it.

Arithmetic is on epoch seconds and on naive wall clocks only; adding to an aware time loses its fold.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
import re

import msgspec

from ..reader.times import open_zone as open_iana_zone

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the zero of the wall clocks
_SECOND = timedelta(seconds=1)
_GMT = re.compile(r"(?:GMT|UTC)([+-])([0-9]{1,2})(?::?([0-9]{2}))?")


class Moments(msgspec.Struct, frozen=True):
    """What a time on the wall clock means, in epoch seconds."""

    at: tuple[int, ...]  #: one; two where it comes twice; none where it does not exist
    after_gap: int | None = None  #: where it does not exist: the first moment after the gap


class Zone:
    """A time zone by its name."""

    def __init__(self, name: str, info: tzinfo) -> None:
        self.name = name
        self._info = info

    def __repr__(self) -> str:
        return f"<Zone {self.name}>"

    def wall(self, epoch_s: int) -> datetime:
        """What the wall clock shows then (naive)."""
        return datetime.fromtimestamp(epoch_s, UTC).astimezone(self._info).replace(tzinfo=None, fold=0)

    def moments(self, wall: datetime) -> Moments:
        """When the wall clock shows that time."""
        first, second = (self._seconds_ahead(wall, fold) for fold in (0, 1))
        shown = (wall - _EPOCH) // _SECOND
        if first == second:
            return Moments((shown - first,))
        if first > second:
            return Moments((shown - first, shown - second))
        return Moments((), self._change(shown - second, shown - first))

    def start_of(self, wall: datetime) -> int:
        """The first moment when the clock shows that time, or a later one if it never does."""
        moments = self.moments(wall)
        return moments.at[0] if moments.after_gap is None else moments.after_gap

    def text(self, epoch_s: int) -> str:
        """A moment as `2024-03-31T03:00:00+02:00`."""
        return datetime.fromtimestamp(epoch_s, UTC).astimezone(self._info).isoformat()

    def ahead_s(self, epoch_s: int) -> int:
        """By how many seconds the clock is ahead of UTC then."""
        return (self.wall(epoch_s) - _EPOCH) // _SECOND - epoch_s

    def changes_between(self, start_s: int, end_s: int) -> bool:
        """Whether the clock is put forward or back between two moments."""
        day = 86400
        offsets = {self.ahead_s(at) for at in (*range(start_s, end_s, day), end_s)}
        return len(offsets) > 1

    def _change(self, before: int, after: int) -> int:
        """The moment between the two at which the clock is put forward."""
        old = self.ahead_s(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self.ahead_s(middle) == old:
                before = middle
            else:
                after = middle
        return after

    def _seconds_ahead(self, wall: datetime, fold: int) -> int:
        return (self._info.utcoffset(wall.replace(fold=fold)) or timedelta()) // _SECOND


def open_zone(name: str) -> Zone:
    """Open a zone by its IANA name, or as the gateway says it: `GMT+8`. Raises `SettingsError`."""
    if match := _GMT.fullmatch(name):
        hours, minutes = int(match[2]), int(match[3] or 0)
        if hours <= 14 and minutes <= 59:
            offset = timedelta(hours=hours, minutes=minutes)
            return Zone(name, timezone(offset if match[1] == "+" else -offset))
    return Zone(name, open_iana_zone(name))
