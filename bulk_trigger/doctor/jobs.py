"""The lines about the job list itself, from what `check` finds in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..quantities import format_duration
from ..recap import counted
from .page import Line, Mark, not_asked

FILE, DURATION = "job list", "takes"
_ODD = {"invalid": "invalid row", "duplicates": "duplicate"}
_CURE = "`bulk-trigger check` with the same flags shows all of it"


def job_lines(name: str, facts: Mapping[str, Any] | None, problem: str) -> tuple[Line, Line]:
    """Whether `run` would accept the list, and how long it would take; `facts` None: it cannot be read."""
    if facts is None:
        return Line(FILE, Mark.WRONG, _first(problem), _CURE), not_asked(DURATION, "without a job list")
    rows, flows = counted(facts["rows"], "row"), counted(facts["flows"], "flow")
    found = f"{name}: {rows} of {flows}, {facts['toSend']:,} to send"
    odd = [counted(facts[key], noun) for key, noun in _ODD.items() if facts[key]]
    told = ", ".join([found, *odd])
    if problem:
        line = Line(FILE, Mark.WRONG, f"{told}: {_first(problem)}", _CURE)
    elif odd:
        line = Line(FILE, Mark.WARNING, told, "accepted with these flags; `check` shows what they are")
    else:
        line = Line(FILE, Mark.OK, told)
    return line, _duration(facts)


def _duration(facts: Mapping[str, Any]) -> Line:
    estimate = facts["estimate"]
    found = (
        f"{format_duration(estimate['seconds'])} or more: {estimate['decidedBy']} "
        f"(if a call takes {estimate['assumedLatencyMs']} ms and none has to be repeated)"
    )
    return Line(DURATION, Mark.OK, found)


def _first(problem: str) -> str:
    return problem.splitlines()[0]
