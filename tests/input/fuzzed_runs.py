"""Fuzz target: a run directory whose files were damaged, looked at and resumed.

An input says what to do to which file; the gateway counts what is sent. It knows what the first session
sent, and finds it when it is asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
import contextlib
from functools import cache
import io
from pathlib import Path
import random
import shutil
import struct
import tempfile
from typing import Any

from clock import tell_later

from bulk_trigger import BulkTriggerError, Settings
from bulk_trigger.cli import main
from bulk_trigger.header import JOURNAL
from bulk_trigger.launch import create, execute, reopen
from bulk_trigger.model import Job, Reply
from bulk_trigger.ports import Answered, InstanceQuery
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Run, Stop

FLOWS, ROWS = 5, 300
T0, HOUR = 1_704_067_200_000, 3_600_000
JOBS = [(3300 + n % FLOWS, T0 + n // FLOWS * HOUR) for n in range(ROWS)]
#: Sends after which the first session is photographed, as kill -9 would leave it, and drains.
STOPPED_AT = 150
EDIT = struct.Struct(">BBHI")  #: file, kind of edit, value, place
EXIT_CODES = {0, 1, 2, 3, 4, 5, 7}
_QUICK: dict[str, Any] = {
    "rates": (),
    "in_flight": 4,
    "reconcile_wait_s": 0.02,
    "patience_s": 0.1,
    "drain_s": 0.1,
}


class Counting:
    """A gateway in memory that starts what it is asked to, and remembers."""

    ready = True

    def __init__(
        self, started: Counter[tuple[int, int]], half_way: Callable[[], None] = lambda: None
    ) -> None:
        self.started = started
        self._half_way = half_way

    async def prepare(self) -> Reply:
        return Reply(status=200, code=0, success=True)

    def refuse_token(self, token: int) -> None:
        """It has none."""

    def trigger(self, job: Job, answered: Answered) -> None:
        tell_later(self._reply(job), answered)

    async def _reply(self, job: Job) -> Reply:
        self.started[job.flow_id, job.trigger_time_ms] += 1
        if self.started.total() == STOPPED_AT:
            self._half_way()
        await asyncio.sleep(0)
        return self._said({"flowInstanceId": _instance_id(job.flow_id, job.trigger_time_ms)})

    async def get_instance(self, instance_id: str) -> Reply:
        return self._said(
            [entry for entry in self._instances() if entry["instanceId"] == instance_id] or None
        )

    async def list_instances(self, query: InstanceQuery) -> Reply:
        found = [entry for entry in self._instances() if query.expression in entry["instanceId"]]
        page = found if query.page == 1 and query.type == 0 else []
        return self._said({"flowInsts": page, "count": len(found)})

    async def current_time(self) -> Reply:
        return self._said(T0)

    async def aclose(self) -> None:
        """It has no connections."""

    def _instances(self) -> list[dict[str, Any]]:
        return [
            {"instanceId": _instance_id(*key), "flowId": key[0], "status": 2, "startTime": ""}
            for key in self.started
        ]

    def _said(self, data: Any) -> Reply:
        return Reply(status=200, code=0, success=True, data=data)


def _instance_id(flow_id: int, time_ms: int) -> str:
    """Also of what is no job: a damaged time may lie in no year."""
    return Job(1, flow_id, time_ms).instance_id if (flow_id, time_ms) in JOBS else f"{flow_id}-{time_ms}"


class Template:
    """The files of a run, and what was started by then."""

    def __init__(self, files: dict[str, bytes], started: Counter[tuple[int, int]]) -> None:
        self.files = {name: files[name] for name in sorted(files)}
        self.started = started


@cache
def templates() -> tuple[Template, ...]:
    """The same run when it was killed on its way, when it had drained, and when it had ended."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place, "run")
        started: Counter[tuple[int, int]] = Counter()
        taken: list[Template] = []
        runs: list[Run] = []

        def photograph() -> None:
            taken.append(Template(_files(directory), started.copy()))

        def half_way() -> None:
            photograph()
            runs[0].stop(Stop(130, "interrupted"))

        with create(JobTuples(JOBS), directory, Settings(gateway="sandbox", **_QUICK)) as opened:
            asyncio.run(execute(opened, gateway=Counting(started, half_way), ready=runs.append))
        photograph()
        with reopen(directory) as opened:
            ending = asyncio.run(execute(opened, gateway=Counting(started)))
        assert ending.exit_code == 0, ending
        photograph()
        assert started == Counter(JOBS)
        return tuple(taken)


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "run.lock"}


class Damage:
    """Makes inputs: a template, and some edits."""

    least = 30

    def input(self, seed: int, number: int) -> bytes:
        dice = random.Random(f"{seed} {number}")
        edits = (
            EDIT.pack(
                dice.randrange(256), dice.randrange(256), dice.randrange(1 << 16), dice.randrange(1 << 32)
            )
            for _ in range(dice.choice((0, 1, 1, 1, 2, 3, 8)))
        )
        return bytes([dice.choice((0, 0, 0, 1, 1, 1, 2))]) + b"".join(edits)


def look_and_resume(data: bytes) -> None:
    """F91, F119, P2, P6: no traceback, nothing that is sent twice, and nothing that is no job."""
    template = templates()[(data or b"\0")[0] % 3]
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place, "run")
        directory.mkdir()
        for name, content in damaged(template, data[1:]).items():
            (directory / name).write_bytes(content)
        copy = Path(place, "copy")
        shutil.copytree(directory, copy)
        for arguments in (("status",), ("verify",), ("export", "-o", str(Path(place, "out.csv")))):
            look(arguments[0], str(copy), *arguments[1:])
        if any(_changes_values(*edit[:2], template) for edit in _edits(data[1:])):
            return  # nothing in a page says that its values are the ones that were written
        started = template.started.copy()
        assert resume(directory, Counting(started)) in EXIT_CODES
        assert set(started) <= set(JOBS), "something was sent that is no job"
        assert max(started.values()) == 1, "a job was sent twice"


def resume(directory: Path, gateway: Counting) -> int:
    """The exit code of a resumed run."""
    try:
        with reopen(directory, _QUICK) as opened:
            return asyncio.run(execute(opened, gateway=gateway)).exit_code
    except BulkTriggerError as error:
        return error.exit_code


def look(command: str, *arguments: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main([command, *arguments])
    assert code in EXIT_CODES, said.getvalue()
    assert "Traceback" not in said.getvalue()


def damaged(template: Template, edits: bytes) -> dict[str, bytes]:
    files = {name: bytearray(content) for name, content in template.files.items()}
    for file, kind, value, at in _edits(edits):
        name, edit = _chosen(file, template), _KINDS[kind % len(_KINDS)]
        if not (name.endswith("-wal") and _looks_like_a_kill(edit, len(files[name]), at)):
            edit(files[name], value, at)
    return {name: bytes(content) for name, content in files.items()}


def _chosen(file: int, template: Template) -> str:
    """The name of the file that an edit is for: mostly one of the journal's."""
    names = [name for name in template.files for _ in range(6 if name.startswith("journal") else 1)]
    return names[file % len(names)]


def _changes_values(file: int, kind: int, template: Template) -> bool:
    return _chosen(file, template) == JOURNAL and _KINDS[kind % len(_KINDS)] in {_flip, _set, _swap_pages}


def _edits(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    return EDIT.iter_unpack(data[: len(data) // EDIT.size * EDIT.size])


def _looks_like_a_kill(edit: Callable[[bytearray, int, int], None], size: int, at: int) -> bool:
    """Whether a WAL looks as if its last commit, or all behind some commit, had never been written."""
    return edit is _cut or not 4096 < at % (size or 1) < size - 4 * 4096


def _flip(content: bytearray, value: int, at: int) -> None:
    if content:
        content[at % len(content)] ^= 1 << value % 8


def _set(content: bytearray, value: int, at: int) -> None:
    if content:
        content[at % len(content)] = value % 256


def _cut(content: bytearray, _: int, at: int) -> None:
    if content:
        del content[at % len(content) :]


def _zero_page(content: bytearray, _: int, at: int) -> None:
    if content:
        start = at % len(content) // 4096 * 4096
        content[start : start + 4096] = bytes(len(content[start : start + 4096]))


def _swap_pages(content: bytearray, value: int, at: int) -> None:
    if pages := len(content) // 4096:
        a, b = at % pages * 4096, value % pages * 4096
        content[a : a + 4096], content[b : b + 4096] = content[b : b + 4096], content[a : a + 4096]


def _append(content: bytearray, value: int, _: int) -> None:
    content += bytes([value % 256]) * (value % 5000)


_KINDS = (_flip, _flip, _flip, _set, _cut, _zero_page, _swap_pages, _append)
