"""Rates and durations as people write them: `50/s`, `3000/m`, `none`; `500ms`, `2s`, `3m`, `1h`."""

from __future__ import annotations

import re

import msgspec

from .errors import SettingsError

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"([1-9][0-9]{0,8})\s*/\s*([smhd])")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(ms|s|m|h|d)")


class Rate(msgspec.Struct, frozen=True):
    """At most `count` calls in any window of `per_s` seconds."""

    count: int
    per_s: float

    @property
    def per_second(self) -> float:
        """The mean rate, in calls per second."""
        return self.count / self.per_s

    def __str__(self) -> str:
        unit = next((unit for unit, seconds in _UNITS_S.items() if seconds == self.per_s), f"{self.per_s:g}s")
        return f"{self.count}/{unit}"


def parse_rate(text: str) -> Rate | None:
    """Read `50/s`, `3000/m`, `100000/h` or `/d`; `none` gives None. Raises `SettingsError`."""
    if text.strip().lower() == "none":
        return None
    if not (match := _RATE.fullmatch(text.strip().lower())):
        raise SettingsError(f"rate {text!r} is not understood; write it like 50/s, 3000/m, 100000/d, or none")
    return Rate(int(match[1]), _UNITS_S[match[2]])


def parse_duration(text: str) -> float:
    """Read `500ms`, `2s`, `3m`, `1.5h` or `1d` into seconds. Raises `SettingsError`."""
    if not (match := _DURATION.fullmatch(text.strip().lower())):
        raise SettingsError(f"duration {text!r} is not understood; write it like 500ms, 2s, 3m or 1h")
    return float(match[1]) * _UNITS_S[match[2]]


def format_duration(seconds: float) -> str:
    """Write seconds for a person: `0.4s`, `12s`, `3m 20s`, `2h 5m`, `3d 4h`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    total = round(seconds)
    days, rest = divmod(total, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (secs, "s")]
    first = next(i for i, (n, _) in enumerate(parts) if n)
    return " ".join(f"{n}{unit}" for n, unit in parts[first : first + 2] if n)
