"""The corpus through the real program, with the sandbox's ledger as the witness of what was sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
import json
from pathlib import Path
import random
import socket
import subprocess

from command import Place
from corpus import CORPUS, mixed_list
from corpus_values import VALUES
from entries import Bad, Entry, Good
from oracle import read_results
import pytest
from running import Rig, rig

from bulk_trigger.cli import main

SEED, SAMPLE = 1, 12
#: Lists of values differ in little but one text: every fourth of them will do.
REFUSED = [
    entry for n, entry in enumerate(CORPUS) if not entry.is_sent and (n % 4 == 0 or entry not in VALUES)
]
AT_ONCE = 2


def flags_of(entry: Entry) -> tuple[str, ...]:
    return ("--time-unit", entry.unit, *(("--timezone", entry.zone) if entry.zone else ()))


def target_of(here: Rig) -> tuple[str, ...]:
    target = here.target
    return ("--gateway", target["gateway"], "--org-id", target["org_id"], "--user-id", target["user_id"])


def place_of(here: Rig) -> Place:
    card = here.sandbox.credentials
    keys = {"BULK_TRIGGER_APP_KEY": card["appKey"], "BULK_TRIGGER_APP_SECRET": card["appSecret"]}
    return Place(here.folder, keys)


async def calls(place: Place, commands: Iterable[tuple[str, ...]]) -> list[subprocess.CompletedProcess[str]]:
    """Run the commands, two at a time, while the sandbox of this process answers."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def call(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        async with gate:
            return await asyncio.to_thread(place.call, *command)

    return await asyncio.gather(*map(call, commands))


def test_nothing_is_sent_of_a_list_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """P24: each refused list: exit code 2, the place and the reason, no run, and not one call.

    The port that is named belongs to a listener which would show every attempt to reach a gateway.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULK_TRIGGER_APP_KEY", "key")
    monkeypatch.setenv("BULK_TRIGGER_APP_SECRET", "secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        target = ("--gateway", url, "--org-id", "o1", "--user-id", "u1", "--run-dir", "run")
        for entry in REFUSED:
            name = f"jobs.{entry.format}"
            Path(name).write_bytes(entry.make())

            code = main(["run", name, *target, *flags_of(entry)])

            said = capsys.readouterr()
            assert (code, said.out) == (2, ""), entry.name
            assert expected_words(name, entry) in said.err, entry.name
            assert "Traceback" not in said.err
            assert not Path("run").exists(), entry.name
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert len(REFUSED) >= 200


def expected_words(name: str, entry: Entry) -> str:
    if entry.refusal:
        return f"{name}:" if entry.refusal.line is None else f"{name}:{entry.refusal.line}: "
    first = next((row for row in entry.rows if isinstance(row, Bad)), None)
    return f"{name}:{first.line}: " if first else "same flow and UTC minute as row"


async def test_of_a_mixed_list_the_good_rows_are_sent_and_no_other(tmp_path: Path) -> None:
    """P2, P24, P25, F113, F114: of hundreds of values the ledger has the good ones, to the digit."""
    async with rig(tmp_path) as here:
        place = place_of(here)
        good: list[tuple[int, int]] = []
        commands = []
        for form in ("csv", "jsonl"):
            content, rows = mixed_list(form)
            (tmp_path / f"jobs.{form}").write_bytes(content)
            good += [row[:2] for row in rows if isinstance(row, Good)]
            flags = ("--skip-invalid", "--duplicates", "send", "--rate", "none", "--no-progress")
            commands.append(("run", f"jobs.{form}", *target_of(here), *flags, "--run-dir", f"run-{form}"))

        done = await calls(place, commands)

        assert [process.returncode for process in done] == [1, 1], done[0].stderr
    assert len(good) >= 60
    assert Counter(here.verdict([]).effects) == Counter(good)
    for form in ("csv", "jsonl"):
        rows = mixed_list(form)[1]
        results = read_results(tmp_path / f"run-{form}" / "results.csv")
        assert [row["status"] for row in results] == [
            "succeeded" if isinstance(row, Good) else "invalid" for row in rows
        ]


async def test_check_says_what_a_run_would_do(tmp_path: Path) -> None:
    """P24: a sample of all files, drawn with a seed: counts, verdict and exit code of the real program."""
    small = [entry for entry in CORPUS if not entry.is_large]
    entries = random.Random(SEED).sample(small, SAMPLE)
    commands = []
    for number, entry in enumerate(entries):
        name = f"jobs{number}.{entry.format}"
        (tmp_path / name).write_bytes(entry.make())
        commands.append(("check", name, "--json", *flags_of(entry)))

    done = await calls(Place(tmp_path), commands)

    for entry, process in zip(entries, done, strict=True):
        facts = json.loads(process.stdout)
        assert facts["ok"] is entry.is_sent, entry.name
        assert process.returncode == (0 if entry.is_sent else 2)
        if not entry.refusal:
            invalid = sum(isinstance(row, Bad) for row in entry.rows)
            assert (facts["rows"], facts["invalid"]) == (len(entry.rows), invalid)
            assert facts["duplicates"] == entry.duplicates
