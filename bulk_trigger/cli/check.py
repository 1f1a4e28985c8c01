"""`check`: what `run` would do. It reads and imports the list exactly as `run` does, into a place of its own."""

from __future__ import annotations

from collections.abc import Iterator
import io
import json
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from ..cells import iso_time
from ..errors import InputError, SettingsError
from ..quantities import format_duration
from .console import Console
from .forecast import LATENCY_S, forecast
from .options import JSON, RUN, Command

if TYPE_CHECKING:
    from ..header import Header
    from ..settings import Settings


@click.command(cls=Command, context_settings={"auto_envvar_prefix": "BULK_TRIGGER"})
@click.argument("jobs")
@RUN
@JSON
@click.pass_context
def check(ctx: click.Context, jobs: str, **flags: Any) -> int:
    r"""Say what `run` would do; send nothing.

    Takes the flags of `run`. The exit code is 0 if `run` would start, else 2.

    \b
      bulk-trigger check jobs.csv --rate 50/s
    """
    return tell_check(ctx, jobs, as_json=flags["json"])


def tell_check(ctx: click.Context, jobs: str, *, as_json: bool) -> int:
    """Check and print; returns the exit code."""
    console = ctx.ensure_object(Console)
    try:
        facts = examine(ctx, jobs)
    except (InputError, SettingsError) as error:
        if not as_json:
            raise
        facts = {"ok": False, "problem": str(error)}
    console.out(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else _in_words(jobs, facts))
    return 0 if facts["ok"] else InputError.exit_code


def examine(ctx: click.Context, jobs: str) -> dict[str, Any]:
    """Give what there is to say about a job list. Raises `InputError` if it is damaged as a whole."""
    from .merge import settings_of  # noqa: PLC0415 - --help does without

    settings = settings_of(ctx, sends=False)
    stdin = io.BytesIO(sys.stdin.buffer.read()) if jobs == "-" else None
    with TemporaryDirectory(prefix="bulk-trigger-check-") as place:
        attempt = _Attempt(jobs, ctx.params["format"], stdin, Path(place))
        facts = attempt.count(settings)
        try:
            attempt.as_run_would(settings)
        except InputError as error:
            facts |= {"ok": False, "problem": str(error)}
    return facts


class _Attempt:
    """Imports one job list into a place where nothing can be sent from."""

    def __init__(self, jobs: str, form: Any, stdin: io.BytesIO | None, place: Path) -> None:
        self._jobs = jobs
        self._form = form
        self._stdin = stdin
        self._place = place

    def as_run_would(self, settings: Settings) -> None:
        """Import as `run` does. Raises the `InputError` that `run` would."""
        self._import(settings, "strict")

    def count(self, settings: Settings) -> dict[str, Any]:
        """Import whatever can be, and count it."""
        import msgspec  # noqa: PLC0415
        return {}
