"""`doctor`: a page of what would keep `run` from working, with a verdict per line."""

from __future__ import annotations

import json
from typing import Any

import click

from ..errors import GatewayError
from .console import Console
from .help import FROM_ENVIRONMENT, Command
from .options import JSON, RUN


@click.command(cls=Command, context_settings=FROM_ENVIRONMENT)
@click.argument("jobs", required=False)
@JSON
@RUN
@click.pass_context
def doctor(ctx: click.Context, /, jobs: str | None, **flags: Any) -> int:
    r"""Say what would keep `run` from working, before the first send.

    Address, TLS, token, clock, time zone, user and look-ups; with a job list also the list itself, every
    flow in it (one call each, within the rate), and how long it takes. Nothing is triggered. Takes the
    flags of `run`.

    \b
      bulk-trigger doctor --gateway https://apim-... --org-id ... --user-id ...
      bulk-trigger doctor jobs.csv --gateway ... --rate 50/s

    Verdicts: ok; warning, it works but not as one may expect; wrong; not known, it was not found out. The
    exit code is 0 if there are only the first two, else 4; 2 if the call is wrong.
    """
    from ..doctor.page import is_fit  # noqa: PLC0415 - the engine, which --help does without
    from .examination import examine_all  # noqa: PLC0415 - as above
    from .merge import settings_of  # noqa: PLC0415 - as above
    from .page import facts_of, in_words  # noqa: PLC0415 - as above

    console = ctx.ensure_object(Console)
    settings = settings_of(ctx)
    lines = examine_all(jobs, flags["format"], settings, console)
    if flags["json"]:
        console.out(json.dumps(facts_of(lines), indent=2, ensure_ascii=False))
    else:
        console.out("\n".join(in_words(lines)))
    return 0 if is_fit(lines) else GatewayError.exit_code
