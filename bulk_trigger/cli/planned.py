"""From the flags of `plan` to the job list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..calls import Calls
from ..errors import InputError, SettingsError
from ..files import check_target
from ..instances import BAD
from ..planning.cadence import ByCron, Cadence, Dst, every
from ..planning.cron import Dialect, parse_cron
from ..planning.failed import read_statuses
from ..planning.history import History
from ..planning.plan import Plan, Totals, due, in_order, with_business_date
from ..planning.ranges import Range, make_range
from ..planning.recovery import add_failed, keep_missing, until
from ..planning.schedules import Schedule, ask_now, ask_schedule, ask_zone
from ..planning.writing import Format, write_jobs
from ..planning.zones import Zone, open_zone
from ..ports import Catalogue
from .asking import ask
from .console import Console
from .flow_ids import read_flow_ids
from .merge import STDIN, reading_settings_of
from .plan_words import tell_plan

_UTC = "UTC"
_FORMATS: Mapping[str, Format] = {".csv": "csv", ".jsonl": "jsonl"}
_CADENCES = {"every": "--every 1h", "cron": "--cron '0 5 * * *'", "cron_from_flow": "--cron-from-flow"}

Flags = Mapping[str, Any]


def make_plan(ctx: click.Context, console: Console) -> int:
    """Do what the flags say; returns the exit code."""
    flags = ctx.params
    place, form = _place(flags["place"], flags["form"])
    if place:
        check_target(place, force=flags["force"])
    flow_ids = read_flow_ids(flags["flow"], flags["flows"])
    _check_flags(flags, flow_ids)
    asks = any(flags[name] for name in ("cron_from_flow", "missing", "failed"))
    settings = reading_settings_of(ctx, asks=asks)
    if asks:
        console.tell("asking", "asking the gateway")
        plan = ask(settings, console, partial(_ask, flags, flow_ids))
    else:
        zone = open_zone(flags["timezone"] or _UTC)
        plan, _ = _by_schedule(flags, flow_ids, zone, _span(flags, zone), [])
    if flags["business_date"]:
        with_business_date(plan)
    totals = Totals(plan.flow_ids)
    write_jobs(totals.counted(plan.jobs), place, form, plan.columns)
    tell_plan(console, plan, totals, settings, place)
    return 0


def _place(output: str, form: Format | None) -> tuple[Path | None, Format]:
    """Where the list goes (None: standard output), and in which form."""
    if output == STDIN:
        return None, form or "csv"
    by_name = _FORMATS.get(Path(output).suffix)
    if by_name is None and form is None:
        raise SettingsError(f"--output {output}: name a .csv or .jsonl file, or say which with --format")
    if by_name and form not in {None, by_name}:
        raise SettingsError(f"--output {output} and --format {form} contradict each other; drop one of them")
    return Path(output), form or by_name or "csv"


def _check_flags(flags: Flags, flow_ids: Sequence[int]) -> None:
    given = [flag for name, flag in _CADENCES.items() if flags[name]]
    if flags["status"] and not flags["failed"]:
        raise SettingsError("--status says what counts as failed: it needs --failed")
    if flags["failed"] and not flags["missing"]:
        if given:
            raise SettingsError(
                f"--failed goes by the instances that exist, so {given[0].split()[0]} has no meaning; "
                "drop it, or add --missing for the times that have none"
            )
        return
    if not flow_ids:
        raise SettingsError("no flows; name them with --flow 3377, or with --flows FILE")
    if len(given) != 1:
        many = f"only one of {', '.join(given)}" if given else f"one of {', '.join(_CADENCES.values())}"
        raise SettingsError(f"when are the flows due? Give {many}")


def _span(flags: Flags, zone: Zone) -> Range:
    return make_range(
        flags["start"], flags["end"], flags["length"], zone=zone, data_days=flags["business_date"]
    )


async def _ask(flags: Flags, flow_ids: Sequence[int], calls: Calls, gateway: Catalogue) -> Plan:
    statuses = read_statuses(flags["status"]) if flags["status"] else BAD
    from_flow = flags["cron_from_flow"]
    if from_flow and not flags["timezone"]:
        zone = await ask_zone(calls, gateway)
    else:
        zone = open_zone(flags["timezone"] or _UTC)
    span = _span(flags, zone)
    asked = flow_ids if from_flow else ()
    schedules = await calls.ask_all(asked, partial(ask_schedule, calls, gateway))
    if flags["missing"] or not flags["failed"]:
        plan, times_ms = _by_schedule(flags, flow_ids, zone, span, schedules)
    else:
        plan, times_ms = Plan(zone=zone, span=span, jobs=(), flow_ids=flow_ids), {}
    if flags["missing"] or flags["failed"]:
        now_ms = await ask_now(calls, gateway)
        history = await History(calls, gateway).read(flow_ids, until(span, now_ms))
        if flags["missing"]:
            keep_missing(plan, times_ms, history, now_ms)
        if flags["failed"]:
            add_failed(plan, history, statuses)
    return plan


def _by_schedule(
    flags: Flags, flow_ids: Sequence[int], zone: Zone, span: Range, schedules: Sequence[Schedule]
) -> tuple[Plan, dict[int, Sequence[int]]]:
    """Plan every time at which the flows are due; gives those times as well."""
    cadences = _cadences(flags, flow_ids, zone, span, schedules)
    when = due(cadences, span)
    off = [str(schedule.flow_id) for schedule in schedules if not schedule.is_on]
    plan = Plan(
        zone=zone,
        span=span,
        jobs=in_order(when.times_ms),
        flow_ids=flow_ids,
        cadences=list(dict.fromkeys(cadence.describe() for cadence in cadences.values())),
        irregular=when.irregular,
        notes=[f"switched off, and planned all the same: flow {', '.join(off)}"] if off else [],
    )
    return plan, when.times_ms


def _cadences(
    flags: Flags, flow_ids: Sequence[int], zone: Zone, span: Range, schedules: Sequence[Schedule]
) -> dict[int, Cadence]:
    if flags["every"]:
        return dict.fromkeys(flow_ids, every(flags["every"], zone, span))
    dialect = Dialect(flags["cron_dialect"]) if flags["cron_dialect"] else None
    if flags["cron"]:
        return dict.fromkeys(flow_ids, ByCron(parse_cron(flags["cron"], dialect), zone, Dst(flags["dst"])))
    by_freq: dict[str, Cadence] = {}
    for schedule in schedules:
        if schedule.freq not in by_freq:
            try:
                cron = parse_cron(schedule.freq, dialect)
            except SettingsError as error:
                raise InputError(f"the schedule of flow {schedule.flow_id}: {error}") from None
            by_freq[schedule.freq] = ByCron(cron, zone, Dst(flags["dst"]))
    return {schedule.flow_id: by_freq[schedule.freq] for schedule in schedules}
