"""Trigger times: no guess, no rounding, one reading only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.errors import SettingsError
from bulk_trigger.reader.fields import INT64_MAX, Refusal
from bulk_trigger.reader.times import LEAST_MS, MOST_MS, Times

NOON = 1704110400000  # 2024-01-01T12:00:00Z


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("ms", "1574385824000", 1574385824000),
        ("ms", str(LEAST_MS), LEAST_MS),
        ("ms", str(MOST_MS), MOST_MS),
        ("s", "1574385824", 1574385824000),
        ("s", str(LEAST_MS // 1000), LEAST_MS),
        ("us", "1574385824001000", 1574385824001),
        ("ns", "1574385824001000000", 1574385824001),
        ("ms", "2024-01-01T12:00Z", NOON),
        ("ms", "2024-01-01 12:00:00Z", NOON),
        ("ms", "2024-01-01T20:00:00+08:00", NOON),
        ("ms", "2024-01-01T20:00:00 +0800", NOON),
        ("ms", "2024-01-01T20:00:00+08", NOON),
        ("ms", "2024-01-01T20:30:00+0830", NOON),
        ("ms", "2024-01-02T11:59:00+23:59", NOON),
        ("ms", "2024-01-01T06:30:00-05:30", NOON),
        ("ms", "2024-01-01T12:00:00.5Z", NOON + 500),
        ("ms", "2024-01-01T12:00:00,025Z", NOON + 25),
        ("ms", "2024-01-01T12:00:00.001000000Z", NOON + 1),
        ("s", "2024-01-01T12:00:00Z", NOON),
    ],
)
def test_a_time_in_canonical_form_is_read_exactly(unit: str, text: str, expected: int) -> None:
    """P25: what is sent equals the text."""
    assert Times(unit=unit).read(text) == expected


@pytest.mark.parametrize(
    ("unit", "text", "reason", "cure"),
    [
        ("ms", "1574385824", "wrong-unit", "2019-11-22T01:23:44Z, pass --time-unit s"),
        ("ms", str(LEAST_MS - 1), "wrong-unit", "--time-unit s"),
        ("ms", str(MOST_MS + 1), "wrong-unit", "--time-unit us"),
        ("ms", "1574385824000000", "wrong-unit", "--time-unit us"),
        ("ms", "1574385824000000000", "wrong-unit", "--time-unit ns"),
        ("s", "1574385824000", "wrong-unit", "--time-unit ms"),
        ("us", "1574385824000", "wrong-unit", "--time-unit ms"),
        ("ns", "1574385824", "wrong-unit", "--time-unit s"),
        ("ms", "7", "wrong-unit", "are accepted"),
        ("ms", "0", "bad-time", "leading zeros"),
        ("ms", "01574385824000", "bad-time", "leading zeros"),
        ("ns", str(INT64_MAX + 1), "bad-time", ""),
        ("ms", "9" * 5000, "bad-time", ""),
        ("us", "1574385824000001", "too-fine", "milliseconds"),
        ("ns", "1574385824000000001", "too-fine", "milliseconds"),
        ("ms", "2024-01-01T12:00:00.0001Z", "too-fine", "milliseconds"),
        ("ms", "20240101", "bad-time", "2024-01-01T00:00:00Z"),
        ("ms", "19000101", "bad-time", "1900-01-01T00:00:00Z"),
        ("ms", "18991231", "wrong-unit", "are accepted"),
        ("ms", "21001231", "bad-time", "2100-12-31T00:00:00Z"),
        ("ms", "21010101", "wrong-unit", "are accepted"),
        ("ms", "202401011200", "bad-time", "2024-01-01T12:00:00Z"),
        ("ms", "20240101120000", "bad-time", "2024-01-01T12:00:00Z"),
        ("ms", "20240101120007", "bad-time", "2024-01-01T12:00:07Z"),
        ("us", "20240101120000000", "bad-time", "2024-01-01T12:00:00Z"),
        ("s", "202401011200", "bad-time", "2024-01-01T12:00:00Z"),
        ("ms", "-1574385824000", "bad-time", ""),
        ("ms", "+1574385824000", "bad-time", ""),
        ("ms", "1_574_385_824_000", "bad-time", ""),
        ("ms", "1574385824000.0", "bad-time", "without point"),
        ("ms", "1.57439E+12", "bad-time", "export"),
        ("ms", '="1574385824000"', "bad-time", "alone"),
        ("ms", "11/22/2019", "bad-time", "2019-11-22T01:23:44+08:00"),
        ("ms", "22.11.2019 01:23", "bad-time", "2019-11-22T01:23:44+08:00"),
        ("ms", "2019/11/22 01:23:44", "bad-time", "2019-11-22T01:23:44+08:00"),
        ("ms", "2024-01-01", "bad-time", "2019-11-22T01:23:44+08:00"),
        ("ms", "20240101T120000Z", "bad-time", "2019-11-22T01:23:44+08:00"),
        ("ms", "2024-02-30T12:00Z", "bad-time", "correct"),
        ("ms", "2024-01-01T24:00Z", "bad-time", "correct"),
        ("ms", "2024-01-01T12:00:60Z", "bad-time", "correct"),
        ("ms", "2024-01-01T12:00+24:00", "bad-time", "correct"),
        ("ms", "2024-01-01T12:00+08:60", "bad-time", "correct"),
        ("ms", "1970-01-01T00:00:00Z", "bad-time", "1973"),
        ("ms", "9999-12-31T23:59:59-01:00", "bad-time", "9999"),
        ("ms", "0001-01-01T00:00:00+08:00", "bad-time", "1973"),
        ("ms", "2024-01-01T12:00", "no-offset", "write 2024-01-01T12:00+08:00, or pass --timezone"),
        ("ms", "", "bad-time", "fill it in"),
        ("ms", "null", "bad-time", "epoch milliseconds"),
        ("ms", "١٥٧٤٣٨٥٨٢٤٠٠٠", "bad-time", ""),
        ("ms", "\uff12\uff10\uff12\uff14-01-01T12:00Z", "bad-time", ""),
        ("ms", "triggerTime", "bad-time", "delete the line"),
    ],
)
def test_any_other_text_is_refused_with_a_cure(unit: str, text: str, reason: str, cure: str) -> None:
    """P25: nothing is guessed, rounded or converted in silence."""
    refusal = Times(unit=unit).read(text)

    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert cure in refusal.cure


@pytest.mark.parametrize(
    ("unit", "text", "what"),
    [
        ("ms", "7", "too small for a time in milliseconds"),
        ("ms", str(LEAST_MS - 1), "too small for a time in milliseconds"),
        ("ms", str(MOST_MS + 1), "too large for a time in milliseconds"),
        ("s", str(MOST_MS // 1000 + 1), "too large for a time in seconds"),
        ("ns", str(LEAST_MS * 10**6 - 1), "too small for a time in nanoseconds"),
    ],
)
def test_a_number_in_the_wrong_unit_is_too_small_or_too_large(unit: str, text: str, what: str) -> None:
    refusal = Times(unit=unit).read(text)

    assert isinstance(refusal, Refusal)
    assert (refusal.reason, what in refusal.message) == ("wrong-unit", True)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("11/22/2019", "is not ISO 8601"),
        ("20240101T120000Z", "is not ISO 8601"),
        ("trigger-time", "is a second header"),
        ("tomorrow", "is not a trigger time"),
    ],
)
def test_a_date_of_another_notation_is_told_from_what_is_no_time(text: str, what: str) -> None:
    refusal = Times().read(text)

    assert isinstance(refusal, Refusal)
    assert what in refusal.message


def test_times_are_accepted_from_1973_to_the_end_of_9999() -> None:
    assert Times().read("1973-03-03T09:46:40Z") == LEAST_MS == 100_000_000_000
    assert Times().read("9999-12-31T23:59:59.999Z") == MOST_MS == 253_402_300_799_999


@pytest.mark.parametrize(
    ("unit", "low", "high", "step"),
    [
        ("s", 10**9, 10**10, 1),
        ("ms", 10**12, 10**13, 1),
        ("us", 10**15, 10**16, 1000),
        ("ns", 10**18, INT64_MAX, 10**6),
    ],
)
def test_who_reads_millions_by_the_rule_reads_what_is_read_one_by_one(
    unit: str, low: int, high: int, step: int
) -> None:
    """P25: whole numbers of the years 2001 to 2286, or as far as 64 bits go, have no second reading."""
    times = Times(unit=unit)

    assert (times.usual_low, times.usual_high, times.divisor) == (low, high, step)
    for number in (low, low + step, 1_574_385_824 * low // 10**9, (high - 1) // step * step):
        assert times.read(str(number)) == number * times.factor // times.divisor


@pytest.mark.parametrize(
    ("zone", "text", "expected"),
    [
        ("Asia/Shanghai", "2024-01-01T20:00", NOON),
        ("Europe/Berlin", "2024-03-31T01:59:59", 1711846799000),
        ("Europe/Berlin", "2024-03-31T03:00", 1711846800000),
        ("Europe/Berlin", "2024-03-31T02:30+01:00", 1711848600000),
        ("Europe/Berlin", "2024-10-27T02:30+02:00", 1729989000000),
    ],
)
def test_a_time_without_offset_is_read_in_the_given_zone(zone: str, text: str, expected: int) -> None:
    assert Times(timezone=zone).read(text) == expected


@pytest.mark.parametrize(
    ("zone", "text", "reason", "cure"),
    [
        ("Europe/Berlin", "2024-03-31T02:00", "time-gap", "its offset"),
        ("Europe/Berlin", "2024-03-31T02:59:59", "time-gap", "its offset"),
        ("Europe/Berlin", "2024-10-27T02:30", "time-twice", "2024-10-27T02:30+02:00 for the first"),
        ("America/New_York", "2024-11-03T01:00", "time-twice", "2024-11-03T01:00-05:00 for the second"),
        ("Europe/London", "2024-10-27T01:30", "time-twice", "2024-10-27T01:30+00:00 for the second"),
        ("Australia/Lord_Howe", "2024-10-06T02:15", "time-gap", "+11:00"),
    ],
)
def test_a_wall_clock_time_without_one_meaning_is_refused(
    zone: str, text: str, reason: str, cure: str
) -> None:
    """P25: the tool does not choose between two instants."""
    refusal = Times(timezone=zone).read(text)

    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert cure in refusal.cure


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Asia", "+08:00", "\0"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="IANA"):
        Times(timezone=name)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(SettingsError, match="s, ms, us, ns"):
        Times(unit="minutes")


@given(st.integers(LEAST_MS, MOST_MS), st.integers(-23 * 60, 23 * 60))
def test_iso_text_means_the_instant_that_was_written(ms: int, offset_minutes: int) -> None:
    """P25: what is sent equals the text, to the millisecond."""
    zone = timezone(timedelta(minutes=offset_minutes))
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    try:
        text = instant.astimezone(zone).isoformat(timespec="milliseconds")
    except OverflowError:  # the year 10000 in that zone
        return

    assert Times().read(text) == ms


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for times in (Times(), Times(unit="ns", timezone="Europe/Berlin")):
        ms = times.read(text)
        assert isinstance(ms, Refusal) or LEAST_MS <= ms <= MOST_MS


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001 - naive on purpose
def test_any_naive_time_is_read_or_refused_in_a_zone(wall: datetime) -> None:
    ms = Times(timezone="America/New_York").read(wall.isoformat(timespec="milliseconds"))

    assert isinstance(ms, Refusal) or LEAST_MS <= ms <= MOST_MS
