"""The words of the doctor's page."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Mark(StrEnum):
    """The verdict of a line, from the best to the worst."""

    OK = "ok"
    WARNING = "warning"  #: `run` works, but not everything will be as one may expect
    NOT_KNOWN = "not known"  #: nothing was found out about something that `run` needs
    WRONG = "wrong"  #: `run` would stop, or fail rows


_BADNESS = {mark: badness for badness, mark in enumerate(Mark)}


class Line(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    mark: Mark
    found: str
    cure: str = ""  #: what to do about it; empty if nothing has to be done
    flow_ids: tuple[int, ...] = ()  #: all that it concerns; `found` names the first


def worst(marks: Iterable[Mark]) -> Mark:
    """The verdict that counts if there are several."""
    return max(marks, key=_BADNESS.__getitem__, default=Mark.OK)


def not_asked(name: str, why: str) -> Line:
    """The line of something that could not be looked at."""
    return Line(name, Mark.NOT_KNOWN, why)


def is_fit(lines: Iterable[Line]) -> bool:
    """Whether a run may be started: nothing is wrong, and nothing that it needs is not known."""
    return worst(line.mark for line in lines) in {Mark.OK, Mark.WARNING}
