"""`plan`: makes a job list."""

from __future__ import annotations

from typing import Any

import click

from .console import Console
from .help import FROM_ENVIRONMENT, Command
from .plan_flags import PLAN


@click.command(cls=Command, context_settings=FROM_ENVIRONMENT)
@PLAN
@click.pass_context
def plan(ctx: click.Context, /, **_: Any) -> int:
    r"""Make a job list: from a schedule, or of what is missing or failed.

    Flows, a range of which the end is no part, and a cadence; nothing is triggered. What is said
    about the list goes to standard error, so the list itself can go down a pipe.

    \b
      bulk-trigger plan --flow 3377 --from 2024-03-01 --to 2024-04-01 --every 1h -o march.csv
      bulk-trigger plan --flows flows.txt --from 2024-03-01 --duration 31d --timezone Asia/Shanghai \
          --cron '0 5 * * *' -o march.csv

    \b
    After an outage: what never ran, and what ended badly.
      bulk-trigger plan --missing --flows flows.txt --cron-from-flow --from 2024-03-11 --to 2024-03-12 ...
      bulk-trigger plan --failed --from 2024-03-11T22:00+08:00 --duration 10h -o failed.csv --gateway ...

    Exit codes: 0 the list is written; 2 the call is wrong; 4 the gateway cannot be asked, or what it lists
    contradicts itself. Then there is no list: a shorter one would lose rows.
    """
    from .planned import make_plan  # noqa: PLC0415 - the engine, which --help does without

    return make_plan(ctx, ctx.ensure_object(Console))
