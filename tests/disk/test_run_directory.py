"""What others do to a run directory: moved, deleted, looked into, fought over, or damaged."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
import json
import os
from pathlib import Path
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from typing import Any

from journals import T0, create, intent, job_rows, success
import pytest
from running import Rig, after, hourly, interrupt, rig
from traced import outcome, start, write_jobs

import bulk_trigger
from bulk_trigger.errors import JournalError, RunRefused
from bulk_trigger.header import JOURNAL
from bulk_trigger.journal import Journal, filesystem
from bulk_trigger.launch import create as create_run
from bulk_trigger.launch import reopen
from bulk_trigger.model import State
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Run
from bulk_trigger.settings import Durability

JOBS = hourly(120, flows=10)
PAGE = 4096
SLOW = '[latency]\nshape = "constant"\nmedian_ms = 20\n'


# --- the directory


def move_away(here: Rig) -> None:
    here.directory.rename(here.folder / "elsewhere")


def delete(here: Rig) -> None:
    shutil.rmtree(here.directory)


def replace_by_an_empty_one(here: Rig) -> None:
    move_away(here)
    here.directory.mkdir()


@pytest.mark.parametrize("act", [move_away, delete, replace_by_an_empty_one])
async def test_a_run_whose_directory_is_taken_away_stops(tmp_path: Path, act: Callable[[Rig], None]) -> None:
    """F93, P21: no commit counts that no resume could find; with the directory back, each job once."""
    effects_then = 0

    def strike(_: Run) -> None:
        nonlocal effects_then
        act(here)
        effects_then = len(here.sandbox.ledger.effects)

    async with rig(tmp_path, SLOW) as here:
        ending = await here.trigger(JOBS, watch=after(30, strike))
        assert ending.exit_code == 4
        assert "was moved or deleted" in ending.reason
        in_flight = here.settings().in_flight
        assert effects_then <= len(here.verdict(JOBS).sends) <= effects_then + 2 * in_flight < len(JOBS)
        here.verdict(JOBS).assert_none_twice()
        if act is not delete:
            here.directory = here.folder / "elsewhere"
            assert (await here.resume()).exit_code == 0
            here.assert_proven(JOBS).assert_each_once()


async def test_the_same_list_in_another_directory_is_refused_unless_the_user_insists(tmp_path: Path) -> None:
    """F98, P22."""
    async with rig(tmp_path) as here:
        await here.trigger(JOBS[:5])
        second = tmp_path / "second"
        with pytest.raises(RunRefused, match="is a run of the same job list"):
            create_run(JobTuples(JOBS[:5]), second, here.settings())
        assert not second.exists()
        create_run(JobTuples(JOBS[:5]), second, here.settings(), again=True).close()
        assert len(here.verdict(JOBS).sends) == 5


def test_a_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F94: as if the filesystem of this machine were one."""
    monkeypatch.setattr(filesystem, "_REMOTE", frozenset({filesystem.filesystem_of(tmp_path)}))

    with pytest.raises(JournalError, match="is on a network filesystem"):
        create(tmp_path, job_rows(1))
    assert list(tmp_path.iterdir()) == []


# --- the lock


async def start_many(here: Rig, starters: int) -> list[int]:
    """Let many processes begin the run at once; gives their exit codes."""
    card = here.sandbox.credentials
    task = {
        "starters": starters,
        "directory": str(here.directory),
        "jobs": JOBS,
        "settings": here.target,
        "credentials": [card["appKey"], card["appSecret"]],
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("starters.py")),
        json.dumps(task),
        env={**os.environ, "PYTHONPATH": str(Path(bulk_trigger.__file__).parents[1])},
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await asyncio.wait_for(process.communicate(), 60)
    codes: list[int] = json.loads(told)
    return codes


async def test_of_twenty_that_begin_a_run_at_once_one_does(tmp_path: Path) -> None:
    """F95, P22: half of them with `run`, half with `resume`; then once more with the run interrupted."""
    async with rig(tmp_path, SLOW) as here:
        await here.trigger(JOBS, watch=after(20, interrupt))
        for _ in range(2):
            codes = Counter(await start_many(here, 20))
            assert codes.keys() <= {0, 2}
            assert codes[0] >= 1
            assert codes[2] >= 10  # each `run`, at least
        here.assert_proven(JOBS).assert_each_once()


async def test_of_twenty_that_make_a_run_at_once_one_does(tmp_path: Path) -> None:
    """F95, P22: nobody finds a half-made run, and nobody makes a second one."""
    async with rig(tmp_path, SLOW) as here:
        codes = Counter(await start_many(here, 20))
        assert codes.keys() <= {0, 2}
        assert codes[0] >= 1
        here.assert_proven(JOBS).assert_each_once()


async def test_a_stale_lock_does_not_keep_anybody_out(tmp_path: Path) -> None:
    """F96, P22: its text names a process that lives, on this machine; but nobody holds it."""
    async with rig(tmp_path) as here:
        await here.trigger(JOBS, watch=after(20, interrupt))
        lock = here.directory / "run.lock"
        text = json.loads(lock.read_bytes())
        lock.write_text(json.dumps({**text, "pid": os.getppid()}))

        assert (await here.resume()).exit_code == 0
        here.assert_proven(JOBS).assert_each_once()


async def test_a_run_that_is_stopped_keeps_its_lock_and_goes_on(tmp_path: Path) -> None:
    """F97, P22: SIGSTOP, a second process, SIGCONT."""
    async with rig(tmp_path, SLOW) as here:
        process = await start(here, write_jobs(tmp_path / "jobs.csv", JOBS))
        while len(here.sandbox.ledger.effects) < 30:  # noqa: ASYNC110 - another process makes them
            await asyncio.sleep(0.005)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(RunRefused, match=f"in use by process {process.pid}"):
            reopen(here.directory)
        process.send_signal(signal.SIGCONT)

        code, _ = await outcome(process)
        assert code == 0
        here.assert_proven(JOBS).assert_each_once()


async def test_whoever_looks_into_a_running_journal_is_turned_away(tmp_path: Path) -> None:
    """F99, P22: a database tool and a backup, each a process of its own; the run does not notice."""
    looks: list[subprocess.CompletedProcess[str]] = []

    def look(_: Run) -> None:
        query = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute(sys.argv[2])"
        looks.extend(
            subprocess.run(
                [sys.executable, "-c", query, str(here.directory / JOURNAL), text],
                capture_output=True,
                text=True,
                check=False,
            )
            for text in ("SELECT * FROM jobs", "DELETE FROM notes", "PRAGMA wal_checkpoint(TRUNCATE)")
        )
        shutil.copytree(here.directory, tmp_path / "backup")

    async with rig(tmp_path, SLOW) as here:
        ending = await here.trigger(JOBS, watch=after(30, look))
        assert ending.exit_code == 0
        here.assert_proven(JOBS).assert_each_once()
    assert ["locked" in each.stderr for each in looks] == [True] * 3


# --- the journal


def interrupted_journal(folder: Path, rows: int, **changes: Any) -> None:
    """Leave what a killed run leaves: a journal, its WAL, and the marker."""
    (here := folder / "alive").mkdir(parents=True)
    journal = create(here, job_rows(*range(1, 60)), **changes)
    for row in range(1, rows):
        journal.write([intent(row)], [])
        journal.write([], [success(row)])
    shutil.copytree(here, folder / "run")
    journal.close()


def open_again(folder: Path) -> Journal:
    return Journal.open(folder / "run" / JOURNAL, at_ms=T0 + 10**6, durability=Durability.POWER)


def test_a_copy_of_a_running_journal_with_all_its_files_can_be_resumed(tmp_path: Path) -> None:
    """F91: the counterpart of what follows."""
    interrupted_journal(tmp_path, 30)

    journal = open_again(tmp_path)

    assert journal.counts()[State.SUCCEEDED] == 29
    journal.close()


@pytest.mark.parametrize("rows", [5, 30, 50])
def test_the_wal_of_another_run_is_refused_and_what_is_known_can_be_read(tmp_path: Path, rows: int) -> None:
    """F91, P6: of a run of the same list, which came less far, or further."""
    interrupted_journal(tmp_path / "ours", 30)
    interrupted_journal(tmp_path / "theirs", rows, seed=1)
    wal = tmp_path / "ours" / "run" / f"{JOURNAL}-wal"
    own = wal.read_bytes()
    shutil.copy(tmp_path / "theirs" / "run" / wal.name, wal)

    for _ in range(2):
        with pytest.raises(JournalError, match="does not belong to this journal"):
            open_again(tmp_path / "ours")
    wal.rename(wal.with_name("away"))
    with pytest.raises(JournalError, match="-wal is missing"):
        open_again(tmp_path / "ours")
    reading = Journal.read(tmp_path / "ours" / "run" / JOURNAL)
    assert len(list(reading.outcomes())) == 59
    reading.close()
    wal.write_bytes(own)
    journal = open_again(tmp_path / "ours")
    assert journal.counts()[State.SUCCEEDED] == 29
    journal.close()


def is_refused(path: Path) -> bool:
    """Whether a journal is refused in words; any other error is a traceback for somebody."""
    try:
        Journal.open(path, at_ms=T0 + 10**6, durability=Durability.POWER).close()
    except (JournalError, RunRefused):
        return True
    return False


def test_a_journal_whose_pages_are_damaged_is_not_used(tmp_path: Path) -> None:
    """F91, P21: each page in turn is wiped out, is noise, has flipped bits, or is some other page."""
    journal = create(tmp_path, job_rows(*(n % 7 + 1 for n in range(400))))
    for row in range(1, 200):
        journal.write([intent(row)], [])
        journal.write([], [success(row)])
    journal.close()
    path, whole = tmp_path / JOURNAL, (tmp_path / JOURNAL).read_bytes()
    pages = [whole[at : at + PAGE] for at in range(0, len(whole), PAGE)]
    noise = random.Random(1).randbytes(PAGE)

    used, misplaced = [], 0
    for number, page in enumerate(pages):

        def put(damage: bytes, number: int = number) -> bool:
            path.write_bytes(b"".join([*pages[:number], damage, *pages[number + 1 :]]))
            return is_refused(path)

        damages = {"wiped": bytes(PAGE), "noise": noise, "flipped": bytes(byte ^ 0xFF for byte in page)}
        used += [(number, what) for what, damage in damages.items() if not put(damage)]
        misplaced += put(pages[(number + 1) % len(pages)])

    assert used == []
    assert misplaced > len(pages) / 2  # what is sound and unimportant cannot be told


def test_a_journal_that_is_cut_off_anywhere_is_not_used(tmp_path: Path) -> None:
    """F91, P21: at each page boundary, and inside a page; one of no length at all too."""
    create(tmp_path, job_rows(*range(1, 400))).close()
    path, whole = tmp_path / JOURNAL, (tmp_path / JOURNAL).read_bytes()

    for length in range(0, len(whole), PAGE // 2):
        path.write_bytes(whole[:length])
        assert is_refused(path), length


@pytest.mark.parametrize("table", ["header", "fence", "jobs", "flows", "intents"])
def test_a_journal_with_an_empty_page_in_place_of_a_full_one_is_not_used(tmp_path: Path, table: str) -> None:
    """F91, P6: without its intents a run would send them again; a missing step only leaves a doubt."""
    journal = create(tmp_path, job_rows(1, 2, 3))
    journal.write([intent(1), intent(2)], [])
    journal.write([], [success(1)])
    journal.close()
    path = tmp_path / JOURNAL
    connection = sqlite3.connect(path)
    roots = dict(connection.execute("SELECT name, rootpage - 1 FROM sqlite_schema WHERE type = 'table'"))
    connection.close()
    data = bytearray(path.read_bytes())
    empty = data[roots["reruns"] * PAGE :][:PAGE]
    data[roots[table] * PAGE : (roots[table] + 1) * PAGE] = empty
    path.write_bytes(data)

    assert is_refused(path)


def test_a_wal_that_is_damaged_before_its_last_commit_is_refused(tmp_path: Path) -> None:
    """F91, P6: for SQLite it ends at the damage, and what was sent after that would be sent again."""
    interrupted_journal(tmp_path, 30)
    wal = tmp_path / "run" / f"{JOURNAL}-wal"
    whole, alive = wal.read_bytes(), tmp_path / "sound"
    shutil.copytree(tmp_path / "run", alive)
    dice = random.Random(1)
    refused = 0

    for _ in range(60):
        shutil.rmtree(tmp_path / "run")
        shutil.copytree(alive, tmp_path / "run")
        at = dice.randrange(len(whole))
        wal.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :])
        if is_refused(tmp_path / "run" / JOURNAL):
            refused += 1
            assert is_refused(tmp_path / "run" / JOURNAL)  # the look has changed nothing
            Journal.read(tmp_path / "run" / JOURNAL).close()
        else:
            assert at < 32 or at > len(whole) - 3 * PAGE  # the head, and what the power may have cut off

    assert refused > 50
