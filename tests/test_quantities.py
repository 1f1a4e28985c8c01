"""Rates and durations as people write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.errors import SettingsError
from bulk_trigger.quantities import Rate, format_duration, parse_duration, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/s", Rate(50, 1.0)),
        (" 3000 / m ", Rate(3000, 60.0)),
        ("100/H", Rate(100, 3600.0)),
        ("100000/d", Rate(100_000, 86400.0)),
        ("none", None),
        ("None", None),
    ],
)
def test_a_rate_is_read(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "50",
        "0/s",
        "-5/s",
        "1.5/s",
        "50/ms",
        "50/w",
        "50/2s",
        "1e3/s",
        "050/s",
        "\u0665/s",
        "9999999999/s",
    ],
)
def test_any_other_rate_is_refused_with_the_cure(text: str) -> None:
    """P25: nothing is guessed."""
    with pytest.raises(SettingsError, match="50/s, 3000/m, 100000/d, or none") as refusal:
        parse_rate(text)

    assert repr(text) in str(refusal.value)


@given(count=st.integers(1, 999_999_999), unit=st.sampled_from("smhd"))
def test_a_rate_is_written_as_it_was_read(count: int, unit: str) -> None:
    assert str(parse_rate(f"{count}/{unit}")) == f"{count}/{unit}"


def test_a_rate_of_an_odd_window_can_be_written_too() -> None:
    assert str(Rate(3, 0.7)) == "3/0.7s"
    assert Rate(3, 0.5).per_second == 6.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("2s", 2.0),
        ("3m", 180.0),
        ("1h", 3600.0),
        ("1.5H", 5400.0),
        ("1d", 86400.0),
        (" 0 s ", 0.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "s", "-1s", "1,5s", "2 sec", "1h30m", "inf", "nans", "\u0663s"])
def test_any_other_duration_is_refused_with_the_cure(text: str) -> None:
    """P25."""
    with pytest.raises(SettingsError, match="500ms, 2s, 3m or 1h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0s"),
        (0.4, "0.4s"),
        (9.94, "9.9s"),
        (9.95, "10s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (200, "3m 20s"),
        (3599, "59m 59s"),
        (3600, "1h"),
        (3605, "1h"),
        (7500, "2h 5m"),
        (86399, "23h 59m"),
        (86400 * 3 + 4 * 3600, "3d 4h"),
        (86400 * 400, "400d"),
    ],
)
def test_a_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(seconds=st.floats(0, 1e9))
def test_a_written_duration_is_close_to_the_true_one(seconds: float) -> None:
    total = sum(parse_duration(part) for part in format_duration(seconds).split())

    assert total == pytest.approx(seconds, rel=1 / 24, abs=0.51)
