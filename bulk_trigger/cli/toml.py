"""`bulk-trigger.toml`: the flags of `run` under their long names, at the top or in a table [run].

    gateway = "https://apim-..."
    rate = ["50/s", "100000/d"]

Values are read as if they had been typed, so a mistake is told in the same words.
"""

from __future__ import annotations

from pathlib import Path
import tomllib
from typing import Any

import click

from ..errors import SettingsError
from .secrets import WHY_NOT

USUAL = Path("bulk-trigger.toml")
TABLE = "run"
_SECRETS = {"app_key", "app_secret"}
_FLAGS_ONLY = {"new", "force", "dry_run", "rows", "config", "help", "json", "verbose"}


def use_config(ctx: click.Context, _: click.Parameter, config: Path | None) -> None:
    """Make a settings file the source of what was neither typed nor set in the environment."""
    path = config or (USUAL if USUAL.is_file() else None)
    if path is None:
        return
    ctx.meta["config"] = str(path)
    ctx.default_map = _by_parameter(read_config(path), ctx, path)


def read_config(path: Path) -> dict[str, Any]:
    """Give the keys of a settings file, dashes as underscores. Raises `SettingsError`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"--config {path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None
    table = content.pop(TABLE, {})
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: {TABLE!r} is a table; write [{TABLE}]")
    keys: dict[str, Any] = {}
    for key, value in [*content.items(), *table.items()]:
        name = key.replace("-", "_")
        if name in keys:
            raise SettingsError(f"{path}: {key!r} is set twice; keep one of them")
        keys[name] = value
    return keys


def _by_parameter(keys: dict[str, Any], ctx: click.Context, path: Path) -> dict[str, Any]:
    """Give the values by the parameters' names; an unknown key is refused with the known ones.

    Another command than `run` takes what it shares with it, and nothing that is for one call only.
    """
    known = _options(_command_run(ctx) or ctx.command)
    shared = {name: option for name, option in _options(ctx.command).items() if option.allow_from_autoenv}
    allowed = sorted(name.replace("_", "-") for name in known.keys() - _SECRETS - _FLAGS_ONLY)
    values: dict[str, Any] = {}
    for name, value in keys.items():
        if name in _SECRETS:
            raise SettingsError(f"{path}: no place for {name.replace('_', '-')!r}: {WHY_NOT}")
        if name in _FLAGS_ONLY and name in known:
            raise SettingsError(f"{path}: {name.replace('_', '-')!r} is for one call only; give it as a flag")
        if name.replace("_", "-") not in allowed:
            raise SettingsError(f"{path}: unknown key {name!r}; allowed: {', '.join(allowed)}")
        if option := shared.get(name):
            assert option.name is not None  # noqa: S101 - every option has one
            values[option.name] = _as_typed(value, option, f"{path}: {name}")
    return values


def _options(command: click.Command) -> dict[str, click.Option]:
    return {_long_name(option): option for option in command.params if isinstance(option, click.Option)}


def _command_run(ctx: click.Context) -> click.Command | None:
    """The command whose flags the file holds."""
    root = ctx.find_root().command
    return root.get_command(ctx, TABLE) if isinstance(root, click.Group) else None


def _long_name(option: click.Option) -> str:
    return max(option.opts, key=len).removeprefix("--").replace("-", "_")


def _as_typed(value: Any, option: click.Option, place: str) -> Any:
    if option.multiple:
        return [_text(item, place) for item in (value if isinstance(value, list) else [value])]
    return value if isinstance(value, bool) and option.is_flag else _text(value, place)


def _text(value: Any, place: str) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise SettingsError(f"{place}: a text or a number is expected, not {value!r}")
