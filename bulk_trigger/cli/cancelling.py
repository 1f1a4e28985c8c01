"""Cancels the instances of a run: the consent, the work, and the last words of `cancel`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import shlex
import sys
from typing import Any

import click
from msgspec.structs import replace

from ..cells import clean
from ..errors import RunRefused, SettingsError
from ..following.cancelling import CANCELLED, Cancelling, Result, write_cancelled
from ..following.lookout import Lookout
from ..following.targets import targets_in
from ..launch import Opened, look_into
from ..ports import SystemClock
from ..recap import counted, shown
from .console import Console, printable
from .errand import Errand, warn_of_gaps

_NAMED = 5  #: of those that could not be cancelled
_LEFT_WORK = 7


def cancel_run(
    run_dir: Path, console: Console, *, changes: Mapping[str, Any], yes: bool, progress: bool
) -> int:
    """Ask, cancel, write what became of each instance, and say it; returns the exit code."""
    clock = SystemClock()
    with look_into(run_dir) as opened:
        settings = replace(opened.settings, **changes)
        instances = targets_in(opened.journal.outcomes())
        errand = Errand(opened, console, settings, progress=progress)
        warn_of_gaps(opened, console)
        if instances and not yes:
            _ask(opened, len(instances))
        lookout = Lookout(instances, clock=clock, lost_after_s=settings.reconcile_wait_s, thorough=True)
        cancelling = Cancelling(lookout, clock)

        def counts() -> tuple[int, int, Mapping[str, int]]:
            found = cancelling.counts()
            return len(instances), len(instances) - found.get(Result.LEFT, 0), found

        interrupted = None
        try:
            if instances:
                interrupted = errand.carry_out(cancelling.cancel, counts)
        finally:
            write_cancelled(run_dir, instances, cancelling)
        code = interrupted or _exit_code(cancelling.counts())
        _last_words(opened, lookout, cancelling, console, code)
    return code


def _ask(opened: Opened, instances: int) -> None:
    """Raises `SettingsError` if nobody can answer, `RunRefused` if the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SettingsError("cancel asks before it does anything, and there is no terminal; say --yes")
    settings = opened.settings
    where = "the sandbox" if settings.is_sandbox else f"{settings.gateway}, org {settings.org_id}"
    question = (
        f"Cancel what has not ended of the {counted(instances, 'instance')} that "
        f"{shown(opened.directory)} triggered at {where}?"
    )
    if not click.confirm(printable(question), err=True):
        raise RunRefused("nothing was cancelled")


def _exit_code(counts: Mapping[str, int]) -> int:
    if counts.get(Result.LEFT):
        return _LEFT_WORK
    if counts.get(Result.UNKNOWN):
        return 5
    return 1 if counts.get(Result.REFUSED) or counts.get(Result.NAMESAKE) else 0


def _last_words(
    opened: Opened, lookout: Lookout, cancelling: Cancelling, console: Console, code: int
) -> None:
    counts = cancelling.counts()
    told = ", ".join(f"{count:,} {result}" for result, count in counts.items()) or "none"
    lines = [f"{counted(len(lookout.instances), 'instance')}: {told}"]
    done = [(each, cancelling.of(each)) for each in lookout.instances]
    trouble = [pair for pair in done if pair[1].result in {Result.REFUSED, Result.NAMESAKE}]
    for number, (each, why) in enumerate(trouble[:_NAMED]):
        text = f"{clean(each.instance_id)}: {why.result} {clean(why.code)} {clean(why.message)}".rstrip()
        lines.append(f"  {'' if number else 'not done':9} {text}")
    if len(trouble) > _NAMED:
        lines.append(f"  {'':9} ... and {len(trouble) - _NAMED:,} more")
    lines.append(f"  files     {shown(opened.directory / CANCELLED)}")
    if counts.get(Result.LEFT):
        lines.append(f"  next      {shlex.join(['bulk-trigger', 'cancel', str(opened.directory)])}")
    console.tell_end(
        "cancelled",
        lines,
        exitCode=code,
        instances=len(lookout.instances),
        counts=counts,
    )
