"""A command that asks the gateway and triggers nothing: its calls, in an event loop of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import anyio

from ..calls import Calls
from ..cells import clean
from ..gateway import Credentials
from ..launch import reach
from ..ports import Catalogue
from ..settings import Settings
from .console import Console
from .secrets import read_secrets

_T = TypeVar("_T")
Questions = Callable[[Calls, Catalogue], Awaitable[_T]]


def ask(settings: Settings, console: Console, questions: Questions[_T]) -> _T:
    """Ask, and give what came of it. Raises `SettingsError`, `GatewayError` and what `questions` raises."""
    credentials = None if settings.is_sandbox else Credentials(*read_secrets(console.warn))
    with TemporaryDirectory(prefix="bulk-trigger-ask-") as place:
        return anyio.run(
            _ask,
            settings,
            Path(place),
            credentials,
            console,
            questions,
            backend_options={"use_uvloop": os.name != "nt"},
        )


async def _ask(
    settings: Settings,
    place: Path,
    credentials: Credentials | None,
    console: Console,
    questions: Questions[_T],
) -> _T:
    def notice(text: str) -> None:
        console.tell("notice", f"note: {clean(text)}")

    async with reach(settings, place, credentials) as gateway:
        try:
            return await questions(Calls(gateway, settings, notice=notice), gateway)
        finally:
            with anyio.CancelScope(shield=True):
                await gateway.aclose()
