"""`check`: what `run` would do.

The list is read and imported exactly as `run` does it, into a temporary place.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from ..errors import InputError, SettingsError
from ..quantities import format_duration
from ..recap import counted
from .console import Console
from .help import FROM_ENVIRONMENT, Command
from .options import JSON, RUN


@click.command(cls=Command, context_settings=FROM_ENVIRONMENT)
@click.argument("jobs")
@JSON
@RUN
@click.pass_context
def check(ctx: click.Context, /, jobs: str, **flags: Any) -> int:
    r"""Say what `run` would do; send nothing.

    Takes the flags of `run`. The exit code is 0 if `run` would accept the job list, else 2.

    \b
      bulk-trigger check jobs.csv --rate 50/s
    """
    return tell_check(ctx, jobs, as_json=flags["json"])


def tell_check(ctx: click.Context, jobs: str, *, as_json: bool) -> int:
    """Check and print; returns the exit code."""
    from .examine import examine  # noqa: PLC0415 - the engine, which --help does without
    from .merge import settings_of  # noqa: PLC0415 - as above

    console = ctx.ensure_object(Console)
    try:
        settings = settings_of(ctx, sends=False)
        with TemporaryDirectory(prefix="bulk-trigger-check-") as place:
            facts = examine(jobs, ctx.params["format"], settings, Path(place))
    except (InputError, SettingsError) as error:
        if not as_json:
            raise
        facts = {"ok": False, "problem": str(error)}
    if as_json:
        console.out(json.dumps({"version": 1, **facts}, indent=2, ensure_ascii=False))
    else:
        console.out("\n".join(_in_words(jobs, facts)))
        if facts["problem"]:
            console.error(facts["problem"])
    return 0 if facts["ok"] else InputError.exit_code


def _in_words(jobs: str, facts: Mapping[str, Any]) -> list[str]:
    longest, estimate = facts["longestFlow"], facts["estimate"]
    lines = [
        f"{jobs}: {counted(facts['rows'], 'row')} of {counted(facts['flows'], 'flow')} ({facts['format']})",
        f"  to send     {facts['toSend']:,}",
        f"  invalid     {facts['invalid']:,}",
        f"  duplicates  {facts['duplicates']:,} (rows of one flow and UTC minute after the first)",
    ]
    if longest:
        lines += [
            f"  longest     flow {longest['flowId']}, {counted(longest['rows'], 'row')}",
            f"  times       {facts['firstTime']} to {facts['lastTime']}",
            f"  takes       {format_duration(estimate['seconds'])} or more: {estimate['decidedBy']}",
            f"              (if a call takes {estimate['assumedLatencyMs']} ms and none has to be repeated)",
        ]
    return lines
