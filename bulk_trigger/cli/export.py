"""`export`: the results again, whole or partial, from the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import SettingsError
from ..files import check_target
from ..recap import counted
from .console import Console
from .help import Command, path
from .options import OUTPUT


@click.command(cls=Command)
@click.argument("run_dir", type=path(file_okay=False))
@OUTPUT
@click.pass_context
def export(ctx: click.Context, /, run_dir: Path, **flags: Any) -> int:
    r"""Write the results of a run again, whole or partial.

    Rows that have not ended are written with the state in which they are. A run that is running holds its
    journal alone: `run -o -` shows that one.

    \b
      bulk-trigger export runs/jobs-20261123T100000Z -o results.jsonl
    """
    from ..launch import look_into  # noqa: PLC0415 - the engine, which --help does without
    from ..results import write_results  # noqa: PLC0415 - as above
    from ..sightings import read_sightings  # noqa: PLC0415 - as above
    from .lines import print_results  # noqa: PLC0415 - as above
    from .merge import STDIN, output_files  # noqa: PLC0415 - as above

    console = ctx.ensure_object(Console)
    places = ["standard output" if output == STDIN else output for output in flags["output"]]
    files, stream = output_files(flags["output"])
    if not files and not stream:
        raise SettingsError("export needs -o FILE, or `-o -` for JSONL on standard output")
    for file in files:
        check_target(file, force=flags["force"])
    with look_into(run_dir) as opened:
        sightings = read_sightings(run_dir)
        if files:
            write_results(opened.journal.outcomes(), opened.header, files, sightings=sightings)
        if stream:
            print_results(opened.journal.outcomes(), sightings)
        console.tell("exported", f"{counted(opened.header.rows, 'row')} to {', '.join(places)}")
    return 0
