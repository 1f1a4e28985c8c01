"""The flags of `plan`. Those that say what to plan are typed: no environment or settings file has a say."""

from __future__ import annotations

from functools import partial

import click

from .help import flag as any_flag
from .help import path, together
from .options import CONFIG, DISPLAY, TARGET
from .pace import PACE_OF_READS

_INT64_MAX = 2**63 - 1
flag = partial(any_flag, allow_from_autoenv=False)

FLOWS = together(
    flag(
        "Flows",
        "--flow",
        type=click.IntRange(1, _INT64_MAX),
        multiple=True,
        metavar="ID",
        help="Of this flow; repeat it for several.",
    ),
    flag(
        "Flows",
        "--flows",
        type=path(),
        multiple=True,
        metavar="FILE",
        help="Of these: one ID per line, or CSV with a column flowId.",
    ),
)

RANGE = together(
    flag(
        "Range",
        "--from",
        "start",
        metavar="WHEN",
        help="The first day or time: 2024-03-01, 2024-03-01T05:00.",
    ),
    flag("Range", "--to", "end", metavar="WHEN", help="The end, which is not part of it."),
    flag("Range", "--duration", "length", metavar="LENGTH", help="Instead of one of these: 31d, 12h."),
    any_flag(
        "Range",
        "--timezone",
        metavar="NAME",
        help="Of days, and of cron, like Asia/Shanghai.  [default: UTC; with --cron-from-flow the gateway's]",
    ),
    flag(
        "Range",
        "--business-date",
        is_flag=True,
        help="The days are those of the data; what processes them is triggered on the day after.",
    ),
)

RECOVERY = together(
    flag(
        "Recovery",
        "--missing",
        is_flag=True,
        help="Only the times for which the gateway has no instance of the flow.",
    ),
    flag(
        "Recovery",
        "--failed",
        is_flag=True,
        help="The times whose instance ended badly, of these flows or, without any, of all.",
    ),
    flag(
        "Recovery",
        "--status",
        metavar="NAME,...",
        help="What counts as failed: fail, internal-error, timeout, cancel, skip.  [default: all but skip]",
    ),
)

CADENCE = together(
    flag("Cadence", "--every", metavar="DURATION", help="At this distance: 15m, 1h."),
    flag("Cadence", "--cron", metavar="EXPR", help="'0 5 * * *' (Unix), or '0 0 5 * * ?' (Quartz)."),
    flag("Cadence", "--cron-from-flow", is_flag=True, help="As each flow's own schedule says."),
    flag(
        "Cadence",
        "--cron-dialect",
        type=click.Choice(["unix", "quartz"]),
        show_default=False,
        help="[default: recognised by the number of fields]",
    ),
    flag(
        "Cadence",
        "--dst",
        type=click.Choice(["once", "twice", "skip"]),
        default="once",
        help="Times of the day that come twice when the clock is put back: once, or twice. Those that never "
        "come when it is put forward move to the end of the gap; skip leaves them out.",
    ),
)

LIST = together(
    flag(
        "Output",
        "-o",
        "--output",
        "place",
        metavar="FILE",
        default="-",
        help="A .csv or .jsonl file; - is stdout.",
    ),
    flag(
        "Output",
        "--format",
        "form",
        type=click.Choice(["csv", "jsonl"]),
        help="Where the name does not say it.",
    ),
    flag("Output", "--force", is_flag=True, help="Replace a file that exists."),
)

PLAN = together(FLOWS, RANGE, CADENCE, RECOVERY, LIST, TARGET, PACE_OF_READS, CONFIG, DISPLAY)
