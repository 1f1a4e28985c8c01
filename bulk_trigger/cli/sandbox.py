"""`sandbox`: the local gateway, for demos, rehearsals and tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import GatewayError, SettingsError
from .help import Command, flag, path


def _loopback(_: click.Context, __: click.Parameter, host: str) -> str:
    if host == "localhost" or (host.startswith("127.") and host.replace(".", "").isdigit()):
        return host
    raise click.BadParameter("the sandbox knows no secrets and listens to this machine only: 127.0.0.1")


@click.command(cls=Command)
@flag("Place", "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="0: any free one.")
@flag("Place", "--host", default="127.0.0.1", callback=_loopback, help="A loopback address.")
@flag("Place", "--ledger", type=path(), metavar="FILE", help="Keep its record here, and go on with it.")
@flag("Behaviour", "--scenario", type=path(), metavar="FILE", help="What goes wrong, and when (TOML).")
@flag("Behaviour", "--seed", type=int, default=0, metavar="N", help="Of faults and latencies.")
@flag("Other", "--no-sync", is_flag=True, help="Do not sync the ledger: faster, lost in a power cut.")
@flag("Other", "--until-stdin-closes", is_flag=True, help="End with the process at the other end of stdin.")
def sandbox(*, host: str, port: int, ledger: Path | None, scenario: Path | None, **flags: Any) -> int:
    r"""Start a gateway on this machine, to try things on.

    It behaves like the documented one, or as badly as a scenario tells it to, and keeps a record of what it
    was asked and what it did. It is not the real gateway. The first line on standard output says where it is.

    \b
      bulk-trigger sandbox --port 8080 --scenario samples/scenario.toml --seed 1
    """
    from .. import sandbox as package  # noqa: PLC0415 - a web server, which --help does without
    from .announced import Announced  # noqa: PLC0415 - as above

    try:
        behaviour = package.Scenario.load(scenario) if scenario else package.Scenario()
    except package.ScenarioError as error:
        raise SettingsError(f"--scenario {error}") from None
    kind = package.Sandbox if flags["until_stdin_closes"] else Announced
    try:
        record = package.Ledger(ledger, durable=not flags["no_sync"])
        gateway = kind(behaviour, seed=flags["seed"], ledger=record, host=host, port=port)
        package.run(gateway, until_stdin_closes=flags["until_stdin_closes"])
    except OSError as error:
        raise GatewayError(f"the sandbox did not start: {error.strerror or error}") from error
    return 0
