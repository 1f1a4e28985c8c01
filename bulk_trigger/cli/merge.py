"""What was typed, set and written → one `Settings`."""

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any, cast

import click
from click.core import ParameterSource

from ..errors import SettingsError
from ..quantities import Rate
from ..reader import Format, JobList
from ..settings import SANDBOX, Duplicates, Durability, On62109, OnFailure, OnUnknown, Order, Settings
from .kinds import read_rates

STDIN = "-"
_RATES = (Rate(20, 1.0),)
_SANDBOX_RATES = (Rate(500, 1.0),)
_RECONCILE_WAIT_S = 75.0
_SANDBOX_RECONCILE_WAIT_S = 1.0
_BY_FLAG = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


def settings_of(ctx: click.Context, *, sends: bool = True) -> Settings:
    """Make the settings of `run`; what is not going to send needs no target. Raises `SettingsError`."""
    flags = ctx.params
    sandbox = _is_sandbox(ctx)
    wait_s = flags["reconcile_wait"]
    if wait_s is None:
        wait_s = _SANDBOX_RECONCILE_WAIT_S if sandbox else _RECONCILE_WAIT_S
    return Settings(
        **_shared(ctx, sends=sends),
        order=Order(flags["order"]),
        retries=flags["retries"],
        on_62109=On62109(flags["on_62109"]),
        on_unknown=OnUnknown(flags["on_unknown"]),
        on_failure=OnFailure(flags["on_failure"]),
        max_failures=flags["max_failures"],
        duplicates=Duplicates(flags["duplicates"]),
        skip_invalid=flags["skip_invalid"],
        timezone=flags["timezone"],
        time_unit=flags["time_unit"],
        rows=flags["rows"],
        drain_s=flags["drain"],
        reconcile_wait_s=wait_s,
        durability=Durability(flags["durability"]),
        baseline=flags["baseline"],
    )


def reading_settings_of(ctx: click.Context, *, asks: bool) -> Settings:
    """Make the settings of a command that triggers nothing; only what `asks` needs a target.

    Raises `SettingsError`.
    """
    return Settings(**_shared(ctx, sends=asks), timezone=ctx.params["timezone"])


def _shared(ctx: click.Context, *, sends: bool) -> dict[str, Any]:
    """What every command that speaks to a gateway has: target, rate and patience."""
    flags = ctx.params
    sandbox = _is_sandbox(ctx)
    target = _sandbox(flags) if sandbox else _gateway(ctx) if sends or flags["gateway"] else _nobody()
    return {
        **target,
        "api": flags["api"],
        "rates": read_rates(flags["rate"]) if flags["rate"] else _SANDBOX_RATES if sandbox else _RATES,
        "in_flight": flags["in_flight"],
        "timeout_s": flags["timeout"],
        "patience_s": flags["patience"],
    }


def changes_of(ctx: click.Context) -> dict[str, Any]:
    """Give what a command about a run was given anew, under the names of the settings.

    Raises `SettingsError`.
    """
    given = {name: value for name, value in ctx.params.items() if value is not None}
    changes = {
        "in_flight": given.get("in_flight"),
        "timeout_s": given.get("timeout"),
        "patience_s": given.get("patience"),
        "reconcile_wait_s": given.get("reconcile_wait"),
        "drain_s": given.get("drain"),
        "durability": Durability(given["durability"]) if "durability" in given else None,
        "rates": read_rates(given["rate"]) if given.get("rate") else None,
    }
    return {name: value for name, value in changes.items() if value is not None}


def job_list(jobs: str, settings: Settings, form: Format | None) -> JobList:
    """Open a job list; `-` is standard input. Raises `SettingsError` or `InputError`."""
    check_job_list(jobs, form)
    return JobList(
        sys.stdin.buffer if jobs == STDIN else Path(jobs),
        format=form,
        timezone=settings.timezone,
        time_unit=settings.time_unit,
        rows=settings.rows,
    )


def check_job_list(jobs: str, form: Format | None) -> None:
    """Refuse what cannot be a job list. Raises `SettingsError`."""
    if jobs == STDIN and form is None:
        raise SettingsError("standard input has no name to tell the format by; pass --format csv or jsonl")
    if jobs != STDIN and (Path(jobs).is_dir() or not Path(jobs).exists()):  # a pipe has a name too
        what = "is a directory" if Path(jobs).is_dir() else "there is no such file"
        raise SettingsError(f"{jobs}: {what}; name a job list (.csv, .jsonl, .gz), or `-`")


def output_files(outputs: tuple[str, ...]) -> tuple[list[Path], bool]:
    """Tell the files of `-o` from standard output."""
    return [Path(output) for output in outputs if output != STDIN], STDIN in outputs


def _is_sandbox(ctx: click.Context) -> bool:
    """Decide between `--sandbox` and `--gateway`: what was said nearest to the call counts."""
    if not ctx.params["sandbox"] or not ctx.params["gateway"]:
        return bool(ctx.params["sandbox"])
    sandbox, gateway = (_BY_FLAG.index(_origin(ctx, name)) for name in ("sandbox", "gateway"))
    if sandbox == gateway:
        raise SettingsError("--gateway and --sandbox exclude each other; give one of them")
    return sandbox < gateway


def _origin(ctx: click.Context, name: str) -> ParameterSource:
    return cast("ParameterSource", ctx.get_parameter_source(name))


def _sandbox(flags: dict[str, Any]) -> dict[str, Any]:
    from ..sandbox import Scenario, ScenarioError  # noqa: PLC0415 - a web server, which --help does without

    scenario = ""
    if path := flags["scenario"]:
        try:
            Scenario.load(path)
            scenario = path.read_text(encoding="utf-8")
        except ScenarioError as error:
            raise SettingsError(f"--scenario {error}") from None
    return {"gateway": SANDBOX, "scenario": scenario, "seed": flags["seed"]}


def _gateway(ctx: click.Context) -> dict[str, Any]:
    flags = ctx.params
    if not flags["gateway"]:
        raise SettingsError(
            "no target; give --gateway https://apim-..., or --sandbox to try it without a gateway"
        )
    for name in ("org_id", "user_id"):
        if not flags[name]:
            raise SettingsError(f"--gateway needs --{name.replace('_', '-')}")
    for name in ("scenario", "seed"):
        if _origin(ctx, name) is ParameterSource.COMMANDLINE:
            raise SettingsError(f"--{name} is for --sandbox; a real gateway does not take it")
    target = {name: flags[name] for name in ("gateway", "org_id", "user_id")}
    return {name: value.rstrip("/") if name == "gateway" else value for name, value in target.items()}


def _nobody() -> dict[str, Any]:
    """A target for what sends nothing."""
    return {"gateway": SANDBOX}
