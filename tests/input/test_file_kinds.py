"""What else can stand where a job list is expected (F118): pipes, links, directories, files that change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
import gzip
import hashlib
import os
from pathlib import Path
import socket
import sqlite3
import subprocess
import sys
import threading

from command import Place
from corpus_text import LINES, TWO
from entries import HEAD, T
import pytest

import bulk_trigger
from bulk_trigger import InputError, Settings
from bulk_trigger.launch import create
from bulk_trigger.model import BadRow, Row
from bulk_trigger.reader import JobList
from bulk_trigger.sandbox import Ledger

QUICK = ("--sandbox", "--rate", "none", "--no-progress", "--run-dir", "run")
BOTH = {(3377, T): 1, (3378, T): 1}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes of this kind")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def effects(place: Place) -> dict[tuple[int, int], int]:
    """What the sandbox of the run was asked to do."""
    return dict(Ledger.read(place.directory / "run" / "ledger.jsonl").effects_by_job)


@contextmanager
def fifo(path: Path, content: bytes) -> Iterator[str]:
    """A named pipe, and somebody who writes into it once."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    try:
        yield path.name
    finally:
        writer.join()


@pytest.mark.parametrize(
    ("name", "content"),
    [("jobs.csv", TWO), ("jobs.csv.gz", gzip.compress(TWO, mtime=0)), ("jobs.jsonl", LINES)],
    ids=["CSV", "gzip", "JSON lines"],
)
def test_a_named_pipe_is_read_once_and_run(name: str, content: bytes, place: Place) -> None:
    """F118, P22: the journal holds what the pipe gave, so nothing has to be read a second time."""
    with fifo(place.directory / name, content) as jobs:
        done = place.call("run", jobs, *QUICK)

    assert done.returncode == 0, done.stderr
    assert effects(place) == BOTH


def test_a_named_pipe_can_be_checked(place: Place) -> None:
    """F118: a check may have to read twice; bad rows are told with their lines."""
    with fifo(place.directory / "jobs.csv", TWO + b"x,1\n") as jobs:
        done = place.call("check", jobs)

    assert done.returncode == 2
    assert "jobs.csv:4: flowId: 'x' is not a flow ID" in done.stderr


def test_a_pipe_that_is_bad_is_refused_like_a_file(place: Place) -> None:
    with fifo(place.directory / "jobs.csv", TWO[:-3]) as jobs:
        done = place.call("run", jobs, *QUICK)

    assert done.returncode == 2
    assert "jobs.csv:3: the file seems cut off" in done.stderr
    assert not (place.directory / "run").exists()


@pytest.mark.parametrize("content", [TWO, gzip.compress(TWO, mtime=0)], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_by_either_name(name: str, content: bytes, place: Place) -> None:
    """F118: also where it is a pipe, which has no length and cannot be read twice."""
    done = pipe_into(place, content, "run", name, "--format", "csv", *QUICK)

    assert done.returncode == 0, done.stderr
    assert effects(place) == BOTH


def pipe_into(place: Place, content: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Call the program with this on standard input, through a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "bulk_trigger", *arguments],
        cwd=place.directory,
        env=place._environment({}),
        input=content,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_link_is_followed_and_its_own_name_tells_the_format(place: Place) -> None:
    """F118."""
    (place.directory / "data").write_bytes(TWO)
    (place.directory / "jobs.csv").symlink_to("data")

    assert place.call("run", "jobs.csv", *QUICK).returncode == 0
    assert effects(place) == BOTH


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.csv", "there is no such file"),
        ("folder.csv", "is a directory"),
        ("dangling.csv", "there is no such file"),
        ("loop.csv", "there is no such file"),
        ("socket.csv", "cannot be opened"),
        ("empty.csv", "is empty"),
        ("jobs", "the format cannot be told by the name"),
        ("", "is a directory"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_what_is_no_list_is_refused_in_words(command: str, name: str, says: str, place: Place) -> None:
    """F118, P24."""
    here = place.directory
    (here / "folder.csv").mkdir()
    (here / "dangling.csv").symlink_to("nowhere.csv")
    (here / "loop.csv").symlink_to("loop.csv")
    (here / "empty.csv").symlink_to("/dev/null")
    (here / "jobs").write_bytes(TWO)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        os.chdir(here)
        listener.bind("socket.csv")
        done = place.call(command, name, *(QUICK if command == "run" else ()))

    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert not (here / "run").exists()


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(place: Place) -> None:
    (place.directory / "jobs.csv").write_bytes(TWO)
    (place.directory / "jobs.csv").chmod(0)

    done = place.call("run", "jobs.csv", *QUICK)

    assert (done.returncode, "cannot be opened" in done.stderr) == (2, True)


def test_a_file_that_grows_while_it_is_read_is_known_by_what_was_read(tmp_path: Path) -> None:
    """F118, P22: the hash is that of the rows in the journal, whatever became of the file."""
    path = tmp_path / "jobs.csv"
    rows = b"".join(b"%d,%d\n" % (flow, T) for flow in range(1, 60_001))
    path.write_bytes(HEAD + rows)

    class Growing(JobList):
        def __iter__(self) -> Iterator[Row | BadRow]:
            for row in super().__iter__():
                if row.row == 1:
                    with path.open("ab") as file:
                        file.write(b"77777,%d\n" % T)
                yield row

    jobs = Growing(path)
    with create(jobs, tmp_path / "run", Settings(gateway="sandbox")) as opened:
        header = opened.header

    content = path.read_bytes()
    assert header.input.size == len(content)
    assert header.input.sha256 == hashlib.sha256(content).hexdigest()
    assert header.rows == 60_001


def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """F118, P24: the part that was read is not taken for the list."""
    path = tmp_path / "jobs.csv"
    path.write_bytes(HEAD + b"".join(b"%d,%d\n" % (flow, T) for flow in range(1, 60_001)))

    class Shrinking(JobList):
        def __iter__(self) -> Iterator[Row | BadRow]:
            for row in super().__iter__():
                if row.row == 1:
                    os.truncate(path, 600_005)
                yield row

    with pytest.raises(InputError, match="cut off"):
        create(Shrinking(path), tmp_path / "run", Settings(gateway="sandbox"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("change", ["edited", "deleted", "replaced by a link to another list"])
def test_a_resumed_run_sends_its_own_rows_whatever_became_of_the_file(change: str, place: Place) -> None:
    """F118, P22: a run never reads its list again, so it cannot be resumed against another one."""
    path, other = place.directory / "jobs.csv", place.directory / "other.csv"
    path.write_bytes(TWO)
    other.write_bytes(HEAD + b"99,%d\n" % T)
    create(JobList(path), place.directory / "run", Settings(gateway="sandbox", rates=())).close()
    path.unlink()
    if change == "edited":
        path.write_bytes(TWO + b"99,%d\n" % T)
    elif change.startswith("replaced"):
        path.symlink_to(other)

    done = place.call("resume", "run", "--no-progress")

    assert done.returncode == 0, done.stderr
    assert effects(place) == BOTH


def test_a_run_of_a_changed_file_is_another_run(place: Place) -> None:
    """F118, P22: what is the same list is told by its bytes, not by its name."""
    path = place.directory / "jobs.csv"
    path.write_bytes(TWO)
    assert place.call("run", "jobs.csv", *QUICK).returncode == 0
    (place.directory / "copy.csv").write_bytes(TWO)
    path.write_bytes(TWO + b"99,%d\n" % T)
    again = [*QUICK[:-1], "run2"]

    same = place.call("run", "copy.csv", *again)
    other = place.call("run", "jobs.csv", *again)

    assert (same.returncode, "is a run of the same job list" in same.stderr) == (2, True)
    assert other.returncode == 0, other.stderr


def test_many_long_rows_do_not_fill_the_memory(tmp_path: Path) -> None:
    """P26, F112: two hundred rows of a megabyte each pass through import and results."""
    done = subprocess.run(
        [sys.executable, "-c", _LONG_ROWS, str(tmp_path)],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": f"{Path(bulk_trigger.__file__).parents[1]}"},
    )

    with closing(sqlite3.connect(tmp_path / "run" / "journal.db")) as journal:
        assert journal.execute("SELECT count(*), min(length(extra)) FROM jobs").fetchone() == (200, 10**6)
    assert int(done.stdout) < 256 * 2**20


_LONG_ROWS = """
import resource, sys
from pathlib import Path
from bulk_trigger import Settings
from bulk_trigger.launch import create
from bulk_trigger.reader import JobList
from bulk_trigger.results import write_results

class LongRows:
    rest, rows = b"flowId,triggerTime,note\\n", 0
    def read(self, size):
        while len(self.rest) < size and self.rows < 200:
            self.rows += 1
            note = b"x" * (1_000_000 - len(b'{"note":""}'))
            self.rest += b"%d,1574385824000,%s\\n" % (self.rows, note)
        part, self.rest = self.rest[:size], self.rest[size:]
        return part

def peak():
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

place = Path(sys.argv[1])
with create(JobList(LongRows(), format="csv"), place / "run", Settings(gateway="sandbox")) as opened:
    write_results(opened.journal.outcomes(), opened.header, [place / "results.csv", place / "results.jsonl"])
print(peak())
"""
