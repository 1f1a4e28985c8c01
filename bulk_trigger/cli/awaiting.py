"""Waits for the instances of a run: all of `follow`, and the end of `run --wait` and `resume --wait`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
import shlex
from typing import Any

import click
from click.core import ParameterSource
from msgspec.structs import replace

from ..calls import Calls
from ..cells import clean
from ..errors import RunRefused, SettingsError
from ..following.lookout import Lookout
from ..following.targets import targets_in
from ..following.waiting import counts_of, sightings_of, wait_for_end
from ..gateway import HttpGateway
from ..instances import BAD
from ..launch import export, look_into
from ..model import Sighting
from ..ports import SystemClock
from ..recap import counted, shown
from ..sightings import INSTANCES, read_sightings, write_sightings
from .console import Console
from .errand import Errand, warn_of_gaps

_NAMED = 5  #: of those that failed
_LEFT_WORK = 7
_ENDED = (0, 1, 5)  #: exit codes of a run whose rows have all ended


def check_wait(ctx: click.Context) -> None:
    """Refuse a time for a wait that was not asked for. Raises `SettingsError`."""
    typed = ctx.get_parameter_source("wait_timeout") is ParameterSource.COMMANDLINE
    if typed and not ctx.params["wait"]:
        raise SettingsError("--wait-timeout says how long --wait waits; add --wait, or leave it out")


def wait_after(  # noqa: PLR0913 - what it takes from the command that ran
    code: int,
    run_dir: Path,
    console: Console,
    flags: Mapping[str, Any],
    *,
    changes: Mapping[str, Any],
    outputs: Sequence[Path],
) -> int:
    """Follow a run that ended with exit code `code`; gives the exit code of both together."""
    if not flags["wait"] or code not in _ENDED:
        return code
    after = follow_run(
        run_dir,
        console,
        changes=changes,
        timeout_s=flags["wait_timeout"],
        progress=not flags["no_progress"],
        outputs=outputs,
    )
    return max(code, after) if after in _ENDED else after


def follow_run(  # noqa: PLR0913 - what it takes from the command line
    run_dir: Path,
    console: Console,
    *,
    changes: Mapping[str, Any],
    timeout_s: float | None,
    progress: bool,
    outputs: Sequence[Path] = (),
) -> int:
    """Wait, write what was seen, and say it; returns the exit code."""
    clock = SystemClock()
    with look_into(run_dir) as opened:  # not for as long as it waits: one may want to `cancel` meanwhile
        settings = replace(opened.settings, **changes)
        instances = targets_in(opened.journal.outcomes())
        errand = Errand(opened, console, settings, progress=progress)
        console.tell("follow", f"following {counted(len(instances), 'instance')} of {shown(run_dir)}")
        warn_of_gaps(opened, console)
    lookout = Lookout(instances, clock=clock, lost_after_s=settings.reconcile_wait_s)

    async def wait(calls: Calls, gateway: HttpGateway) -> None:
        await wait_for_end(lookout.at(calls, gateway), clock, timeout_s)

    def counts() -> tuple[int, int, Mapping[str, int]]:
        return len(instances), len(instances) - len(lookout.waiting), counts_of(instances)

    try:
        interrupted = errand.carry_out(wait, counts) if instances else None
    finally:
        _write(run_dir, lookout, console, outputs)
    code = interrupted or _exit_code(lookout)
    _last_words(run_dir, lookout, console, code)
    return code


def _write(run_dir: Path, lookout: Lookout, console: Console, outputs: Sequence[Path]) -> None:
    write_sightings(run_dir, _merged(read_sightings(run_dir) or {}, lookout))
    try:
        with look_into(run_dir) as opened:
            export(opened, outputs)
    except RunRefused as error:
        console.warn(f"what was seen is in {INSTANCES}; `follow` again adds it to the results: {error}")


def _merged(before: dict[int, Sighting], lookout: Lookout) -> list[Sighting]:
    """What was seen now, and before what was not seen now."""
    for new in sightings_of(lookout):
        old = before.get(new.row)
        same = old is not None and (old.instance_id, old.status) == (new.instance_id, new.status)
        if not (same and new.started_ms is None):
            before[new.row] = new
    return [before[row] for row in sorted(before)]


def _exit_code(lookout: Lookout) -> int:
    if lookout.waiting:
        return _LEFT_WORK
    if any(each.lost for each in lookout.instances):
        return 5
    return 1 if any(each.status in BAD for each in lookout.instances) else 0


def _last_words(run_dir: Path, lookout: Lookout, console: Console, code: int) -> None:
    instances, waiting = lookout.instances, len(lookout.waiting)
    counts = counts_of(instances)
    told = ", ".join(f"{count:,} {word}" for word, count in counts.items()) or "none"
    what = "not all have ended" if waiting else "all have ended"
    lines = [f"{what}: {counted(len(instances), 'instance')}, {told}"]
    failed = [each for each in instances if each.status in BAD]
    for number, each in enumerate(failed[:_NAMED]):
        rows = ", ".join(str(target.row) for target in each.targets)
        text = f"row {rows}: {clean(each.instance_id)}, {each.word}"
        lines.append(f"  {'' if number else 'failed':9} {text}")
    if len(failed) > _NAMED:
        lines.append(f"  {'':9} ... and {len(failed) - _NAMED:,} more, see instanceStatus in the results")
    if any(each.lost for each in instances):
        lines.append("  unknown   the gateway does not know them, or rows share an ID and ended differently")
    if lookout.zone_s is None and any(each.seen and each.seen.start_time for each in instances):
        lines.append("  times     the zone of the gateway's times is not known, so these columns stay empty")
    results = run_dir / "results.csv"
    lines.append(f"  files     {shown(results)}" if results.exists() else "  files     `export` gives them")
    if waiting:
        lines.append(f"  next      {shlex.join(['bulk-trigger', 'follow', str(run_dir)])}")
    console.tell_end(
        "followed",
        lines,
        exitCode=code,
        instances=len(instances),
        counts=counts,
    )
