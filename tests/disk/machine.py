"""A run of the engine on a disk of our own, and the machine that loses its power while it runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
import os
from pathlib import Path
import shutil
import tempfile
from types import MappingProxyType
from typing import Any

from clock import LoopClock
import msgspec
from oracle import JobKey, read_results
import pytest
from remote import Remote
from store import Store

from bulk_trigger import Ending, Settings
from bulk_trigger.errors import BulkTriggerError, JournalError
from bulk_trigger.header import JOURNAL
from bulk_trigger.launch import Opened, create, look_into, reopen
from bulk_trigger.model import State, predict_instance_id
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Run

virtually = pytest.mark.asyncio(loop_factories=["virtual"])

T0 = 1_704_067_200_000
HOUR = 3_600_000
IN_FLIGHT = 4
_MEMORY = Path("/dev/shm")
_ROOM = 128 * 2**20


def hourly(rows: int, flows: int) -> list[JobKey]:
    return [(3300 + n % flows, T0 + n // flows * HOUR) for n in range(rows)]


JOBS = hourly(14, flows=5)


class Machine:
    """A folder on a `Store`, and runs of one job list in it against a `Remote`."""

    def __init__(self, store: Store, remote: Remote, jobs: Sequence[JobKey], **settings: Any) -> None:
        self.store = store
        self.remote = remote
        self.jobs = jobs
        self.directory = store.folder / "runs" / "first"
        self.settings = Settings(
            **{
                "gateway": "https://remote.example",
                "rates": (),
                "in_flight": IN_FLIGHT,
                "reconcile_wait_s": 3.0,
                "timeout_s": 5.0,
                **settings,
            }
        )

    async def start(self) -> Ending:
        """`run`: import and send."""
        return await self._execute(create(JobTuples(self.jobs), self.directory, self.settings, again=True))

    async def start_afresh(self, **settings: Any) -> Ending:
        """`run --new`: the same list once more, in another directory."""
        self.directory = self.directory.with_name("second")
        self.settings = msgspec.structs.replace(self.settings, **settings)
        return await self.start()

    async def resume(self, *, rerun: Sequence[State] = ()) -> Ending:
        return await self._execute(reopen(self.directory, rerun=rerun))

    async def go_on(self) -> Ending:
        """What an operator does who finds the machine up again: `resume` if there is a run, else `run`."""
        if (self.directory / JOURNAL).exists():
            return await self.resume()
        return await self.start()

    async def die(self, session: Coroutine[Any, Any, Ending]) -> tuple[int, str]:
        """A session that may be broken off; returns the exit code and the words of the program."""
        try:
            ending = await session
        except BulkTriggerError as error:
            return error.exit_code, str(error)
        except OSError as error:  # as the command line does
            return JournalError.exit_code, str(error)
        return ending.exit_code, ending.reason

    def results(self) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = read_results(self.directory / "results.csv")
        return rows

    def assert_proven(self, *, in_order: bool = True) -> list[dict[str, str]]:
        """P1, P2, P3, P6, P12: all accounted for, true, in order, none twice; gives the results."""
        effects = Counter(self.remote.effects)
        assert max(effects.values(), default=0) <= 1, f"triggered twice: {effects.most_common(3)}"
        assert set(effects) <= set(self.jobs)
        for flow_id, times in _by_flow(self.remote.effects).items():
            assert times == sorted(times) or not in_order, f"flow {flow_id} out of order"
        rows = self.results()
        assert [(int(row["flowId"]), int(row["triggerTime"])) for row in rows] == self.jobs
        for row, job in zip(rows, self.jobs, strict=True):
            if row["status"] == "succeeded":
                assert effects[job] == 1, row
                assert row["flowInstanceId"] == predict_instance_id(*job)
            elif row["status"] != "unknown":
                assert effects[job] == 0, row
        with look_into(self.directory) as opened:
            assert opened.journal.check() == []
        return rows

    def assert_each_once(self, *, in_order: bool = True) -> None:
        """P7: every job took effect, and is known to have. `in_order`: no row was run again on request."""
        assert {row["status"] for row in self.assert_proven(in_order=in_order)} == {"succeeded"}
        assert Counter(self.remote.effects) == Counter(self.jobs)

    async def _execute(self, opened: Opened) -> Ending:
        with opened:
            run = Run(
                opened.directory,
                opened.journal,
                opened.settings,
                self.remote,
                clock=LoopClock(),
                threaded=False,
            )
            try:
                return await run.execute()
            except BulkTriggerError as error:
                raise AssertionError("a run tells its end, it does not raise it") from error


@contextmanager
def machine(
    jobs: Sequence[JobKey] = JOBS, *, remote: Mapping[str, Any] = MappingProxyType({}), **settings: Any
) -> Iterator[Machine]:
    """A machine with a new disk. Its files are in memory, where there is some: a `Store` syncs nothing."""
    usable = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM
    with tempfile.TemporaryDirectory(dir=_MEMORY if usable else None) as folder:
        disk = Path(folder) / "disk"
        disk.mkdir()
        with Store(disk) as store:
            yield Machine(store, Remote(store, **remote), jobs, **settings)


def thinned(request: pytest.FixtureRequest) -> Iterator[int]:
    """1, 2, 3, ... with `--kills 240` or more; with fewer, every fourth of them or so."""
    return count(1, max(1, 240 // request.config.getoption("kills")))


def _by_flow(effects: Sequence[JobKey]) -> dict[int, list[int]]:
    flows: dict[int, list[int]] = defaultdict(list)
    for flow_id, time in effects:
        flows[flow_id].append(time)
    return flows
