"""Quartz expressions, turned into what cronsim reads and what it does not.

Seconds first, 6 or 7 fields: second minute hour day-of-month month day-of-week [year]. Of the two day fields
one is `?`. Weekdays count from 1 = SUN, which is where most translations go wrong; so every field is expanded
into plain numbers before it is handed on (`2/2` is MON,WED,FRI here, and would end on a Sunday there).
cronsim knows neither years nor `15W` nor `L-3`: those are checked by the rules of this file.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from datetime import date
import re

import msgspec

from ..errors import SettingsError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
YEARS = (1970, 2099)
_DAY = re.compile(r"(?:L(?:-([0-9]{1,2}))?|([0-9]{1,2}))(W?)")
_WEEKDAY = re.compile(r"([1-7]|[A-Z]{3})(?:#([1-5])|(L))")


class Field(msgspec.Struct, frozen=True):
    """A field of plain numbers; names stand for the numbers from `low` on."""

    name: str
    low: int
    high: int
    names: Sequence[str] = ()

    def expand(self, text: str) -> frozenset[int]:
        """All numbers that a field means. Raises `SettingsError`."""
        return frozenset(number for term in text.split(",") for number in self._term(term))

    def _term(self, term: str) -> list[int]:
        body, slash, step_text = term.partition("/")
        step = self._step(step_text, term) if slash else 1
        if body == "*" or (slash and not body):
            first, last = self.low, self.high
        elif "-" in body:
            first, last = (self._number(part, term) for part in body.split("-", 1))
        else:
            first = self._number(body, term)
            last = self.high if slash else first
        if first > last:  # FRI-MON, 22-2: over the end and on from the beginning
            last += self.high - self.low + 1
        size = self.high - self.low + 1
        return [(number - self.low) % size + self.low for number in range(first, last + 1, step)]

    def _step(self, text: str, term: str) -> int:
        if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= self.high:
            raise self.fault(term)
        return int(text)

    def _number(self, text: str, term: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.low
        if not (
            text.isascii() and text.isdecimal() and len(text) <= 4 and self.low <= int(text) <= self.high
        ):
            raise self.fault(term)
        return int(text)

    def fault(self, term: str) -> SettingsError:
        """What is said about a part that makes no sense."""
        return SettingsError(f"{term!r} is no {self.name}: {self.low} to {self.high}{self._or_names()}")

    def _or_names(self) -> str:
        return f", or {self.names[0]} to {self.names[-1]}" if self.names else ""


SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY = Field("day of the month", 1, 31)
MONTH = Field("month", 1, 12, MONTHS)
WEEKDAY = Field("day of the week (Quartz: 1 is SUN)", 1, 7, WEEKDAYS)
YEAR = Field("year", *YEARS)


class MonthDay(msgspec.Struct, frozen=True):
    """One way to name a day of the month: `15`, `15W`, `L`, `LW`, `L-3`."""

    number: int  #: the day; counted back from the last day, which is 0, if `from_last`
    from_last: bool
    nearest: bool  #: or the weekday nearest to it, in the same month

    def of(self, year: int, month: int) -> int | None:
        """The day of that month; None if it has no such day."""
        first, length = monthrange(year, month)
        day = length - self.number if self.from_last else self.number
        if not 1 <= day <= length:
            return None
        if not self.nearest:
            return day
        match (first + day - 1) % 7:
            case 5:  # Saturday
                return day - 1 if day > 1 else day + 2
            case 6:  # Sunday
                return day + 1 if day < length else day - 2
            case _:
                return day


def translate(fields: Sequence[str]) -> tuple[str, Callable[[date], bool]]:
    """The expression for cronsim, and the days on which it counts. Raises `SettingsError`."""
    second, minute, hour, day, month, weekday = fields[:6]
    if (day == "?") is (weekday == "?"):
        raise SettingsError(
            "Quartz wants `?` in exactly one of the two day fields: "
            "for every day write `* * ?`, for a weekday `? * MON`"
        )
    seconds = SECOND.expand(second)
    if len(seconds) > 1:
        raise SettingsError(
            f"{second!r} is more than one time in a minute, whose instances would all have the same ID; "
            "name one second, such as 0"
        )
    days = _month_days(day)
    years = YEAR.expand(fields[6]) if len(fields) == 7 and fields[6] != "*" else None
    parts = (
        _written(seconds),
        _written(MINUTE.expand(minute)),
        _written(HOUR.expand(hour)),
        "*",
        _written(MONTH.expand(month)),
        _weekdays(weekday),
    )

    def counts(day: date) -> bool:
        in_year = years is None or day.year in years
        return in_year and (days is None or any(each.of(day.year, day.month) == day.day for each in days))

    return " ".join(parts), counts


def _month_days(text: str) -> list[MonthDay] | None:
    """The days that a day-of-month field names; None for every day."""
    if text in {"?", "*"}:
        return None
    days: list[MonthDay] = []
    for term in text.split(","):
        if match := _DAY.fullmatch(term):
            before_last, number, nearest = match.groups()
            if number is not None and not 1 <= int(number) <= 31:
                raise DAY.fault(term)
            days.append(MonthDay(int(number or before_last or 0), number is None, bool(nearest)))
        else:
            days += [MonthDay(number, from_last=False, nearest=False) for number in DAY.expand(term)]
    return days


def _weekdays(text: str) -> str:
    """A day-of-week field as cronsim has it: Sunday is 0, and `L` belongs to a day."""
    if text in {"?", "*"}:
        return "*"
    terms = []
    for term in text.split(","):
        if term == "L":  # alone it is the last day of the week
            terms.append("6")
        elif match := _WEEKDAY.fullmatch(term):
            (number,) = WEEKDAY.expand(match[1])
            terms.append(f"{number - 1}#{match[2]}" if match[2] else f"{number - 1}L")
        else:
            terms.append(_written(number - 1 for number in WEEKDAY.expand(term)))
    return ",".join(terms)


def _written(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers)))
