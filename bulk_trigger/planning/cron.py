"""Cron expressions, Unix or Quartz → the times on the wall clock that they mean. cronsim counts.

Unix: 5 fields, minute first, weekdays from 0 = SUN; two restricted day fields mean either of them. Quartz:
see `quartz`. The dialect is recognised by the number of fields, and the user is told which one it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
import re

from cronsim import CronSim, CronSimError
import msgspec

from ..errors import SettingsError
from .quartz import translate

_NICKNAMES: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ONE_STEP = re.compile(r"\b([0-9A-Z]+)-\1/[1-9][0-9]*")  #: `5-5/2` is 5; cronsim goes on to the end
_SOME_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - a wall clock has no zone


class Dialect(StrEnum):
    """Which language an expression is written in."""

    UNIX = "unix"
    QUARTZ = "quartz"


class Cron(msgspec.Struct, frozen=True):
    """A parsed expression."""

    text: str
    dialect: Dialect
    is_fixed: bool  #: names times of the day; else minutes or hours begin with "every": `*`, or Quartz' `0/5`
    pattern: str  #: for cronsim, seconds first
    counts: Callable[[date], bool]  #: on which of the pattern's days it counts

    def walls(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """All times from `start` on and before `end`, as a wall clock shows them, which knows no DST."""
        try:
            for wall in CronSim(self.pattern, start - timedelta(seconds=1)):
                if wall >= end:
                    return
                if self.counts(wall.date()):
                    yield wall
        except OverflowError:  # the end of the calendar
            return


def parse_cron(text: str, dialect: Dialect | None = None) -> Cron:
    """Read an expression; without a dialect it is recognised. Raises `SettingsError` with the cure."""
    fields = _NICKNAMES.get(text.strip().lower(), text).upper().split()
    dialect = dialect or (Dialect.UNIX if len(fields) == 5 else Dialect.QUARTZ)
    allowed = (5,) if dialect is Dialect.UNIX else (6, 7)
    if len(fields) not in allowed:
        raise SettingsError(
            f"cron {text!r} has {len(fields)} fields; Unix has 5 (minute hour day month weekday), "
            "Quartz 6 or 7 (second minute hour day month weekday [year])"
        )
    is_unix = dialect is Dialect.UNIX
    clock, every = (fields[:2], ("*",)) if is_unix else (fields[1:3], ("*", "/", "0/"))
    try:
        pattern, counts = _unix(fields) if is_unix else translate(fields)
        CronSim(pattern, _SOME_DAY)
    except (CronSimError, SettingsError) as error:
        raise SettingsError(f"cron {text!r} is not understood as {dialect.title()}: {error}") from None
    return Cron(text, dialect, not any(field.startswith(every) for field in clock), pattern, counts)


def _unix(fields: Sequence[str]) -> tuple[str, Callable[[date], bool]]:
    if "?" in fields:
        raise SettingsError("`?` is Quartz, which has the seconds in front: write `0 ` before it")
    return "0 " + _ONE_STEP.sub(r"\1", " ".join(fields)), _every_day


def _every_day(_: date) -> bool:
    return True
