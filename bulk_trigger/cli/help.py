"""Commands and flags: help in sections, and mistakes that say where a value came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

PREFIX = "BULK_TRIGGER"
#: For commands that take their flags from the environment as well (design decision 26).
FROM_ENVIRONMENT = {"auto_envvar_prefix": PREFIX}
_F = TypeVar("_F", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]


class Option(click.Option):
    """A flag that stands in a section of the help."""

    def __init__(self, *args: Any, section: str = "Options", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section


class Command(click.Command):
    """A command whose help has its flags in sections, and whose mistakes say where a value came from."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        attributes["help"] = unescaped(attributes.get("help") or "")
        attributes["context_settings"] = {"show_default": True, **attributes.get("context_settings", {})}
        super().__init__(*args, **attributes)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, section by section in the order of their first flag."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", "Help"), []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; a wrong value that was not typed is told with its source."""
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            if source := _source(ctx, error.param):
                raise click.BadParameter(error.message + source, ctx, error.param) from None
            raise


def _source(ctx: click.Context, parameter: click.Parameter | None) -> str:
    name = (parameter.name if parameter else None) or ""
    match ctx.get_parameter_source(name):
        case click.core.ParameterSource.ENVIRONMENT:
            return f" (from {PREFIX}_{name.upper()} in the environment)"
        case click.core.ParameterSource.DEFAULT_MAP:
            return f" (from {ctx.meta.get('config', 'the settings file')})"
        case _:
            return ""


def together(*decorators: Decorator) -> Callable[[_F], _F]:
    """Make one decorator of several; the help shows them in this order."""

    def decorate(command: _F) -> _F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def flag(section: str, *names: str, **attributes: Any) -> Decorator:
    """A flag in a section of the help."""
    return click.option(*names, cls=Option, section=section, **attributes)


def path(**rules: Any) -> click.Path:
    """A path as a `Path`."""
    return click.Path(path_type=Path, **rules)


def unescaped(text: str) -> str:
    r"""Turn the two characters `\b`, as a raw docstring has them, into click's mark of a block as it is."""
    return text.replace("\\b", "\b")
