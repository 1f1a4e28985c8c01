"""The range of a plan: half-open, from any two of start, end and length."""

from __future__ import annotations

from datetime import datetime, time, timedelta
import re

import msgspec

from ..errors import SettingsError
from ..quantities import parse_duration
from ..reader.fields import Refusal
from ..reader.times import LEAST_MS, Times
from .zones import Zone

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAYS = re.compile(r"([1-9][0-9]{0,5})\s*d")
_DAY = timedelta(days=1)
LATEST_MS = 253_370_764_800_000  #: 9999-01-01: behind it there are calendars that end


class Range(msgspec.Struct, frozen=True):
    """From `from_ms` on and before `to_ms`, in epoch milliseconds."""

    from_ms: int
    to_ms: int


class _Point(msgspec.Struct, frozen=True):
    """One end: a moment, and the midnight that it is, if it was given as a date."""

    ms: int
    midnight: datetime | None


def make_range(
    start: str | None,
    end: str | None,
    duration: str | None,
    *,
    zone: Zone,
    data_days: bool = False,
) -> Range:
    """Read a range. Raises `SettingsError`.

    Dates are midnights in the zone; a duration of whole days counts days of the calendar. `data_days`: the
    dates are those of the data, which are processed by what is triggered on the day after.
    """
    if sum(text is not None for text in (start, end, duration)) != 2:
        raise SettingsError(
            "a range needs two of --from, --to and --duration: "
            "--from 2024-03-01 --to 2024-04-01, or --from 2024-03-01 --duration 31d"
        )
    if start is not None and end is not None:
        first, last = _point(start, "--from", zone), _point(end, "--to", zone)
    elif start is not None:
        first = _point(start, "--from", zone)
        last = _moved(first, duration or "", 1, zone)
    else:
        last = _point(end or "", "--to", zone)
        first = _moved(last, duration or "", -1, zone)
    if data_days:
        first, last = _day_after(first, zone), _day_after(last, zone)
    if last.ms > LATEST_MS:
        raise SettingsError("the range ends too late: plans end before the year 9999")
    if first.ms < LEAST_MS:
        raise SettingsError("the range starts too early: trigger times before 1973-03-04 are not taken")
    if first.ms >= last.ms:
        raise SettingsError("the range is empty: --from has to be before --to, which is not part of it")
    return Range(first.ms, last.ms)


def _point(text: str, flag: str, zone: Zone) -> _Point:
    text = text.strip()
    if _DATE.fullmatch(text):
        try:
            midnight = datetime.fromisoformat(text)
        except ValueError as error:
            raise SettingsError(f"{flag} {text!r} does not exist: {error}") from None
        return _at_midnight(midnight, zone)
    times = Times(timezone="UTC")
    read = times.read(text)
    if not isinstance(read, Refusal) and not text.isdecimal() and not _has_offset(text):
        return _on_the_clock(text, flag, read, zone)
    if isinstance(read, Refusal):
        raise SettingsError(f"{flag}: {read.message}; {read.cure}")
    return _Point(read, None)


def _has_offset(text: str) -> bool:
    return re.search(r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)$", text[10:]) is not None


def _on_the_clock(text: str, flag: str, as_utc_ms: int, zone: Zone) -> _Point:
    """A time without an offset: it has to exist once in the zone."""
    seconds, rest_ms = divmod(as_utc_ms, 1000)
    wall = datetime(1970, 1, 1) + timedelta(seconds=seconds)  # noqa: DTZ001 - a wall clock
    at = zone.moments(wall).at
    if len(at) != 1:
        what = "comes twice" if at else "does not exist"
        raise SettingsError(f"{flag}: {text!r} {what} in {zone.name}; write it with its UTC offset")
    is_midnight = wall.time() == time() and not rest_ms
    return _Point(at[0] * 1000 + rest_ms, wall if is_midnight else None)


def _at_midnight(midnight: datetime, zone: Zone) -> _Point:
    return _Point(zone.start_of(midnight) * 1000, midnight)


def _moved(point: _Point, duration: str, sign: int, zone: Zone) -> _Point:
    """A point moved by a duration; midnights by whole days of the calendar, however long those are."""
    seconds = parse_duration(duration)
    if (days := _DAYS.fullmatch(duration.strip().lower())) and point.midnight:
        return _days_on(point.midnight, sign * int(days[1]), zone)
    return _Point(point.ms + sign * round(seconds * 1000), None)


def _day_after(point: _Point, zone: Zone) -> _Point:
    if point.midnight is None:
        raise SettingsError("--business-date takes days, not times: --from 2024-03-01 --to 2024-04-01")
    return _days_on(point.midnight, 1, zone)


def _days_on(midnight: datetime, days: int, zone: Zone) -> _Point:
    try:
        return _at_midnight(midnight + days * _DAY, zone)
    except OverflowError:
        raise SettingsError("the range goes beyond the calendar, which ends with the year 9999") from None
