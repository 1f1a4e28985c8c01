"""What the journal survives, and how it refuses: killed processes, full disks, lost files, second openers."""

from collections.abc import Callable
import os
from pathlib import Path
import signal
import sqlite3
import subprocess
import sys

from journals import T0, create, intent, job_rows, step, success
import pytest

from bulk_trigger.errors import IllegalMove, JournalError
from bulk_trigger.journal import Journal
from bulk_trigger.journal.database import connect, running
from bulk_trigger.journal.words import WORDS
from bulk_trigger.model import State
from bulk_trigger.settings import Durability

HERE = Path(__file__).parent

_WRITER = """
import sys
from pathlib import Path
from journals import create, intent, job_rows, success
journal = create(Path(sys.argv[1]), job_rows(*range(1, 100_001)))
for row in range(1, 100_000):
    journal.write([intent(row)], [success(row - 1)] if row > 1 else [])
    print(row, flush=True)
"""

_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from bulk_trigger.errors import JournalError
from journals import create, intent, job_rows, step
from bulk_trigger.model import State
journal = create(Path(sys.argv[1]), job_rows(*range(1, 5001)))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
acknowledged = 0
try:
    for row in range(1, 5001):
        journal.write([intent(row)], [])
        acknowledged += 1
except JournalError as error:
    first = str(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
refused = 0
for row in (acknowledged + 1, acknowledged + 2):
    try:
        journal.write([intent(row)], [])
    except JournalError:
        refused += 1
journal.close()
print(acknowledged, refused, journal.counts()[State.SENDING], first, sep="|")
"""


_FORGETFUL = """
import sys
from pathlib import Path
from journals import create, intent, job_rows
journal = create(Path(sys.argv[1]), job_rows(1, 2))
journal.write([intent(1)], [])
"""


def run_python(code: str, directory: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )


def open_again(directory: Path) -> Journal:
    return Journal.open(directory / "journal.db", at_ms=T0 + 10**6, durability=Durability.POWER)


def killed(directory: Path, after: int) -> int:
    """Kill a writing process once it has acknowledged `after` rows; returns the last one that it told."""
    with run_python(_WRITER, directory) as writer:
        assert writer.stdout
        for line in writer.stdout:
            if int(line) >= after:
                break
        writer.send_signal(signal.SIGKILL)
        told = [int(line) for line in writer.stdout if line.endswith("\n")]
    return told[-1] if told else after


@pytest.mark.parametrize("after", [1, 300])
def test_everything_acknowledged_is_there_after_a_kill(tmp_path: Path, after: int) -> None:
    """P7, P20: kill -9, then resume; at most the write under way is more than what was acknowledged."""
    last = killed(tmp_path, after)

    journal = open_again(tmp_path)
    counts = journal.counts()

    assert last <= counts[State.SUCCEEDED] + 1 <= last + 1
    assert counts[State.SENDING] == 1
    assert [row.job.row for row in journal.unfinished()] == [counts[State.SUCCEEDED] + 1]
    assert journal.epoch == 2
    assert journal.check() == []
    journal.close()


def test_a_killed_run_can_be_read_before_it_is_resumed(tmp_path: Path) -> None:
    last = killed(tmp_path, 20)

    reading = Journal.read(tmp_path / "journal.db")
    counts = reading.counts()
    reading.close()

    assert counts[State.SUCCEEDED] >= last - 1
    resumed = open_again(tmp_path)
    assert resumed.counts() == counts
    resumed.close()


def test_a_journal_whose_last_commits_were_taken_away_is_not_resumed(tmp_path: Path) -> None:
    """F91, P6: what was sent last is not known any more, so a resume could send it twice."""
    killed(tmp_path, 5)
    (tmp_path / "journal.db-wal").unlink()

    with pytest.raises(JournalError, match="-wal is missing"):
        open_again(tmp_path)
    reading = Journal.read(tmp_path / "journal.db")
    assert "journal.db-wal is missing" in reading.check()[0]
    reading.close()
    with pytest.raises(JournalError, match="-wal is missing"):
        open_again(tmp_path)


def test_a_process_that_ends_without_closing_its_journal_loses_nothing(tmp_path: Path) -> None:
    """P7: SQLite then removes the WAL by itself, which must not look like a lost one."""
    with run_python(_FORGETFUL, tmp_path) as process:
        process.wait()

    journal = open_again(tmp_path)
    assert journal.counts()[State.SENDING] == 1
    journal.close()


def test_the_first_error_of_the_disk_is_the_last_write(tmp_path: Path) -> None:
    """F86, P21: and the journal opens cleanly afterwards."""
    with run_python(_FULL_DISK, tmp_path) as process:
        output, _ = process.communicate()
    acknowledged, refused, sending, text = output.strip().split("|")

    assert 0 < int(acknowledged) < 5000
    assert refused == "2"
    assert sending == acknowledged
    assert "the disk" in text
    journal = open_again(tmp_path)
    assert journal.counts()[State.SENDING] == int(acknowledged)
    assert journal.check() == []
    journal.close()


def test_a_full_database_latches_too(tmp_path: Path) -> None:
    """F84, P21."""
    journal = create(tmp_path, job_rows(*range(1, 2001)))
    connection = journal._database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    with pytest.raises(JournalError, match="the disk is full"):
        journal.write([intent(row) for row in range(1, 2001)], [])
    connection.execute("PRAGMA max_page_count = 1000000").fetchone()
    with pytest.raises(JournalError, match="the disk is full"):
        journal.write([intent(1)], [])
    assert journal.counts()[State.PENDING] == 2000
    journal.close()


def test_a_bug_of_ours_does_not_condemn_the_disk(tmp_path: Path) -> None:
    journal = create(tmp_path, job_rows(1))

    with pytest.raises(IllegalMove):
        journal.write([], [success(1)])
    journal.write([intent(1)], [])

    assert journal.counts()[State.SENDING] == 1
    journal.close()


def test_an_older_session_that_is_still_alive_can_write_no_more(tmp_path: Path) -> None:
    """P22: fencing."""
    journal = create(tmp_path, job_rows(1))
    journal._database._connection.execute("UPDATE fence SET epoch = epoch + 1")

    with pytest.raises(JournalError, match="another process has taken over this run"):
        journal.write([intent(1)], [])
    journal.close()


def test_nobody_else_can_open_a_running_journal(tmp_path: Path) -> None:
    """F99, P22: two connections to one WAL database can corrupt it."""
    journal = create(tmp_path, job_rows(1))
    other = sqlite3.connect(tmp_path / "journal.db", timeout=0)

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT count(*) FROM jobs").fetchone()
    other.close()
    journal.close()


@pytest.mark.parametrize(("durability", "synchronous"), [(Durability.POWER, 2), (Durability.PROCESS, 1)])
def test_the_pragmas_hold(tmp_path: Path, durability: Durability, synchronous: int) -> None:
    """P20: the sync of every commit is what the promise rests on."""
    journal = create(tmp_path, job_rows(1), durability=durability)
    connection = journal._database._connection

    found = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "locking_mode", "mmap_size", "temp_store", "foreign_keys")
    }

    assert found == {
        "journal_mode": "wal",
        "synchronous": synchronous,
        "locking_mode": "exclusive",
        "mmap_size": 0,
        "temp_store": 1,
        "foreign_keys": 1,
    }
    assert not (tmp_path / "journal.db-shm").exists()
    journal.close()


def test_a_pragma_that_sqlite_does_not_follow_is_an_error(tmp_path: Path) -> None:
    """F90: SQLite ignores what it cannot do, without a word."""
    create(tmp_path, job_rows(1)).close()

    with pytest.raises(JournalError, match="SQLite does not accept page_size=8192 here"):
        connect(tmp_path / "journal.db", {**running(Durability.POWER), "page_size": 8192})


def flip_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 6] = bytes(b ^ 0xFF for b in data[4096 * 3 : 4096 * 6])
    path.write_bytes(data)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [flip_pages, cut_in_half])
def test_a_damaged_journal_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """F91, P21."""
    create(tmp_path, job_rows(*range(1, 3000))).close()
    damage(tmp_path / "journal.db")

    with pytest.raises(JournalError, match="damaged"):
        open_again(tmp_path)


def test_every_error_of_sqlite_is_put_into_words() -> None:
    for prefix in WORDS:
        assert hasattr(sqlite3, prefix), prefix


def test_a_run_that_survives_only_its_process_says_so(tmp_path: Path) -> None:
    journal = create(tmp_path, job_rows(1, 2))
    journal.write([intent(1)], [])
    journal.write([], [step(1, State.FAILED)])
    journal.close()
    journal = Journal.open(tmp_path / "journal.db", at_ms=T0 + 10**6, durability=Durability.PROCESS)

    assert [session.durability for session in journal.totals().sessions] == ["power", "process"]
    journal.close()
