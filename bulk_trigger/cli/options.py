"""The flags that commands share: `run`, `check` and `resume` take the same words for the same things.

Precedence: flag, `BULK_TRIGGER_<FLAG>` in the environment, `bulk-trigger.toml`, default. What accepts a
risk for this one call (`--new`, `--force`) is a flag only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from .console import Console
from .help import flag, path, together
from .kinds import DURATION, LIMIT, ROWS
from .pace import PACE
from .secrets import WHY_NOT
from .toml import use_config


def _explain_secret(_: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None:
        raise click.UsageError(f"there is no {parameter.opts[0]}: {WHY_NOT}")


def _on_console(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Set a field of the console, before anything is said."""

    def callback(ctx: click.Context, _: click.Parameter, value: Any) -> Any:
        console = ctx.find_object(Console)
        if console and value:
            setattr(console, name, value == "json" if name == "as_json" else True)
        return value

    return callback


_NO_SECRETS = together(
    *(
        click.option(
            name,
            hidden=True,
            expose_value=False,
            is_eager=True,
            allow_from_autoenv=False,  # there it is where it belongs
            callback=_explain_secret,
        )
        for name in ("--app-key", "--app-secret")
    )
)

CONFIG = together(
    flag(
        "Other",
        "--config",
        type=path(),
        is_eager=True,
        expose_value=False,
        callback=use_config,
        help="Read settings from FILE.  [default: bulk-trigger.toml, if it is here]",
        metavar="FILE",
    ),
    _NO_SECRETS,
)

DISPLAY = together(
    flag(
        "Display",
        "-q",
        "--quiet",
        is_flag=True,
        is_eager=True,
        callback=_on_console("quiet"),
        help="Say only errors and the last line.",
    ),
    flag(
        "Display",
        "-v",
        "--verbose",
        is_flag=True,
        is_eager=True,
        callback=_on_console("verbose"),
        help="Show the traceback of a bug.",
    ),
    flag("Display", "--no-progress", is_flag=True, help="Do not show how far it is."),
    flag(
        "Display",
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        is_eager=True,
        callback=_on_console("as_json"),
        help="json: each line on standard error is an object.",
    ),
)

WAIT_TIMEOUT = flag(
    "Waiting",
    "--wait-timeout",
    type=DURATION,
    metavar="DURATION",
    help="Wait no longer than that for instances to end: 30m, 2h.  [default: until all have ended]",
)
WAIT = together(
    flag(
        "Waiting",
        "--wait",
        is_flag=True,
        help="Wait until the triggered instances have ended, as `follow` does; 1 if some failed.",
    ),
    WAIT_TIMEOUT,
)

JSON = flag("Output", "--json", is_flag=True, help="Print JSON.")


TARGET = together(
    flag("Target", "--gateway", metavar="URL", help="Address of the API gateway."),
    flag("Target", "--org-id", metavar="ID", help="Your organization (OU)."),
    flag("Target", "--user-id", metavar="ID", help="The user in whose name flows are triggered."),
    flag("Target", "--api", type=click.Choice(["v2.0", "v2.1"]), default="v2.0", help="Version of the API."),
    flag("Target", "--sandbox", is_flag=True, help="Use a gateway on this machine that only pretends."),
    flag("Target", "--scenario", type=path(), metavar="FILE", help="How the sandbox behaves (TOML)."),
    flag("Target", "--seed", type=int, default=0, metavar="N", help="Of the sandbox's faults and latencies."),
)

INPUT = together(
    flag(
        "Input",
        "--format",
        type=click.Choice(["csv", "jsonl"]),
        help="Of the job list; needed for standard input.",
    ),
    flag("Input", "--rows", type=ROWS, metavar="FIRST-LAST", help="Take only these rows."),
    flag("Input", "--timezone", metavar="NAME", help="Of times without an offset, like Asia/Shanghai."),
    flag(
        "Input",
        "--time-unit",
        type=click.Choice(["s", "ms", "us", "ns"]),
        default="ms",
        help="Of times that are numbers.",
    ),
    flag("Input", "--skip-invalid", is_flag=True, help="Report rows that cannot be used, send the others."),
    flag(
        "Input",
        "--duplicates",
        type=click.Choice(["refuse", "skip", "send"]),
        default="refuse",
        help="Rows of one flow and UTC minute: they would get the same instance ID.",
    ),
)

POLICY = together(
    flag(
        "Policy",
        "--order",
        type=click.Choice(["input", "time"]),
        default="input",
        help="Of the rows of one flow.",
    ),
    flag(
        "Policy",
        "--retries",
        type=click.IntRange(min=0),
        default=5,
        metavar="N",
        help="Attempts after the first.",
    ),
    flag(
        "Policy",
        "--on-62109",
        type=click.Choice(["reconcile", "retry", "fail"]),
        default="reconcile",
        help="Internal exception: look it up before the retry; or retry blindly, a duplicate may come.",
    ),
    flag(
        "Policy",
        "--on-unknown",
        type=click.Choice(["stop-flow", "continue"]),
        default="stop-flow",
        help="What becomes of a flow after a row whose end is not known.",
    ),
    flag(
        "Policy",
        "--on-failure",
        type=click.Choice(["continue", "stop-flow", "abort"]),
        default="continue",
        help="What a failed row means for the others.",
    ),
    flag("Policy", "--max-failures", type=LIMIT, metavar="N|N%", help="Stop when more rows than that fail."),
    flag("Policy", "--baseline", is_flag=True, help="Look every instance up first, and skip what exists."),
)

OUTPUT = together(
    flag(
        "Output",
        "-o",
        "--output",
        multiple=True,
        metavar="FILE",
        help="Results here as well: .csv or .jsonl; `-` is JSONL on standard output, as rows end.",
    ),
    flag(
        "Output",
        "--force",
        is_flag=True,
        allow_from_autoenv=False,
        help="Replace an output file that exists.",
    ),
)

#: Of `run`, and of `check`, which says what `run` would do. CONFIG stands before what it may set.
RUN = together(
    TARGET,
    INPUT,
    PACE,
    POLICY,
    WAIT,
    OUTPUT,
    flag("Output", "--run-dir", type=path(), metavar="DIR", help="[default: runs/<stem>-<UTC time>]"),
    flag(
        "Output",
        "--new",
        is_flag=True,
        allow_from_autoenv=False,
        help="Trigger it all again, although there is a run of the same job list.",
    ),
    CONFIG,
    DISPLAY,
)
