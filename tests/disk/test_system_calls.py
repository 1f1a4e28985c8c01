"""What the real program asks of the kernel, in which order, and what it does when a call goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
import json
from pathlib import Path
import random
import signal
import sqlite3
from typing import NamedTuple

from oracle import JobKey, read_results
import pytest
from running import Rig, hourly, rig
from traced import Call, needs_strace, read_log, trace, write_jobs

from bulk_trigger.header import JOURNAL

pytestmark = needs_strace

JOBS = hourly(40, flows=6)
CALM = """
    [latency]
    shape = "uniform"
    low_ms = 1
    high_ms = 20
"""
TROUBLE = f"""
    {CALM}
    [[faults]]
    kind = "code"
    code = 62109
    when = "after"
    rate = 0.1
    [[faults]]
    kind = "code"
    code = 62109
    rate = 0.1
"""


# --- the order of calls


class Disk:
    """The files of a trace, as they would be after a power cut at any moment of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cached: dict[str, bytearray] = {}
        self._synced: dict[str, bytes] = {}
        self._syncing: dict[int, bytes] = {}
        self._known: Counter[JobKey] | None = None

    def see(self, call: Call) -> None:
        match call.name:
            case "pwrite64" if call.begins:
                content, at = self._cached.setdefault(call.place, bytearray()), call.numbers[-1]
                content.extend(bytes(max(at - len(content), 0)))
                content[at : at + len(call.texts[0])] = call.texts[0]
            case "ftruncate" if call.begins:
                del self._cached.setdefault(call.place, bytearray())[call.numbers[-1] :]
            case "rename" if call.begins:
                old, new = (text.decode() for text in call.texts)
                for files in (self._cached, self._synced):
                    if old in files:
                        files[new] = files.pop(old)  # type: ignore[assignment]  # each its own kind
            case "unlink" if call.begins:
                self._cached.pop(call.texts[0].decode(), None)
            case "fsync" | "fdatasync":
                if call.begins:
                    self._syncing[call.thread] = bytes(self._cached.get(call.place, b""))
                if call.ends:
                    self._synced[call.place] = self._syncing[call.thread]
                    self._known = None
            case _:
                pass

    def intents(self) -> Counter[JobKey]:
        """What the synced part of the journal tells of sends, read with SQLite."""
        if self._known is None:
            for path, content in self._synced.items():
                if Path(path).name in {JOURNAL, f"{JOURNAL}-wal"}:
                    (self._folder / Path(path).name).write_bytes(content)
            connection = sqlite3.connect(self._folder / JOURNAL)
            query = "SELECT flow_id, trigger_time_ms FROM intents JOIN jobs USING (row)"
            self._known = Counter(connection.execute(query).fetchall())
            connection.close()
        return self._known


def unannounced_sends(log: Path, folder: Path) -> tuple[int, list[JobKey]]:
    """How many sends there were, and those whose intents were not on disk when their first byte left."""
    disk, sends, unannounced = Disk(folder), Counter[JobKey](), []
    for call in read_log(log):
        disk.see(call)
        for job in _triggered(call):
            sends[job] += 1
            if disk.intents()[job] < sends[job]:
                unannounced.append(job)
    return sends.total(), unannounced


def _triggered(call: Call) -> Iterator[JobKey]:
    if call.begins and call.place.startswith("socket:"):
        for text in call.texts:
            if text.startswith(b"POST ") and b"action=trigger" in text.partition(b"\r\n")[0]:
                body = json.loads(text.partition(b"\r\n\r\n")[2])
                yield body["flowId"], body["triggerTime"]


async def test_an_intent_is_synced_before_the_first_byte_of_its_send_leaves(tmp_path: Path) -> None:
    """P20, F51: first sends and retries: what is on disk at that moment is read back with SQLite."""
    async with rig(tmp_path, TROUBLE) as here:
        code, _ = await trace(here, write_jobs(tmp_path / "jobs.csv", JOBS), tmp_path / "log")
        here.verdict(JOBS).assert_each_once()
        requests = len(here.verdict(JOBS).sends)
    (tmp_path / "disk").mkdir()

    sends, unannounced = unannounced_sends(tmp_path / "log", tmp_path / "disk")

    assert code == 0
    assert sends == requests > len(JOBS)
    assert unannounced == []


async def test_without_the_sync_that_proof_fails(tmp_path: Path) -> None:
    """P20, decision 19: `--durability process` sends what is not on disk: the proof above can tell."""
    async with rig(tmp_path) as here:
        jobs = write_jobs(tmp_path / "jobs.csv", JOBS)
        code, _ = await trace(here, jobs, tmp_path / "log", "--durability", "process")
    (tmp_path / "disk").mkdir()

    sends, unannounced = unannounced_sends(tmp_path / "log", tmp_path / "disk")

    assert (code, sends) == (0, len(JOBS))
    assert len(unannounced) == len(JOBS)


# --- calls that go wrong


class Fault(NamedTuple):
    """Calls that go wrong: which, how, and from their nth on or only then (as `strace` counts them)."""

    calls: str
    how: str
    when: str
    exit_code: int = 4
    about: str = ""  #: only calls about that file, in the run directory


FAULTS = {
    "F87 the sync of a commit fails": Fault("fdatasync", "error=EIO", "12"),
    "F87 every sync fails from then on": Fault("fdatasync", "error=EIO", "9+"),
    "F88 the sync of the run directory fails": Fault("fsync", "error=EIO", "1", about="."),
    "F88 it fails when the marker is there": Fault("fsync", "error=EIO", "3", about="."),
    "F84 F89 the disk is full": Fault("pwrite64", "error=ENOSPC", "30+"),
    "F89 a write fails": Fault("pwrite64", "error=EIO", "45"),
    "F89 writes are interrupted": Fault("pwrite64", "error=EINTR", "5+9", exit_code=0),
    "F100 every sync takes a tenth of a second": Fault("fdatasync", "delay_exit=100000", "1+", exit_code=0),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_call_goes_wrong_and_each_job_still_runs_exactly_once(tmp_path: Path, fault: Fault) -> None:
    """P7, P21: the program stops with clear words, or it does not matter; a resume does the rest."""
    async with rig(tmp_path, CALM) as here:
        jobs = write_jobs(tmp_path / "jobs.csv", JOBS)
        here.directory.mkdir()
        code, words = await trace(
            here,
            jobs,
            tmp_path / "log",
            faults=[f"{fault.calls}:{fault.how}:when={fault.when}"],
            only=here.directory / fault.about if fault.about else None,
        )
        sent = len(here.verdict(JOBS).sends)
        assert "INJECTED" in (tmp_path / "log").read_text() or fault.exit_code == 0
        assert (code, "Traceback" in words) == (fault.exit_code, False), words
        if code:
            assert any(text in words for text in ("the disk", "Input/output error")), words
            assert sent < len(JOBS)
            await go_on(here)
        here.assert_proven(JOBS).assert_each_once()


async def go_on(here: Rig) -> None:
    """What an operator does: `resume` if there is a run, else `run`."""
    ending = await (here.resume() if (here.directory / JOURNAL).exists() else here.trigger(JOBS))
    assert ending.exit_code == 0


async def test_killed_at_any_system_call_each_job_still_runs_exactly_once(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """F73, P7, P23: SIGKILL in the middle of a write, a sync, a rename, a send."""
    struck: Counter[str] = Counter()
    most = {"pwrite64": 60, "fdatasync": 18, "rename": 6, "write": 36}
    for seed in range(max(len(most), request.config.getoption("kills") // 10)):
        dice = random.Random(seed)
        name = list(most)[seed % len(most)]
        (folder := tmp_path / str(seed)).mkdir()
        async with rig(folder, CALM, seed=seed) as here:
            fault = f"{name}:signal=KILL:when={dice.randint(1, most[name])}"
            jobs = write_jobs(folder / "jobs.csv", JOBS)
            code, _ = await trace(here, jobs, folder / "log", faults=[fault])
            assert code in {0, -signal.SIGKILL}, fault
            if code:
                struck[name] += 1
            for path in here.directory.glob("results.csv"):
                assert len(read_results(path)) == len(JOBS)
            if code:
                await go_on(here)
            here.assert_proven(JOBS).assert_each_once()
    assert struck.keys() == most.keys()
