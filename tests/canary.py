"""Canaries: credentials that are recognised wherever they turn up, in any dress (P28).

Every credential of the tests begins with one of `STEMS`. After each test, whatever it left in its directory,
said, or heard from a child process is searched for them (`conftest`); so every test is one about secrets.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
import os
from pathlib import Path
import subprocess
from typing import Any

import pytest

STEMS = (b"canary-", b"sandbox-app-", b"sandbox-token-")
#: Files in which the credentials of a user may stand: his own.
OWN = {"secret", "app-key", "app-secret"}
#: The one command that tells credentials, because they open nothing but itself.
TELLS = "sandbox"


def dresses(secret: bytes) -> dict[str, bytes]:
    """What a secret may look like, by encoding: as far as it does not depend on what stands beside it."""
    percent = "".join(f"%{byte:02X}" for byte in secret).encode()
    shapes = {
        "raw": secret,
        "percent": percent,
        "percent, lower": percent.lower(),
        "hex": secret.hex().encode(),
        "hex, upper": secret.hex().upper().encode(),
        "utf-16": secret.decode().encode("utf-16-le"),
    }
    for before in range(3):
        first, last = (0, 2, 3)[before], (before + len(secret)) * 8 // 6
        shapes[f"base64, {before} before"] = base64.b64encode(bytes(before) + secret)[first:last]
    return shapes


NEEDLES = {(stem, name): shape for stem in STEMS for name, shape in dresses(stem).items()}


def found_in(content: bytes) -> list[str]:
    """Which canaries are in there, and how they are dressed."""
    return [f"{stem.decode()} ({name})" for (stem, name), needle in NEEDLES.items() if needle in content]


def found_below(directory: Path) -> Iterator[str]:
    """All canaries in the names and the contents of the files below a directory."""
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            yield from (f"the name of {path}: {what}" for what in found_in(os.fsencode(name)))
            if name not in OWN and path.is_file() and not path.is_symlink():
                yield from (f"{path}: {what}" for what in found_in(_content(path)))


def found_after(item: pytest.Item, report: pytest.TestReport) -> Iterator[str]:
    """All canaries that a test left in its directory, or printed."""
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if directory is not None:
        yield from found_below(directory)
    for name, said in report.sections:
        yield from (f"{name}: {what}" for what in found_in(said.encode()))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # a test took the permission away, or the file
        return b""


class Ear:
    """Hears what child processes say to whoever waits for their end."""

    def __init__(self) -> None:
        self._heard: list[tuple[str, bytes]] = []

    def listen(self) -> None:
        """From now on, to all of them."""
        subprocess.Popen.communicate = self._overhear(subprocess.Popen.communicate)  # type: ignore[method-assign]
        own = asyncio.subprocess.Process
        own.communicate = self._overhear_async(own.communicate)  # type: ignore[method-assign]

    def forget(self) -> Iterator[str]:
        """Give the canaries in what was heard since the last time."""
        heard, self._heard = self._heard, []
        for who, said in heard:
            yield from (f"the output of {who}: {what}" for what in found_in(said))

    def _hear(self, who: object, outputs: Iterable[str | bytes | None]) -> None:
        command = [str(word) for word in who] if isinstance(who, (list, tuple)) else [str(who)]
        if TELLS in command[:4]:
            return
        for said in outputs:
            if said:
                self._heard.append((" ".join(command), said.encode() if isinstance(said, str) else said))

    def _overhear(self, communicate: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(communicate)
        def listening(process: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = communicate(process, *args, **kwargs)
            self._hear(process.args, outputs)
            return outputs

        return listening

    def _overhear_async(self, communicate: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(communicate)
        async def listening(process: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = await communicate(process, *args, **kwargs)
            self._hear(f"process {process.pid}", outputs)
            return outputs

        return listening
