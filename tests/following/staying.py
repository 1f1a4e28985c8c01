"""A sandbox that stays while several commands are called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import json
import time

from command import PATIENCE_S, Place

from bulk_trigger.sandbox import Ledger


@contextmanager
def gateway(place: Place, scenario: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """A sandbox that stays: the flags and the environment with which it is reached."""
    place.write("s.toml", scenario)
    with place.start("sandbox", "--ledger", "ledger.jsonl", "--scenario", "s.toml") as sandbox:
        assert sandbox.stdout is not None
        card = json.loads(sandbox.stdout.readline())
        flags = ["--gateway", card["url"], "--org-id", card["orgId"], "--user-id", card["userId"]]
        secrets = {"BULK_TRIGGER_APP_KEY": card["appKey"], "BULK_TRIGGER_APP_SECRET": card["appSecret"]}
        yield [*flags, "--rate", "100/s", "--run-dir", "r"], secrets


def calls_made(place: Place, api: str) -> int:
    return sum(call.api == api for call in Ledger.read(place.directory / "ledger.jsonl").calls)


def wait_for_calls(place: Place, api: str, count: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while calls_made(place, api) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
