"""Planned times against an oracle that looks at every minute of a few days through `zoneinfo`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from expressions import Expression, quartz_expressions, unix_expressions
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk_trigger.planning.cadence import ByCron, Dst
from bulk_trigger.planning.cron import parse_cron
from bulk_trigger.planning.ranges import Range
from bulk_trigger.planning.zones import open_zone

MINUTE = timedelta(minutes=1)
ZONES = (
    "Africa/Cairo", "Africa/Casablanca", "America/Asuncion", "America/Caracas", "America/Havana",
    "America/New_York", "America/Nuuk", "America/Santiago", "America/Sao_Paulo", "America/St_Johns",
    "Antarctica/Casey", "Antarctica/Troll", "Asia/Amman", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu",
    "Asia/Pyongyang", "Asia/Shanghai", "Asia/Tehran", "Atlantic/Azores", "Australia/Lord_Howe",
    "Australia/Sydney", "Europe/Berlin", "Europe/Dublin", "Europe/Istanbul", "Europe/London",
    "Europe/Moscow", "Pacific/Apia", "Pacific/Chatham", "Pacific/Easter", "Pacific/Kiritimati", "UTC",
)  # fmt: skip
YEARS = range(1990, 2031)


@cache
def transitions(name: str) -> tuple[datetime, ...]:
    """The hours before which a zone's clock was changed, found by looking at every sixth hour."""
    zone, found = ZoneInfo(name), []
    at, step = datetime(YEARS[0], 1, 1, tzinfo=UTC), timedelta(hours=6)
    offset = at.astimezone(zone).utcoffset()
    while at.year <= YEARS[-1]:
        at += step
        if at.astimezone(zone).utcoffset() != offset:
            offset = at.astimezone(zone).utcoffset()
            found.append(at)
    return tuple(found)


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, datetime, datetime]:
    """A zone and two or three days, mostly around a change of its clock."""
    name = draw(st.sampled_from(ZONES))
    changes = transitions(name)
    at_a_change: int = draw(st.integers(0, 9))
    if changes and at_a_change:
        middle = draw(st.sampled_from(changes))
    else:
        middle = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=draw(st.integers(0, 2000)))
    start = middle - timedelta(minutes=draw(st.integers(0, 2000)))
    return name, start, start + timedelta(minutes=draw(st.integers(1, 3000)))


def walls(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Every UTC minute with what the clock shows then."""
    while start < end:
        yield start, start.astimezone(zone).replace(tzinfo=None, fold=0)
        start += MINUTE


def due(expression: Expression, name: str, start: datetime, end: datetime, dst: Dst) -> list[datetime]:
    """The oracle: no arithmetic with zones, only a look at each minute."""
    seen: set[datetime] = set()
    found: set[datetime] = set()
    before: datetime | None = None
    for at, wall in walls(ZoneInfo(name), start - timedelta(days=2), end):
        if expression.matches(wall) and (not expression.is_fixed or dst is Dst.TWICE or wall not in seen):
            found.add(at)
        while before and expression.is_fixed and (before := before + MINUTE) < wall:  # the clock left it out
            if dst is not Dst.SKIP and expression.matches(before):
                found.add(at)
        seen.add(wall)
        before = wall
    return sorted(at for at in found if at >= start)


@settings(max_examples=400)
@given(
    expression=st.one_of(unix_expressions(), quartz_expressions()),
    window=windows(),
    dst=st.sampled_from(Dst),
)
def test_planned_times_are_those_that_a_look_at_every_minute_finds(
    expression: Expression, window: tuple[str, datetime, datetime], dst: Dst
) -> None:
    name, start, end = window
    span = Range(*(int(each.timestamp()) * 1000 for each in (start, end)))

    planned = ByCron(parse_cron(expression.text), open_zone(name), dst).times(span).ms

    assert [datetime.fromtimestamp(ms / 1000, UTC) for ms in planned] == due(
        expression, name, start, end, dst
    )
