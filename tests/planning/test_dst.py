"""What the change of the clock does to a plan, case by case; ranges, distances and business dates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.errors import SettingsError
from bulk_trigger.planning.cadence import ByCron, Dst, every
from bulk_trigger.planning.cron import parse_cron
from bulk_trigger.planning.plan import due, in_order
from bulk_trigger.planning.ranges import make_range
from bulk_trigger.planning.zones import open_zone

BERLIN = open_zone("Europe/Berlin")
SPRING, AUTUMN = ("2026-03-29", "2026-03-30"), ("2026-10-25", "2026-10-26")


def planned(expression: str, day: tuple[str, str], dst: str, zone: str = "Europe/Berlin") -> list[str]:
    clock = open_zone(zone)
    cadence = ByCron(parse_cron(expression), clock, Dst(dst))
    times = cadence.times(make_range(*day, None, zone=clock))
    return [clock.text(ms // 1000)[11:] for ms in times.ms]


@pytest.mark.parametrize(
    ("expression", "day", "dst", "found"),
    [
        ("30 2 * * *", SPRING, "once", ["03:00:00+02:00"]),
        ("30 2 * * *", SPRING, "twice", ["03:00:00+02:00"]),
        ("30 2 * * *", SPRING, "skip", []),
        ("30 2 * * *", AUTUMN, "once", ["02:30:00+02:00"]),
        ("30 2 * * *", AUTUMN, "twice", ["02:30:00+02:00", "02:30:00+01:00"]),
        ("30 2 * * *", AUTUMN, "skip", ["02:30:00+02:00"]),
        ("0 30 2 * * ?", AUTUMN, "twice", ["02:30:00+02:00", "02:30:00+01:00"]),
        ("0 2,3 * * *", SPRING, "once", ["03:00:00+02:00"]),
        ("15 0 2,3 * * ?", SPRING, "once", ["03:00:00+02:00"]),
        ("0 * * * *", SPRING, "once", [f"{h:02}:00:00+0{1 + (h > 2)}:00" for h in range(24) if h != 2]),
        ("0 0/6 * * *", SPRING, "skip", [f"{h:02}:00:00+0{1 + (h > 2)}:00" for h in (0, 6, 12, 18)]),
        ("0 0 */2 * * ?", AUTUMN, "once", ["00:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00",
                                           *(f"{h:02}:00:00+01:00" for h in range(4, 24, 2))]),
    ],
)  # fmt: skip
def test_the_policy_says_what_becomes_of_odd_times(
    expression: str, day: tuple[str, str], dst: str, found: list[str]
) -> None:
    assert planned(expression, day, dst) == found


def test_half_an_hour_and_a_whole_day_are_gaps_too() -> None:
    assert planned("15 2 * * *", ("2026-10-04", "2026-10-05"), "once", "Australia/Lord_Howe") == [
        "02:30:00+11:00"
    ]
    apia = planned("0 12 * * *", ("2011-12-29", "2012-01-01"), "once", "Pacific/Apia")
    assert apia == ["12:00:00-10:00", "00:00:00+14:00", "12:00:00+14:00"]


def test_odd_times_are_listed_with_what_was_done() -> None:
    times = ByCron(parse_cron("30 2 * * *"), BERLIN).times(
        make_range("2026-03-01", "2026-11-01", None, zone=BERLIN)
    )

    told = [
        (each.wall.isoformat(), each.exists, [BERLIN.text(ms // 1000) for ms in each.planned_ms])
        for each in times.irregular
    ]

    assert told == [
        ("2026-03-29T02:30:00", False, ["2026-03-29T03:00:00+02:00"]),
        ("2026-10-25T02:30:00", True, ["2026-10-25T02:30:00+02:00"]),
    ]
    assert len(times.ms) == 245


@pytest.mark.parametrize(
    ("given", "zone", "meant"),
    [
        (("2024-03-01", "2024-04-01", None), "UTC", "2024-03-01T00:00:00+00:00 2024-04-01T00:00:00+00:00"),
        (("2026-03-29", None, "1d"), "Europe/Berlin", "2026-03-29T00:00:00+01:00 2026-03-30T00:00:00+02:00"),
        (("2026-03-29", None, "24h"), "Europe/Berlin", "2026-03-29T00:00:00+01:00 2026-03-30T01:00:00+02:00"),
        ((None, "2026-03-30", "1d"), "Europe/Berlin", "2026-03-29T00:00:00+01:00 2026-03-30T00:00:00+02:00"),
        (("2024-03-01T05:30", "2024-03-01 06:00+08:00", None), "GMT+8",
         "2024-03-01T05:30:00+08:00 2024-03-01T06:00:00+08:00"),
        (("1704067200000", None, "90m"), "UTC", "2024-01-01T00:00:00+00:00 2024-01-01T01:30:00+00:00"),
        (("2018-11-04", None, "1h"), "America/Sao_Paulo",
         "2018-11-04T01:00:00-02:00 2018-11-04T02:00:00-02:00"),
    ],
)  # fmt: skip
def test_a_range_is_any_two_of_start_end_and_length(
    given: tuple[str | None, str | None, str | None], zone: str, meant: str
) -> None:
    clock = open_zone(zone)

    span = make_range(*given, zone=clock)

    assert f"{clock.text(span.from_ms // 1000)} {clock.text(span.to_ms // 1000)}" == meant


@pytest.mark.parametrize(
    ("start", "end", "length", "told"),
    [
        ("2024-03-01", None, None, "two of"),
        ("2024-03-01", "2024-03-02", "1d", "two of"),
        (None, None, "1d", "two of"),
        ("2024-03-02", "2024-03-02", None, "empty"),
        ("2024-03-03", "2024-03-02", None, "empty"),
        ("2024-02-30", "2024-03-02", None, "does not exist"),
        ("yesterday", "2024-03-02", None, "--from"),
        ("2026-03-29T02:30", None, "1h", "does not exist in Europe/Berlin"),
        ("2026-10-25T02:30", None, "1h", "comes twice in Europe/Berlin"),
        ("2024-03-01", None, "month", "duration"),
        ("2024-03-01", "9999-12-31", None, "too late"),
        ("9998-12-31", None, "999999d", "beyond the calendar"),
        (None, "2024-03-01", "999999d", "beyond the calendar"),
        ("1970-01-01", "2024-03-01", None, "too early"),
        ("1704067200", None, "1h", "--time-unit"),
    ],
)
def test_a_range_that_is_none_is_refused(
    start: str | None, end: str | None, length: str | None, told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        make_range(start, end, length, zone=BERLIN)


def test_business_days_are_processed_on_the_day_after() -> None:
    span = make_range("2026-03-28", "2026-03-29", None, zone=BERLIN, data_days=True)

    assert BERLIN.text(span.from_ms // 1000) == "2026-03-29T00:00:00+01:00"
    assert BERLIN.text(span.to_ms // 1000) == "2026-03-30T00:00:00+02:00"
    with pytest.raises(SettingsError, match="days, not times"):
        make_range("2026-03-28T05:00", "2026-03-29", None, zone=BERLIN, data_days=True)


def test_a_distance_goes_by_the_time_that_passes() -> None:
    span = make_range(*SPRING, None, zone=BERLIN)

    assert len(every("1h", BERLIN, span).times(span).ms) == 23
    assert len(every("24h", BERLIN, span).times(span).ms) == 1


def test_days_that_are_not_all_alike_are_not_guessed() -> None:
    span = make_range("2026-03-20", "2026-04-20", None, zone=BERLIN)

    with pytest.raises(SettingsError, match=r"--every 24h .* --cron '0 0 \* \* \*'"):
        every("1d", BERLIN, span)
    quiet = make_range("2026-04-20", "2026-04-25", None, zone=BERLIN)
    assert len(every("1d", BERLIN, quiet).times(quiet).ms) == 5
    with pytest.raises(SettingsError, match="at least 1m"):
        every("30s", BERLIN, quiet)


def test_jobs_come_by_time_and_then_in_the_order_of_the_flows() -> None:
    span = make_range("2024-01-01", None, "2h", zone=BERLIN)
    hourly, half = every("1h", BERLIN, span), every("30m", BERLIN, span)

    jobs = in_order(due({9: hourly, 3: half}, span).times_ms)

    minutes = [(job.flow_id, (job.trigger_time_ms - span.from_ms) // 60_000) for job in jobs]
    assert minutes == [(9, 0), (3, 0), (3, 30), (9, 60), (3, 60), (3, 90)]


@given(
    st.lists(
        st.one_of(
            st.dates().map(str),
            st.datetimes().map(lambda at: at.isoformat(" ")[:19]),
            st.text("0123456789-:TZ+ ", max_size=25),
        ),
        min_size=2,
        max_size=2,
    ),
    st.sampled_from(["UTC", "Europe/Berlin", "GMT+14", "Pacific/Apia"]),
    st.booleans(),
)
def test_any_range_is_read_or_refused(ends: list[str], zone: str, data_days: bool) -> None:
    try:
        span = make_range(ends[0], ends[1], None, zone=open_zone(zone), data_days=data_days)
    except SettingsError:
        return
    assert span.from_ms < span.to_ms
    rare = ByCron(parse_cron("0 0 1 1 *"), open_zone(zone)).times(span).ms
    assert all(span.from_ms <= ms < span.to_ms for ms in rare)
