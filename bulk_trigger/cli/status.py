"""`status`: where a run stands, seen from another terminal. It never touches the journal of a running run."""

from __future__ import annotations

import json
from pathlib import Path
import time
from typing import Any

import click

from .console import Console
from .help import Command, flag, path
from .options import JSON
from .standing import look

_EVERY_S = 1.0


@click.command(cls=Command)
@click.argument("run_dir", type=path(file_okay=False))
@flag("Output", "-f", "--follow", is_flag=True, help="Go on until the run has ended; Ctrl-C only leaves.")
@JSON
@click.pass_context
def status(ctx: click.Context, /, run_dir: Path, follow: bool, **flags: Any) -> int:
    r"""Say where a run stands.

    It reads what the run writes about once a second, so it may be used at any time. The exit code is 0
    whatever the state of the run is.

    \b
      bulk-trigger status runs/jobs-20261123T100000Z --follow
    """
    console = ctx.ensure_object(Console)
    shown = ""
    while True:
        standing = look(run_dir)
        text = json.dumps(standing.facts(), ensure_ascii=False) if flags["json"] else standing.in_words()
        if text != shown:
            console.out(text)
            shown = text
        if not follow or not standing.is_live:
            return 0
        time.sleep(_EVERY_S)
