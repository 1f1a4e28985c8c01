"""Cron expressions together with what they mean, said in another way than the parser reads them."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from hypothesis import assume
from hypothesis import strategies as st

SUNDAY_FIRST = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


Term = tuple[str, Callable[[date], bool]]


@dataclass(frozen=True)
class Expression:
    """A text, and an oracle that says whether a time on the wall clock is one of its times."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    is_day: Callable[[date], bool]
    is_fixed: bool

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self.is_day(wall.date())

    def __repr__(self) -> str:
        return self.text


def length(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def weekday(day: date) -> int:
    """0 is Sunday."""
    return day.isoweekday() % 7


def nearest_weekday(day: date, wanted: int) -> int:
    """The working day of that month that is nearest to the wanted one, by looking at all of them."""
    working = [n for n in range(1, length(day) + 1) if day.replace(day=n).isoweekday() <= 5]
    return min(working, key=lambda n: abs(n - wanted))


@st.composite
def numbers(draw: st.DrawFn, low: int, high: int, *, often: bool = False) -> tuple[str, frozenset[int]]:
    """A plain field and its numbers. `often`: what is "every" in some way is likely."""
    kind = draw(st.sampled_from(["one", "list", "range", "step", *(["every", "from"] if often else [])]))
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(2, max(2, (high - low) // 2)))
    match kind:
        case "one":
            return str(first), frozenset({first})
        case "list":
            return f"{first},{last}", frozenset({first, last})
        case "range":
            return f"{first}-{last}", frozenset(range(first, last + 1))
        case "step":
            return f"{first}-{last}/{step}", frozenset(range(first, last + 1, step))
        case "from":
            return f"*/{step}", frozenset(range(low, high + 1, step))
        case _:
            return "*", frozenset(range(low, high + 1))


@st.composite
def month_field(draw: st.DrawFn) -> tuple[str, frozenset[int]]:
    if draw(st.booleans()):
        return "*", frozenset(range(1, 13))
    if draw(st.booleans()):
        month = draw(st.integers(1, 12))
        return MONTHS[month - 1], frozenset({month})
    return draw(numbers(1, 12))


@st.composite
def quartz_day(draw: st.DrawFn) -> Term:
    """One term of a day-of-month field."""
    n = draw(st.integers(1, 31))
    back = draw(st.integers(1, 30))
    terms: list[Term] = [
        (str(n), lambda day: day.day == n),
        ("L", lambda day: day.day == length(day)),
        ("LW", lambda day: day.day == nearest_weekday(day, length(day))),
        (f"L-{back}", lambda day: day.day == length(day) - back),
        (f"{n}W", lambda day: n <= length(day) and day.day == nearest_weekday(day, n)),
        (f"{n}/5", lambda day: day.day >= n and (day.day - n) % 5 == 0),
    ]
    return draw(st.sampled_from(terms))


@st.composite
def quartz_weekday(draw: st.DrawFn) -> Term:
    """One term of a day-of-week field: 1 is Sunday."""
    n = draw(st.integers(1, 7))
    nth = draw(st.integers(1, 5))
    name = draw(st.sampled_from([str(n), SUNDAY_FIRST[n - 1]]))
    end = draw(st.integers(1, 7))
    span = {day % 7 for day in range(n - 1, end + (7 if end < n else 0))}
    terms: list[Term] = [
        (name, lambda day: weekday(day) == n - 1),
        (f"{name}#{nth}", lambda day: weekday(day) == n - 1 and (day.day - 1) // 7 == nth - 1),
        (f"{name}L", lambda day: weekday(day) == n - 1 and day.day + 7 > length(day)),
        (f"{n}-{end}", lambda day: weekday(day) in span),
        (f"{n}/2", lambda day: weekday(day) in range(n - 1, 7, 2)),
        ("L", lambda day: weekday(day) == 6),
    ]
    return draw(st.sampled_from(terms))


@st.composite
def clock_fields(draw: st.DrawFn) -> tuple[str, frozenset[int], str, frozenset[int], bool]:
    minute, minutes = draw(numbers(0, 59, often=True))
    hour, hours = draw(numbers(0, 23, often=True))
    return minute, minutes, hour, hours, not (minute.startswith("*") or hour.startswith("*"))


@st.composite
def quartz_expressions(draw: st.DrawFn) -> Expression:
    minute, minutes, hour, hours, is_fixed = draw(clock_fields())
    month, months = draw(month_field())
    field = draw(st.sampled_from(["every", "day", "weekday"]))
    terms = draw(st.lists(quartz_weekday() if field == "weekday" else quartz_day(), min_size=1, max_size=2))
    text, tests = ",".join(term for term, _ in terms), [test for _, test in terms]
    days = {"every": "* {} ?", "day": f"{text} {{}} ?", "weekday": f"? {{}} {text}"}[field].format(month)
    year, years = draw(st.sampled_from([("", None), (" *", None), (" 2000-2099", range(2000, 2100))]))

    def is_day(day: date) -> bool:
        if day.month not in months or (years is not None and day.year not in years):
            return False
        return field == "every" or any(test(day) for test in tests)

    return Expression(f"0 {minute} {hour} {days}{year}", minutes, hours, is_day, is_fixed)


@st.composite
def unix_expressions(draw: st.DrawFn) -> Expression:
    minute, minutes, hour, hours, is_fixed = draw(clock_fields())
    month, months = draw(month_field())
    day_text, days = draw(st.one_of(st.just(("*", frozenset(range(1, 32)))), numbers(1, 31)))
    week_text, week = draw(st.one_of(st.just(("*", frozenset(range(8)))), numbers(0, 7)))
    either = day_text != "*" and week_text != "*"
    assume(either or min(days) <= max(monthrange(2024, month)[1] for month in months))  # else it is refused

    def is_day(day: date) -> bool:
        in_month, in_week = day.day in days, bool({weekday(day), weekday(day) or 7} & week)
        return day.month in months and (in_month or in_week if either else in_month and in_week)

    return Expression(f"{minute} {hour} {day_text} {month} {week_text}", minutes, hours, is_day, is_fixed)
