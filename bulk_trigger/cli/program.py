"""The door: which commands there are, and what becomes of an error.

A command's module is imported when it is called, so `--version` and `--help` cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
import difflib
from importlib import import_module
import signal
import sys
import traceback
from typing import Any

import click

from ..errors import BulkTriggerError, JournalError
from ..version import VERSION
from .console import Console, open_closed_streams, silence_stdout
from .help import unescaped
from .secrets import redact

#: Commands in the order in which people meet them, with the first line of their help.
COMMANDS = {
    "run": "Trigger the flows of a job list.",
    "resume": "Go on with a run that stopped, or run some of its rows again.",
    "check": "Say what `run` would do; send nothing.",
    "doctor": "Say what would keep `run` from working, before the first send.",
    "plan": "Make a job list: from a schedule, or of what is missing or failed.",
    "follow": "Wait until the instances that a run triggered have ended.",
    "cancel": "Cancel what a run triggered and has not ended.",
    "status": "Say where a run stands.",
    "verify": "Prove the accounting of a run.",
    "export": "Write the results of a run again, whole or partial.",
    "sandbox": "Start a gateway on this machine, to try things on.",
}
_SAFE = "what a run recorded is safe: `bulk-trigger resume` goes on with it"
_BUG = BulkTriggerError.exit_code
_INTERRUPTED = 128 + signal.SIGINT
_PIPE_CLOSED = 141  #: what a shell says of a process that SIGPIPE ended


class Program(click.Group):
    """The commands, imported one by one."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        attributes["help"] = unescaped(attributes.get("help") or "")
        super().__init__(*args, **attributes)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f".{cmd_name}", __package__), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the layout of this package
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that nobody knows is told the nearest one."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Program, name="bulk-trigger", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, message="%(prog)s %(version)s")
def program() -> None:
    r"""Trigger workflows in bulk through the EnOS API gateway.

    Each flow in order, at the rate you allow, once each; after a crash it goes on where it stopped.

    \b
    Try it, without a gateway and without credentials:
      bulk-trigger run samples/jobs.csv --sandbox

    \b
    And in earnest, with BULK_TRIGGER_APP_KEY and BULK_TRIGGER_APP_SECRET set:
      bulk-trigger check jobs.csv
      bulk-trigger run jobs.csv --gateway https://apim-... --org-id ... --user-id ... --rate 20/s
    """


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - one for each sort of end
    """Run the command line; returns the exit code. Never raises for what a user did."""
    open_closed_streams()
    console = Console()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _call(arguments, console)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        console.error(_describe(error))
        return error.exit_code
    except BulkTriggerError as error:
        console.error(redact(str(error)))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        console.tell("interrupted", "interrupted", always=True)
        return _INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return _PIPE_CLOSED
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        console.error(redact(f"{place}{error.strerror or error}\n  {_SAFE}"))
        return JournalError.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: a person reads this, not a debugger
        _tell_bug(error, console)
        return _BUG


def _call(arguments: Sequence[str], console: Console) -> int:
    if not arguments:
        arguments = ["--help"]
    with program.make_context("bulk-trigger", list(arguments), obj=console) as context:
        code: Any = program.invoke(context)
        sys.stdout.flush()
        return int(code or 0)


def _describe(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    text = redact(error.format_message())
    return f"{text}\n  help: {context.command_path} --help" if context else text


def _tell_bug(error: BaseException, console: Console) -> None:
    while isinstance(error, BaseExceptionGroup):  # a task group says nothing of its own
        error = error.exceptions[0]
    if console.verbose:
        console.tell("traceback", redact("".join(traceback.format_exception(error))), always=True)
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"
    console.error(
        redact(
            f"a bug in bulk-trigger: {type(error).__name__}: {error} ({where})\n"
            f"  {_SAFE}; -v shows the traceback"
        )
    )
