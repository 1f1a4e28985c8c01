"""What is said about a plan: how many, from when to when, how long it takes, what the clock did to it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
import shlex
from typing import Any

from ..cells import clean, iso_time
from ..planning.cadence import Irregular
from ..planning.plan import Plan, Totals
from ..planning.zones import Zone
from ..quantities import Rate, format_duration
from ..recap import counted
from ..settings import Settings
from .console import Console
from .forecast import forecast

_FLOWS = 10  #: shown of them
_ODD_LINES = 20
_ODD_TIMES = 3  #: of one day, told one by one
_HOUR_S = 3600.0


def tell_plan(console: Console, plan: Plan, totals: Totals, settings: Settings, place: Path | None) -> None:
    """Say it on standard error; standard output may hold the list."""
    lines = list(_in_words(plan, totals, settings, place))
    console.tell("plan", "\n".join(lines), always=True, **facts_of(plan, totals, settings, place))


def facts_of(plan: Plan, totals: Totals, settings: Settings, place: Path | None) -> dict[str, Any]:
    """The same for programs."""
    estimate = forecast(totals.rows, totals.longest, settings.rates, settings.in_flight)
    return {
        "output": str(place) if place else "-",
        "rows": totals.rows,
        "flows": len(totals.per_flow),
        "rowsPerFlow": {str(flow_id): rows for flow_id, rows in totals.per_flow.items()},
        "firstTime": None if totals.first_ms is None else iso_time(totals.first_ms),
        "lastTime": None if totals.last_ms is None else iso_time(totals.last_ms),
        "from": iso_time(plan.span.from_ms),
        "to": iso_time(plan.span.to_ms),
        "timezone": plan.zone.name,
        "cadences": plan.cadences,
        "dst": [
            {
                "wall": each.wall.isoformat(),
                "exists": "twice" if each.exists else "never",
                "planned": [iso_time(ms) for ms in each.planned_ms],
            }
            for each in plan.irregular
        ],
        "rates": [str(rate) for rate in settings.rates],
        "estimate": {"seconds": round(estimate.seconds, 1), "decidedBy": estimate.decided_by},
        "quotas": [
            {"rate": str(rate), "usedUpAfterSeconds": after} for rate, after in _quotas(settings, totals.rows)
        ],
        "notes": plan.notes,
    }


def _in_words(plan: Plan, totals: Totals, settings: Settings, place: Path | None) -> Iterator[str]:
    where = f" -> {place}" if place else ""
    yield f"{counted(totals.rows, 'row')} of {counted(len(totals.per_flow), 'flow')}{where}"
    for cadence in plan.cadences:
        yield f"  cadence  {clean(cadence)}"
    yield f"  range    {_time(plan.zone, plan.span.from_ms)} to before {_time(plan.zone, plan.span.to_ms)}"
    if totals.first_ms is not None and totals.last_ms is not None:
        yield f"  first    {_time(plan.zone, totals.first_ms)}"
        yield f"  last     {_time(plan.zone, totals.last_ms)}"
    yield f"  per flow {_per_flow(totals)}"
    odd = list(_odd_times(plan))
    for line in odd[:_ODD_LINES]:
        yield f"  clock    {line}"
    if len(odd) > _ODD_LINES:
        yield f"           and {len(odd) - _ODD_LINES:,} lines more"
    if totals.rows:
        estimate = forecast(totals.rows, totals.longest, settings.rates, settings.in_flight)
        yield f"  takes    {format_duration(estimate.seconds)} or more: {estimate.decided_by}"
    for rate, after in _quotas(settings, totals.rows):
        if after is None:
            yield f"  quota    {rate} is enough for it"
        else:
            left = counted(totals.rows - rate.count, "row")
            yield f"  quota    {rate} is used up after {format_duration(after)}; {left} have to wait for it"
    for note in plan.notes:
        yield f"  note     {clean(note)}"
    if place and totals.rows:
        yield f"  next     bulk-trigger check {shlex.quote(str(place))}"


def _time(zone: Zone, ms: int) -> str:
    return zone.text(ms // 1000)


def _per_flow(totals: Totals) -> str:
    shown = [f"{flow_id}: {rows:,}" for flow_id, rows in totals.per_flow.most_common(_FLOWS)]
    more = len(totals.per_flow) - len(shown)
    return ", ".join(shown) + (f", and {counted(more, 'flow')} more" if more else "")


def _odd_times(plan: Plan) -> Iterator[str]:
    """What the change of the clock did, day by day: each time, or if there are many, all in one line."""
    for (day, exists), times in groupby(plan.irregular, lambda each: (each.wall.date(), each.exists)):
        group = list(times)
        if len(group) <= _ODD_TIMES:
            yield from (_odd_time(each, plan.zone) for each in group)
            continue
        what = "come twice" if exists else "do not exist"
        planned = len({ms for each in group for ms in each.planned_ms})
        yield (
            f"{day} {group[0].wall:%H:%M} to {group[-1].wall:%H:%M}: {len(group):,} times {what} in "
            f"{plan.zone.name}: {counted(planned, 'time')} planned for them"
        )


def _odd_time(odd: Irregular, zone: Zone) -> str:
    what = "comes twice" if odd.exists else "does not exist"
    done = " and ".join(_time(zone, ms) for ms in odd.planned_ms) or "left out"
    return f"{odd.wall.isoformat(' ')} {what} in {zone.name}: {done}"


def _quotas(settings: Settings, rows: int) -> list[tuple[Rate, float | None]]:
    """The windows of an hour and longer that only count, and when each is used up; None if it never is.

    Seconds from the start, at the pace of the shorter windows. Look-ups count as well, and come on top.
    """
    found: list[tuple[Rate, float | None]] = []
    shorter: list[Rate] = []
    for rate in sorted(settings.rates, key=lambda rate: rate.per_s):
        if shorter and rate.per_s >= _HOUR_S:
            after = forecast(rate.count, 0, shorter, settings.in_flight).seconds
            found.append((rate, round(after, 1) if rows > rate.count else None))
        shorter.append(rate)
    return found
