"""The text of a trigger time: epoch numbers in a stated unit, and ISO 8601. Nothing is guessed or rounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
import re
from zoneinfo import ZoneInfo

from ..errors import SettingsError
from .fields import INT64_MAX, Refusal, damage, quote, whole_number

LEAST_MS = 10**11  #: 1973-03-03T09:46:40Z; a smaller number is more likely in seconds
MOST_MS = 253_402_300_799_999  #: the last millisecond of the year 9999

_PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the arithmetic is on wall clocks, the offset is subtracted by hand
_MS = timedelta(milliseconds=1)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?:(:\d\d)(?:[.,](\d{1,9}))?)? ?(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_OTHER_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}(?:\D.*)?|\d{8}T\d{4,6}\D*.*", re.ASCII)
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S"}
_COMPACT_YEARS = range(1900, 2101)


class Times:
    """Reads trigger times, in one unit (`s`, `ms`, `us`, `ns`) and for texts without an offset in one zone.

    Accepted are times from `LEAST_MS` to `MOST_MS`, in every notation. Whole numbers n with
    `usual_low <= n < usual_high` (2001 to 2286) have no second reading and, where `n % divisor == 0`, mean
    `n * factor // divisor` milliseconds: the rule for those who read millions.
    """

    def __init__(self, *, unit: str = "ms", timezone: str | None = None) -> None:
        if unit not in _PER_S:
            raise SettingsError(f"--time-unit {unit!r} is not known; use {', '.join(_PER_S)}")
        self._unit = unit
        self._zone = None if timezone is None else open_zone(timezone)
        per_s = _PER_S[unit]
        self.usual_low = 10**9 * per_s
        self.usual_high = min(10**10 * per_s, INT64_MAX)
        self.factor = max(1000 // per_s, 1)
        self.divisor = max(per_s // 1000, 1)

    def read(self, text: str) -> int | Refusal:
        """Read a trigger time into epoch milliseconds."""
        if text.isascii() and text.isdecimal():
            return self._read_number(text)
        if match := _ISO.fullmatch(text):
            return self._read_iso(text, match)
        what, cure = damage(text) or _notation_fault(text)
        return Refusal("bad-time", f"{quote(text)} {what}", cure)

    def _read_number(self, text: str) -> int | Refusal:
        if date := _compact_date(text):
            return Refusal(
                "bad-time", f"{quote(text)} looks like a date", f"write {date}Z, or with another offset"
            )
        if (number := whole_number(text)) is None:
            return Refusal(
                "bad-time",
                f"{quote(text)} is not a whole number within 64 bits",
                "write no leading zeros",
            )
        if not _fits(number, self._unit):
            return self._wrong_unit(text, number)
        ms, rest = divmod(number * self.factor, self.divisor)
        return _too_fine(text) if rest else ms

    def _wrong_unit(self, text: str, number: int) -> Refusal:
        """Never guess the unit; but say which one would make sense."""
        size = "small" if number * 1000 // _PER_S[self._unit] < LEAST_MS else "large"
        message = f"{quote(text)} is too {size} for a time in {_UNIT_NAMES[self._unit]}"
        for unit, per_s in _PER_S.items():
            if _fits(number, unit):
                date = _write(number * 1000 // per_s)
                return Refusal("wrong-unit", message, f"if it means {date}, pass --time-unit {unit}")
        return Refusal(
            "wrong-unit", message, f"times from {_write(LEAST_MS)} to the end of 9999 are accepted"
        )

    def _read_iso(self, text: str, match: re.Match[str]) -> int | Refusal:
        date, minute, second, fraction, offset_text = match.groups()
        try:
            wall = datetime.fromisoformat(f"{date}T{minute}{second or ':00'}")
            offset = self._offset_in_zone(text, wall) if offset_text is None else _read_offset(offset_text)
        except ValueError as error:
            return Refusal(
                "bad-time", f"{quote(text)} does not exist: {error}", "correct the date, time or offset"
            )
        if isinstance(offset, Refusal):
            return offset
        thousandths, finer = (fraction or "").ljust(3, "0")[:3], (fraction or "")[3:]
        if finer.strip("0"):
            return _too_fine(text)
        ms = (wall - _EPOCH - offset) // _MS + int(thousandths)
        if not LEAST_MS <= ms <= MOST_MS:
            cure = f"times from {_write(LEAST_MS)} to the end of 9999 are accepted"
            return Refusal("bad-time", f"{quote(text)} is outside of what can be meant", cure)
        return ms

    def _offset_in_zone(self, text: str, wall: datetime) -> timedelta | Refusal:
        """The UTC offset of a wall clock time; the folds of PEP 495 differ in gaps and overlaps only."""
        if self._zone is None:
            return Refusal(
                "no-offset", f"{quote(text)} has no UTC offset", f"write {text}+08:00, or pass --timezone"
            )
        first, second = (self._zone.utcoffset(wall.replace(fold=fold)) or timedelta() for fold in (0, 1))
        if first == second:
            return first
        if first < second:
            return Refusal(
                "time-gap",
                f"{quote(text)} does not exist in {self._zone.key}: the clock was put forward",
                f"write the time that is meant, with its offset, such as {text}{_write_offset(second)}",
            )
        return Refusal(
            "time-twice",
            f"{quote(text)} exists twice in {self._zone.key}: the clock was put back",
            f"write {text}{_write_offset(first)} for the first, {text}{_write_offset(second)} for the second",
        )


def open_zone(name: str) -> ZoneInfo:
    """Open a zone by its IANA name. Raises `SettingsError`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise SettingsError(
            f"--timezone {name!r} is not known; write an IANA name, such as Asia/Shanghai"
        ) from None


def _fits(number: int, unit: str) -> bool:
    """Whether a number in that unit is a time that can be meant."""
    return LEAST_MS <= number * 1000 // _PER_S[unit] <= MOST_MS


def _too_fine(text: str) -> Refusal:
    return Refusal(
        "too-fine",
        f"{quote(text)} is finer than a millisecond",
        "the gateway takes whole milliseconds: write it so",
    )


def _compact_date(text: str) -> str | None:
    """The ISO form of `20240105`, `202401050800` and longer, which are numbers by accident only."""
    try:
        date = datetime.strptime(text[:14], _COMPACT[len(text)])  # noqa: DTZ007 - shown to the user as it is
    except (KeyError, ValueError):
        return None
    return date.isoformat() if date.year in _COMPACT_YEARS else None


def _notation_fault(text: str) -> tuple[str, str]:
    if _OTHER_DATE.fullmatch(text):
        return "is not ISO 8601 with date, time and offset", "write it like 2019-11-22T01:23:44+08:00"
    if text.replace("_", "").replace("-", "").lower() == "triggertime":
        return "is a second header: were two files joined?", "delete the line"
    return "is not a trigger time", "write epoch milliseconds, or ISO 8601 like 2019-11-22T01:23:44+08:00"


def _read_offset(text: str) -> timedelta:
    """Read `Z`, `+08:00`, `+0800` or `+08`. Raises `ValueError`."""
    if text == "Z":
        return timedelta()
    hours, minutes = int(text[1:3]), int(text[3:].removeprefix(":") or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("the offset is out of range")
    offset = timedelta(hours=hours, minutes=minutes)
    return offset if text[0] == "+" else -offset


def _write_offset(offset: timedelta) -> str:
    minutes = offset // timedelta(minutes=1)
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"


def _write(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}Z"
