"""`run`: the main job."""

from __future__ import annotations

from datetime import UTC, datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SettingsError
from ..quantities import format_duration
from ..recap import counted, resume_command, shown
from .console import Console
from .help import FROM_ENVIRONMENT, Command, flag
from .options import RUN
from .secrets import read_secrets

if TYPE_CHECKING:
    from ..header import Header
    from ..settings import Settings

RUNS = Path("runs")
_STEM_MAX = 100


@click.command(cls=Command, context_settings=FROM_ENVIRONMENT)
@click.argument("jobs")
@RUN
@flag("Other", "--dry-run", is_flag=True, allow_from_autoenv=False, help="The same as `check`.")
@click.pass_context
def run(ctx: click.Context, /, jobs: str, **flags: Any) -> int:
    r"""Trigger the flows of a job list.

    JOBS is a CSV file with the columns flowId and triggerTime, or JSONL with the same keys; it may be
    gzipped; `-` is standard input. All of it is checked before the first flow is triggered.

    \b
      bulk-trigger run jobs.csv --sandbox
      bulk-trigger run jobs.csv --gateway https://apim-... --org-id o1 --user-id u1 --rate 50/s --rate 2000/m

    \b
    Exit codes, when every row has ended:
      0   all succeeded, or needed nothing    1   some failed, are invalid, or were skipped
      5   some are unknown: they may have been triggered
    Stopped before that, and `resume` goes on:
      3   --max-failures or --on-failure      4   credentials, gateway or journal unusable
      7   anything else                       130, 143   a signal
    Nothing was sent:
      2   the call, the settings or the job list is wrong
    """
    if flags["dry_run"]:
        from .check import tell_check  # noqa: PLC0415 - not needed otherwise

        return tell_check(ctx, jobs, as_json=False)
    from ..launch import create  # noqa: PLC0415 - the engine, which --help does without
    from .awaiting import check_wait, wait_after  # noqa: PLC0415 - as above
    from .merge import job_list, output_files, settings_of  # noqa: PLC0415 - as above
    from .session import Session  # noqa: PLC0415 - as above

    console = ctx.ensure_object(Console)
    check_wait(ctx)
    settings = settings_of(ctx)
    if not settings.is_sandbox:
        read_secrets(lambda _: None)  # a long import should not end in "no credentials"
    outputs, stream = output_files(flags["output"])
    directory = flags["run_dir"] or _fresh_directory(jobs)
    opened = create(
        job_list(jobs, settings, flags["format"]),
        directory,
        settings,
        outputs=outputs,
        force=flags["force"],
        again=flags["new"],
        name=_as_text(jobs),
    )
    with opened:
        console.tell(
            "start",
            f"{describe(opened.header, settings)}{_from(ctx)}\n"
            f"  if it stops: {resume_command(directory, outputs)}",
            runDir=str(directory),
            rows=opened.header.rows,
        )
        session = Session(opened, console, outputs=outputs, stream=stream, progress=not flags["no_progress"])
        code = session.carry_out()
    return wait_after(code, directory, console, flags, changes={}, outputs=outputs)


def describe(header: Header, settings: Settings) -> str:
    """What is going to be done, in one line."""
    where = "the sandbox" if settings.is_sandbox else f"{settings.gateway}, org {settings.org_id}"
    rates = " and ".join(map(str, settings.rates)) or "any rate"
    return (
        f"{header.input.name}: {counted(header.rows, 'row')} of {counted(header.flows, 'flow')}, "
        f"to {where}, at {rates}, "
        f"{settings.in_flight} in flight, {format_duration(settings.timeout_s)} each at most"
    )


def _from(ctx: click.Context) -> str:
    config = ctx.meta.get("config")
    return f" (settings from {shown(Path(config))})" if config else ""


def _as_text(name: str) -> str:
    """A file's name as text that can be stored: bytes that are no UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def _fresh_directory(jobs: str) -> Path:
    """Make up a directory that does not exist yet."""
    stem = "stdin" if jobs == "-" else Path(_as_text(jobs).removesuffix(".gz")).stem[:_STEM_MAX]
    name = f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for number in range(1, 1000):
        directory = RUNS / (name if number == 1 else f"{name}-{number}")
        if not directory.exists():
            return directory
    raise SettingsError(f"{RUNS / name}-... : too many runs at once; name one with --run-dir")
