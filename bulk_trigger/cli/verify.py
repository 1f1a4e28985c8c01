"""`verify`: proves the accounting of a run, from the journal's history to the last byte of the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .console import Console
from .help import Command, path
from .options import JSON


@click.command(cls=Command)
@click.argument("run_dir", type=path(file_okay=False))
@JSON
@click.pass_context
def verify(ctx: click.Context, /, run_dir: Path, **flags: Any) -> int:
    r"""Prove the accounting of a run.

    Plays the recorded history again: every row ended once or is still to be done, each flow was served in
    order and one at a time, and results and summary say what the journal says, byte for byte. It refuses a
    run that is running. The exit code is 0 if all of it holds, else 1.

    \b
      bulk-trigger verify runs/jobs-20261123T100000Z
    """
    from ..launch import look_into  # noqa: PLC0415 - the engine, which --help does without
    from .proof import prove  # noqa: PLC0415 - as above

    console = ctx.ensure_object(Console)
    with look_into(run_dir) as opened:
        proof = prove(opened)
    if flags["json"]:
        console.out(json.dumps(proof.facts(), indent=2, ensure_ascii=False))
    else:
        console.out("\n".join(proof.in_words()))
    return 1 if proof.problems else 0
