"""From what was found out to the page."""

from __future__ import annotations

from collections.abc import Iterator

from ..settings import Settings
from .answers import Answers, said
from .clock import clock_line, zone_line
from .connection import connection_lines
from .flows import flow_lines, user_line
from .lookup import lookup_line
from .page import Line


def diagnose(answers: Answers, settings: Settings, now_s: float) -> Iterator[Line]:
    """The lines about the gateway, and about the flows if there are any. `now_s`: epoch seconds."""
    yield from connection_lines(answers, settings)
    yield clock_line(answers)
    yield zone_line(answers.zone, settings.timezone, now_s)
    yield user_line(answers, settings.user_id, settings.org_id)
    yield lookup_line(answers.listed, answers.got)
    if answers.census.total:
        silent = answers.census.silent
        yield from flow_lines(answers.census, said(silent) if silent else "not asked")
