"""Known expressions, Unix and Quartz, against the dates in a calendar; and those that are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim
from expressions import Expression, unix_expressions
from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.errors import SettingsError
from bulk_trigger.planning.cadence import ByCron
from bulk_trigger.planning.cron import Dialect, parse_cron
from bulk_trigger.planning.ranges import Range
from bulk_trigger.planning.zones import open_zone

HOUR = timedelta(hours=1)
NEW_YEAR, LATER = (datetime.fromisoformat(day) for day in ("2024-01-01", "2024-01-03"))


def times(expression: str, start: str, end: str, dialect: Dialect | None = None) -> list[str]:
    cron = parse_cron(expression, dialect)
    return [
        wall.isoformat(" ")[:16]
        for wall in cron.walls(datetime.fromisoformat(start), datetime.fromisoformat(end))
    ]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        # March 2024 begins on a Friday and ends on a Sunday
        ("0 0 0 * * ? *", [f"2024-03-{day:02} 00:00" for day in range(1, 32)]),
        ("0 0 12 L * ?", ["2024-03-31 12:00"]),
        ("0 0 12 LW * ?", ["2024-03-29 12:00"]),
        ("0 0 12 L-3 * ?", ["2024-03-28 12:00"]),
        ("0 0 12 L-1W * ?", ["2024-03-29 12:00"]),
        ("0 0 12 15W * ?", ["2024-03-15 12:00"]),
        ("0 0 12 16W * ?", ["2024-03-15 12:00"]),
        ("0 0 12 17W * ?", ["2024-03-18 12:00"]),
        ("0 0 12 31W * ?", ["2024-03-29 12:00"]),
        ("0 0 12 1W * ?", ["2024-03-01 12:00"]),
        ("0 0 12 ? * 6#3", ["2024-03-15 12:00"]),
        ("0 0 12 ? * FRI#5", ["2024-03-29 12:00"]),
        ("0 0 12 ? * 6L", ["2024-03-29 12:00"]),
        ("0 0 12 ? * L", [f"2024-03-{day:02} 12:00" for day in (2, 9, 16, 23, 30)]),
        ("0 0 12 ? * 1", [f"2024-03-{day:02} 12:00" for day in (3, 10, 17, 24, 31)]),
        ("0 0 12 ? * 2/2", [f"2024-03-{day:02} 12:00" for day in range(1, 32) if day % 7 in {1, 4, 6}]),
        ("0 0 12 ? * FRI-MON", [f"2024-03-{d:02} 12:00" for d in range(1, 32) if d % 7 in {1, 2, 3, 4}]),
        ("0 15 10 ? * 2-6", [f"2024-03-{day:02} 10:15" for day in range(1, 32) if day % 7 not in {2, 3}]),
        ("0 15 10 ? * MON-FRI 2024", [f"2024-03-{d:02} 10:15" for d in range(1, 32) if d % 7 not in {2, 3}]),
        ("0 15 10 * * ? 2023", []),
        ("0 0 12 1/10 * ?", [f"2024-03-{day:02} 12:00" for day in (1, 11, 21, 31)]),
        ("30 0/20 5 1 MAR ? 2020/4", ["2024-03-01 05:00", "2024-03-01 05:20", "2024-03-01 05:40"]),
        ("0 0 22-2/2 1 3 ?", ["2024-03-01 00:00", "2024-03-01 02:00", "2024-03-01 22:00"]),
        ("0 11 11 11 11 ?", []),
        ("0 0 0 31 2 ?", []),
        # Unix
        ("0 5 * * *", [f"2024-03-{day:02} 05:00" for day in range(1, 32)]),
        ("0 0 * * 0", [f"2024-03-{day:02} 00:00" for day in (3, 10, 17, 24, 31)]),
        ("0 0 * * 7", [f"2024-03-{day:02} 00:00" for day in (3, 10, 17, 24, 31)]),
        ("0 0 * * mon", [f"2024-03-{day:02} 00:00" for day in (4, 11, 18, 25)]),
        ("0 0 13 * 5", [f"2024-03-{day:02} 00:00" for day in (1, 8, 13, 15, 22, 29)]),
        ("30 6 L * *", ["2024-03-31 06:30"]),
        ("0-0/7 0 1 3 *", ["2024-03-01 00:00"]),
        ("@weekly", [f"2024-03-{day:02} 00:00" for day in (3, 10, 17, 24, 31)]),
    ],
)  # fmt: skip
def test_a_known_expression_means_the_known_days(expression: str, found: list[str]) -> None:
    assert times(expression, "2024-03-01", "2024-04-01") == found


def test_the_nearest_weekday_stays_in_its_month() -> None:
    """June 2024 begins on a Saturday, September on a Sunday, and both June and March end on a Sunday."""
    found = times("0 0 12 1W,LW 3-9 ? 2024", "2024-01-01", "2025-01-01")

    assert [day[5:10] for day in found] == [
        *("03-01", "03-29", "04-01", "04-30", "05-01", "05-31", "06-03", "06-28"),
        *("07-01", "07-31", "08-01", "08-30", "09-02", "09-30"),
    ]


@pytest.mark.parametrize(
    ("expression", "dialect"),
    [
        ("0 5 * * *", Dialect.UNIX),
        ("@daily", Dialect.UNIX),
        ("0 0 5 * * ?", Dialect.QUARTZ),
        ("0 0 0 * * ? *", Dialect.QUARTZ),
    ],
)
def test_the_dialect_is_recognised(expression: str, dialect: Dialect) -> None:
    assert parse_cron(expression).dialect is dialect
    assert parse_cron(expression, dialect) == parse_cron(expression) or dialect is Dialect.QUARTZ


@pytest.mark.parametrize(
    ("expression", "dialect", "told"),
    [
        ("", None, "0 fields"),
        ("* * * *", None, "4 fields"),
        ("0 5 * * *", Dialect.QUARTZ, "6 or 7"),
        ("0 0 5 * * ?", Dialect.UNIX, "Unix has 5"),
        ("0 5 ? * *", None, "Quartz"),
        ("0 0 5 * * *", None, "exactly one"),
        ("0 0 5 ? * ?", None, "exactly one"),
        ("0 0 5 1 * MON", None, "exactly one"),
        ("0/30 0 5 * * ?", None, "same ID"),
        ("0 60 5 * * ?", None, "'60' is no minute"),
        ("0 0 24 * * ?", None, "'24' is no hour"),
        ("0 0 5 32 * ?", None, "'32' is no day of the month"),
        ("0 0 5 32W * ?", None, "'32W'"),
        ("0 0 5 0W * ?", None, "'0W'"),
        ("0 0 5 * 13 ?", None, "'13' is no month"),
        ("0 0 5 ? * 0", None, "1 is SUN"),
        ("0 0 5 ? * 8", None, "1 is SUN"),
        ("0 0 5 ? * MON#6", None, "MON#6"),
        ("0 0 5 * * ? 1969", None, "year"),
        ("0 0/0 5 * * ?", None, "0/0"),
        ("0 , 5 * * ?", None, "''"),
        ("0 0 5 ? * XYZ#1", None, "XYZ"),
        ("60 * * * *", None, "minute"),
        ("0 0 31 2 *", None, "day-of-month"),
        ("0 ٣ * * *", None, "hour"),
        ("0 0 ٣ * * ?", None, "hour"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_cure(
    expression: str, dialect: Dialect | None, told: str
) -> None:
    with pytest.raises(SettingsError, match=r".") as refused:
        parse_cron(expression, dialect)

    assert told in str(refused.value)
    assert repr(expression) in str(refused.value)


@given(st.text("0123456789*/,-?LW# MONFRISA", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        cron = parse_cron(text)
    except SettingsError:
        return
    list(cron.walls(NEW_YEAR, LATER))


def test_the_end_of_the_calendar_is_an_end() -> None:
    assert times("0 0 1 1 *", "9998-12-31", "9999-12-31") == ["9999-01-01 00:00"]


@given(
    unix_expressions(),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai"]),
    st.datetimes(NEW_YEAR, NEW_YEAR.replace(year=2027)),
)
def test_unix_cron_keeps_to_debian_through_changes_of_the_clock(
    expression: Expression, name: str, start: datetime
) -> None:
    """cronsim's own treatment of zones, which the planner does not use, is Debian's."""
    first = start.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)
    span = Range(*(int(each.timestamp() * 1000) for each in (first, first + 48 * HOUR)))
    aware = (first - timedelta(seconds=1)).astimezone(ZoneInfo(name))
    cron, expected = parse_cron(expression.text), set[int]()
    for moment in CronSim(cron.pattern.removeprefix("0 "), aware):
        if (ms := int(moment.timestamp() * 1000)) >= span.to_ms:
            break
        if ms >= span.from_ms:
            expected.add(ms)

    planned = ByCron(cron, open_zone(name)).times(span).ms

    assert set(planned) == expected
