"""`cancel`: stops what a run triggered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .console import Console
from .help import Command, flag, path
from .options import DISPLAY
from .pace import PACE_OF_READS_ANEW


@click.command(cls=Command)
@click.argument("run_dir", type=path(file_okay=False))
@flag("Consent", "-y", "--yes", is_flag=True, allow_from_autoenv=False, help="Do not ask.")
@PACE_OF_READS_ANEW
@DISPLAY
@click.pass_context
def cancel(ctx: click.Context, /, run_dir: Path, **flags: Any) -> int:
    r"""Cancel what a run triggered and has not ended.

    Newest first, within the rate of the run, and never an instance that the run did not create. What became
    of each is in cancelled.csv in the run directory. It asks before it does anything; it may be stopped,
    killed and started again at any time.

    \b
      bulk-trigger cancel runs/jobs-20261123T100000Z

    \b
    Exit codes:
      0   nothing of the run is under way any more    1   some could not be cancelled
      5   of some nobody can tell                     2   not confirmed; nothing was cancelled
      4   the gateway cannot be used                  130, 143   a signal
    """
    from .cancelling import cancel_run  # noqa: PLC0415 - the engine, which --help does without
    from .merge import changes_of  # noqa: PLC0415 - as above

    return cancel_run(
        run_dir,
        ctx.ensure_object(Console),
        changes=changes_of(ctx),
        yes=flags["yes"],
        progress=not flags["no_progress"],
    )
