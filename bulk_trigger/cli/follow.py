"""`follow`: waits until what a run triggered has finished, and adds to its results how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .console import Console
from .help import Command, path
from .options import DISPLAY, WAIT_TIMEOUT
from .pace import PACE_OF_READS_ANEW


@click.command(cls=Command)
@click.argument("run_dir", type=path(file_okay=False))
@WAIT_TIMEOUT
@PACE_OF_READS_ANEW
@DISPLAY
@click.pass_context
def follow(ctx: click.Context, /, run_dir: Path, **flags: Any) -> int:
    r"""Wait until the instances that a run triggered have ended.

    Adds instanceStatus, startedAt and endedAt to the results: success, fail, internal-error, timeout,
    cancel, skip, or how far an instance is that has not ended. It asks for many instances with one call,
    within the rate of the run, and changes nothing. It may be stopped, killed and started again at any time.

    \b
      bulk-trigger follow runs/jobs-20261123T100000Z --wait-timeout 2h

    \b
    Exit codes:
      0   all succeeded (or were skipped)      1   some failed: fail, internal error, timeout, cancel
      5   of some nobody can tell              7   --wait-timeout came first
      4   the gateway cannot be asked          130, 143   a signal
    """
    from .awaiting import follow_run  # noqa: PLC0415 - the engine, which --help does without
    from .merge import changes_of  # noqa: PLC0415 - as above

    return follow_run(
        run_dir,
        ctx.ensure_object(Console),
        changes=changes_of(ctx),
        timeout_s=flags["wait_timeout"],
        progress=not flags["no_progress"],
    )
