"""P22: a run cannot be operated by two processes."""

import os
from pathlib import Path
import signal
import stat
import subprocess
import sys

import pytest

from bulk_trigger.errors import RunRefused
from bulk_trigger.runlock import RunLock, holder_of

_HOLD = """
import sys
from pathlib import Path
from bulk_trigger.runlock import RunLock
RunLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def hold(directory: Path) -> "subprocess.Popen[str]":
    """Let another process hold the lock until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD + "# the lock must not be collected\n", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    """F95, P22."""
    with hold(tmp_path) as other:
        holder = holder_of(tmp_path)
        with pytest.raises(RunRefused, match=rf"in use by process {other.pid} on .*status"):
            RunLock(tmp_path).acquire()
        other.communicate()

    assert holder is not None
    assert holder.pid == other.pid
    assert holder_of(tmp_path) is None


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    """F96, P22: a crash does not lock anybody out."""
    with hold(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()

        with RunLock(tmp_path):
            holder = holder_of(tmp_path)
    assert holder is not None
    assert holder.pid == os.getpid()


def test_looking_at_the_lock_does_not_take_it(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        assert holder_of(tmp_path) is not None
        assert holder_of(tmp_path) is not None
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path):
        pass


def test_looking_at_a_directory_without_a_run_leaves_no_trace(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    assert holder_of(tmp_path / "nothing") is None
    assert list(tmp_path.iterdir()) == []


def test_the_lock_makes_a_private_run_directory(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    with RunLock(run):
        assert stat.S_IMODE(run.stat().st_mode) == 0o700
        assert stat.S_IMODE((run / "run.lock").stat().st_mode) == 0o600


def test_a_lock_file_that_is_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "run.lock").symlink_to(victim)

    with pytest.raises(RunRefused, match="cannot be used as a run directory"):
        RunLock(tmp_path).acquire()
    assert victim.read_text() == "mine"


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")

    with pytest.raises(RunRefused, match="cannot be used as a run directory"):
        RunLock(tmp_path / "run").acquire()


def test_releasing_twice_is_harmless(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    lock.acquire()
    lock.release()
    lock.release()
