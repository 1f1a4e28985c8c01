"""Where it runs: streams that are closed or full, locales without UTF-8; and what a crash leaves behind."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Iterator
import csv
from dataclasses import replace
import os
from pathlib import Path
import resource
import signal
import subprocess
import sys
from urllib.parse import quote

from command import Place
from plots import CALM
import pytest
from scripted import TOKEN, serving, silence
from victims import prove_each_once, victim

import bulk_trigger
from bulk_trigger.sandbox import Ledger

SITES = ["Köln", "Łódź", "東京"]
WITHOUT_UTF_8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


@pytest.fixture
def no_core() -> Iterator[None]:
    """What the system writes of a process that aborts is not ours, and would only be in the way."""
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, limits)


@pytest.mark.parametrize(
    ("redirections", "environment"),
    [
        pytest.param(">&-", {}, id="F123 standard output is closed"),
        pytest.param("<&- >&- 2>&-", {}, id="F123 everything is closed"),
        pytest.param("2>/dev/full", {}, id="F123 the log's disk is full"),
        pytest.param("", WITHOUT_UTF_8, id="F123 the locale has no UTF-8"),
    ],
)
def test_a_run_does_not_depend_on_what_it_prints_to(
    tmp_path: Path, redirections: str, environment: dict[str, str]
) -> None:
    """F123, P1, P5, P23: results and exit code are those of the rows."""
    rows = "".join(f"{flow},1704067200000,{site}\n" for flow, site in enumerate(SITES, 3301))
    (tmp_path / "jobs.csv").write_text(f"flowId,triggerTime,site\n{rows}", encoding="utf-8")
    call = "run jobs.csv --sandbox --rate none --run-dir r -o - -o out.jsonl"

    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m bulk_trigger {call} {redirections}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(bulk_trigger.__file__).parents[1]), **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    results = list(csv.DictReader((tmp_path / "r" / "results.csv").read_text("utf-8").splitlines()))
    assert [(row["status"], row["site"]) for row in results] == [("succeeded", site) for site in SITES]
    assert len(Ledger.read(tmp_path / "r" / "ledger.jsonl").effects) == len(SITES)
    if not redirections:
        assert sorted(done.stdout.splitlines()) == sorted((tmp_path / "out.jsonl").read_bytes().splitlines())


def forms(secrets: Iterable[str]) -> list[bytes]:
    """What secrets may look like."""
    return [
        form
        for secret in secrets
        for raw in [secret.encode()]
        for form in (
            raw,
            quote(secret, safe="").encode(),
            base64.b64encode(raw).rstrip(b"="),
            raw.hex().encode(),
        )
    ]


async def test_a_dump_of_the_interpreter_holds_no_secret(tmp_path: Path, no_core: None) -> None:
    """F127, P28: aborted in the middle of a call, with every secret in memory."""
    key, secret = "canary-key/9f+1", "canary-secret/47+="
    credentials = {"BULK_TRIGGER_APP_KEY": key, "BULK_TRIGGER_APP_SECRET": secret}
    place = Place(tmp_path, {**credentials, "PYTHONFAULTHANDLER": "1"})
    target = ("--org-id", "o", "--user-id", "u", "--run-dir", "r")
    async with serving(silence) as server:
        with place.start("run", place.jobs([(1, 0)]), "-v", "--gateway", server.origin, *target) as process:
            await server.saw(1)
            process.send_signal(signal.SIGABRT)
            _, told = await asyncio.to_thread(process.communicate)

    assert process.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in told
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 3
    for form in forms([key, secret, TOKEN]):
        assert not [text for text in [told.encode(), *written] if form in text]


@pytest.mark.parametrize("name", ["send.before_write", "reply.first_byte"])
async def test_the_report_of_a_bug_holds_no_secret(tmp_path: Path, name: str) -> None:
    """F127, F82, P28: with the traceback, and where the secrets are at hand."""
    async with victim(replace(CALM, flags=("-v",)), tmp_path / "run") as run:
        process = await run.start("--raise", f"{name}:1")
        _, told = await process.communicate()
        secrets = [run.sandbox.credentials["appSecret"], *run.sandbox._tokens._ends]

        assert b"Traceback" in told
        assert b"injected" in told
        assert len(secrets) == 2
        written = [path.read_bytes() for path in run.directory.iterdir()]
        assert not [text for text in [told, *written] for form in forms(secrets) if form in text]

        await run.session()
        prove_each_once(run)
