"""`resume`: go on where a run stopped, or run again what the named states hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SettingsError
from ..files import check_target
from ..model import ENDINGS, RERUN, State
from ..recap import counted, headline, resume_command
from .console import Console
from .help import FROM_ENVIRONMENT, Command, flag, path, together
from .options import DISPLAY, OUTPUT, WAIT
from .pace import PACE_ANEW
from .run import describe
from .secrets import read_secrets

if TYPE_CHECKING:
    from ..launch import Opened

_DIRECTORY = click.argument("run_dir", type=path(file_okay=False))


@click.command(cls=Command, context_settings=FROM_ENVIRONMENT)
@_DIRECTORY
@together(
    flag(
        "Output",
        "--rerun",
        metavar="STATES",
        allow_from_autoenv=False,
        help="Run again what is failed, skipped or unknown (separated by commas). "
        "Rows that are unknown are looked up first, always.",
    ),
    OUTPUT,
    PACE_ANEW,
    WAIT,
    DISPLAY,
)
@click.pass_context
def resume(ctx: click.Context, /, run_dir: Path, **flags: Any) -> int:
    r"""Go on with a run that stopped, or run some of its rows again.

    Settings, job list and target are those of the run; what is listed below may be given anew. Rows whose
    last attempt had no answer are looked up before anything is sent for them.

    \b
      bulk-trigger resume runs/jobs-20261123T100000Z
      bulk-trigger resume runs/jobs-20261123T100000Z --rerun unknown
    """
    from ..launch import look_into, reopen  # noqa: PLC0415 - the engine, which --help does without
    from .awaiting import check_wait, wait_after  # noqa: PLC0415 - as above
    from .lines import print_results  # noqa: PLC0415 - as above
    from .merge import changes_of, output_files  # noqa: PLC0415 - as above
    from .session import Session  # noqa: PLC0415 - as above

    console = ctx.ensure_object(Console)
    check_wait(ctx)
    outputs, stream = output_files(flags["output"])
    rerun = _states(flags["rerun"])
    for output in outputs:
        check_target(output, force=flags["force"])
    with look_into(run_dir) as finished:
        work = _work(finished, rerun)
        if not work:
            if stream:
                print_results(finished.journal.outcomes())
            code = _nothing_to_do(finished, outputs, console)
        elif not finished.settings.is_sandbox:
            read_secrets(lambda _: None)  # without them, no session should begin
    changes = changes_of(ctx)
    if not work:
        return wait_after(code, run_dir, console, flags, changes=changes, outputs=outputs)
    with reopen(run_dir, changes, rerun=rerun) as opened:
        left = sum(count for state, count in opened.journal.counts().items() if state not in ENDINGS)
        console.tell(
            "start",
            f"{describe(opened.header, opened.settings)}; {counted(left, 'row')} left\n"
            f"  if it stops: {resume_command(run_dir, outputs)}",
            runDir=str(run_dir),
            rows=opened.header.rows,
            left=left,
        )
        session = Session(opened, console, outputs=outputs, stream=stream, progress=not flags["no_progress"])
        code = session.carry_out()
    return wait_after(code, run_dir, console, flags, changes=changes, outputs=outputs)


def _states(text: str | None) -> tuple[State, ...]:
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    for word in words:
        if word not in list(RERUN):
            raise SettingsError(f"--rerun {word!r}: only {', '.join(RERUN)} can be run again")
    return tuple(State(word) for word in dict.fromkeys(words))


def _work(opened: Opened, rerun: tuple[State, ...]) -> int:
    """How many rows there are to do."""
    counts = opened.journal.counts()
    return sum(count for state, count in counts.items() if state not in ENDINGS or state in rerun)


def _nothing_to_do(opened: Opened, outputs: list[Path], console: Console) -> int:
    """Every row has ended; what is missing of the results is written."""
    from ..launch import export  # noqa: PLC0415 - as above
    from ..run import exit_code_of  # noqa: PLC0415 - as above

    summary = export(opened, outputs)
    console.tell("summary", f"nothing to do; {headline(summary)}", always=True, summary=summary)
    return exit_code_of(opened.journal.counts(), opened.journal.benign_skips())
