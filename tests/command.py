"""The real command line in a process of its own, and job lists for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import bulk_trigger
from bulk_trigger.sandbox import Ledger, Record

MINUTE_MS = 60_000
FIRST_MS = 1_704_067_200_000
PATIENCE_S = 30.0  #: with a busy machine; no test takes that long unless it fails


@dataclass(frozen=True)
class Place:
    """A directory to work in, with an environment of its own."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def call(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `bulk-trigger` to its end."""
        return subprocess.run(
            _command(arguments),
            cwd=self.directory,
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @contextmanager
    def start(
        self, *arguments: str, stderr: int = subprocess.PIPE, **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Start `bulk-trigger`; it is killed at the end, if it still runs."""
        with subprocess.Popen(
            _command(arguments),
            cwd=self.directory,
            env=self._environment(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("BULK_TRIGGER")}
        ours["PYTHONPATH"] = str(Path(bulk_trigger.__file__).parents[1])
        return {**ours, **self.environment, **more}

    def jobs(self, rows: Iterable[tuple[int, int]], name: str = "jobs.csv") -> str:
        """Write a job list of (flow, minute); returns its name."""
        lines = [f"{flow},{FIRST_MS + minute * MINUTE_MS},site {minute}\n" for flow, minute in rows]
        (self.directory / name).write_text("flowId,triggerTime,site\n" + "".join(lines))
        return name

    def write(self, name: str, text: str) -> str:
        """Write a file; returns its name."""
        (self.directory / name).write_text(text)
        return name


def wait_for_effects(ledger: Path, count: int) -> Record:
    """Wait until the sandbox has started that many flows."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if ledger.exists() and len((record := Ledger.read(ledger)).effects) >= count:
            return record
        time.sleep(0.01)
    raise AssertionError(f"{ledger} never had {count} effects")


def signals_as_usual() -> None:
    """What a test run in the background ignores, its children would ignore as well."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _command(arguments: Iterable[str]) -> list[str]:
    return [sys.executable, "-m", "bulk_trigger", *arguments]
