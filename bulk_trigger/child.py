"""The sandbox as a child process: the target of `run --sandbox`.

Its ledger lies in the run directory, so a resumed run meets the same instances again. It ends when its
standard input closes, and so with us, however we end. It has a session of its own: a Ctrl-C is ours alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
import json
import os
from pathlib import Path
import subprocess
import sys

import anyio
import anyio.abc
import msgspec

from .errors import GatewayError
from .files import write_whole
from .gateway import Credentials
from .settings import Settings

LEDGER = "ledger.jsonl"
LOG = "sandbox.log"  #: its complaints, if it has any
SECRETS = "BULK_TRIGGER_APP_"  #: how the variables begin that hold credentials: they are none of its business
_START_S = 30.0
_END_S = 5.0


@asynccontextmanager
async def sandbox_process(settings: Settings, directory: Path) -> AsyncIterator[tuple[Settings, Credentials]]:
    """Run the sandbox; gives the settings with its address and IDs, and its credentials.

    Raises `GatewayError` when it does not start.
    """
    scenario = directory / "scenario.toml"
    write_whole(scenario, settings.scenario.encode())
    command = [sys.executable, "-m", "bulk_trigger", "sandbox", "--until-stdin-closes"]
    command += ["--port", "0", "--seed", str(settings.seed), "--ledger", str(directory / LEDGER)]
    if settings.durability == "process":
        command.append("--no-sync")
    command += ["--scenario", str(scenario)]
    log = directory / LOG
    log.touch(0o600)  # its owner's alone from its first moment
    with log.open("wb") as told:
        process = await anyio.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith(SECRETS)},
        )
    async with process:
        try:
            card = await _card(process, log)
            here = msgspec.structs.replace(
                settings, gateway=card["url"], user_id=card["userId"], org_id=card["orgId"]
            )
            yield here, Credentials(card["appKey"], card["appSecret"])
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)


async def _card(process: anyio.abc.Process, log: Path) -> dict[str, str]:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    line = b""
    with anyio.move_on_after(_START_S):
        with suppress(anyio.EndOfStream):
            while not line.endswith(b"\n"):
                line += await process.stdout.receive()
        if line:
            card: dict[str, str] = json.loads(line)
            return card
    told = await anyio.Path(log).read_text(errors="replace")
    lines = told.strip().splitlines()
    raise GatewayError(f"the sandbox did not start: {lines[-1] if lines else 'no word from it'}")


async def _end(process: anyio.abc.Process) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    with anyio.move_on_after(_END_S):
        await process.wait()
        return
    process.kill()
