"""The kinds of values that flags take, as people write them."""

from __future__ import annotations

from collections.abc import Callable
import re
from typing import Any

import click

from ..errors import SettingsError
from ..quantities import Rate, parse_duration, parse_rate
from ..settings import Limit


class Kind(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A kind of value that a function reads; what it raises is told as the flag's mistake."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a text; a value that was read already stays as it is."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)


class NoRate:
    """What `none` says: no limit."""


def _rate(text: str) -> Rate | NoRate:
    return parse_rate(text) or NoRate()


def _limit(text: str) -> Limit:
    if not (match := re.fullmatch(r"([0-9]{1,9})|([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%", text.strip())):
        raise SettingsError(f"{text!r} is neither a number of rows, like 100, nor a share of them, like 5%")
    if match[1]:
        return Limit(int(match[1]))
    if float(match[2]) > 100:
        raise SettingsError(f"{text!r} is more than all rows")
    return Limit(float(match[2]), percent=True)


def _rows(text: str) -> tuple[int, int]:
    if not (match := re.fullmatch(r"([0-9]{1,18})\s*-\s*([0-9]{1,18})", text.strip())):
        raise SettingsError(f"{text!r} is not a range of rows; write it like 1-1000")
    return int(match[1]), int(match[2])


RATE = Kind("rate", _rate)
DURATION = Kind("duration", parse_duration)
LIMIT = Kind("n|n%", _limit)
ROWS = Kind("first-last", _rows)


def read_rates(given: tuple[Rate | NoRate, ...]) -> tuple[Rate, ...]:
    """Give the rates of all `--rate` flags together; `none` gives no rate. Raises `SettingsError`."""
    rates = tuple(rate for rate in given if isinstance(rate, Rate))
    if rates and len(rates) < len(given):
        raise SettingsError("--rate none allows no other --rate beside it")
    return rates
