"""The real program, also under `strace`: what it asked of the kernel, in order, and calls that go wrong.

    code, words = await trace(rig, jobs, log, faults=["fdatasync:error=EIO:when=12"])
    calls = read_log(log)

`when` counts the calls of each thread for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

from oracle import JobKey
import pytest
from running import Rig

import bulk_trigger

_PATIENCE_S = 90.0
_CALLS = "pwrite64,ftruncate,fdatasync,fsync,rename,unlink,write,writev,sendto,sendmsg"
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*)")
_GONE_ON = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PLACE = re.compile(r"^\d+<((?:\\x[0-9a-f]{2})*)>")


class Call(NamedTuple):
    """A call, or only its end: a long one has two lines."""

    name: str
    place: str  #: the file that it is about; of a socket, its number
    texts: tuple[bytes, ...]  #: its arguments that are texts
    numbers: tuple[int, ...]  #: the last arguments that are numbers
    begins: bool
    ends: bool
    thread: int


@cache
def strace_refuses() -> str:
    """Why no process can be traced here; empty if one can."""
    if not (found := shutil.which("strace")):
        return "there is no strace"
    tried = subprocess.run([found, "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"strace: {tried.stderr.decode().strip()}"


needs_strace = pytest.mark.skipif(bool(strace_refuses()), reason=strace_refuses())


def write_jobs(path: Path, jobs: Iterable[JobKey]) -> Path:
    """Write a job list as a file."""
    path.write_text("flowId,triggerTime\n" + "".join(f"{flow},{time}\n" for flow, time in jobs))
    return path


async def trace(
    rig: Rig,
    jobs: Path,
    log: Path,
    *options: str,
    faults: Sequence[str] = (),
    only: Path | None = None,
) -> tuple[int, str]:
    """`run` the list under strace; returns the exit code and what was said. `only`: calls about that file."""
    names = ",".join(dict.fromkeys(fault.partition(":")[0] for fault in faults)) or _CALLS
    tracer = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        "70000",
        "--seccomp-bpf",
        "-o",
        str(log),
        "-e",
        f"trace={names}",
    ]
    if any("signal" in fault for fault in faults):
        tracer.remove("--seccomp-bpf")  # it is quick, but signals get lost with it
    tracer += [word for fault in faults for word in ("-e", f"inject={fault}")]
    tracer += ["-P", str(only)] if only else []
    return await outcome(await start(rig, jobs, *options, before=tracer))


async def start(
    rig: Rig, jobs: Path, *options: str, before: Sequence[str] = ()
) -> asyncio.subprocess.Process:
    """Start `run` with a list, behind the command `before`."""
    card, target = rig.sandbox.credentials, rig.target
    program = [sys.executable, "-m", "bulk_trigger", "run", str(jobs), "--run-dir", str(rig.directory)]
    program += ["--gateway", target["gateway"], "--org-id", target["org_id"], "--user-id", target["user_id"]]
    program += ["--rate", "none", "--in-flight", "6", "--reconcile-wait", "400ms", "--no-progress"]
    return await asyncio.create_subprocess_exec(
        *before,
        *program,
        *options,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(bulk_trigger.__file__).parents[1]),
            "BULK_TRIGGER_APP_KEY": card["appKey"],
            "BULK_TRIGGER_APP_SECRET": card["appSecret"],
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def outcome(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """Wait for the end; gives the exit code and what was said."""
    _, told = await asyncio.wait_for(process.communicate(), _PATIENCE_S)
    assert process.returncode is not None
    return process.returncode, told.decode()


def read_log(log: Path) -> Iterator[Call]:
    """Give the calls of a log, in the order in which the kernel saw them."""
    open_calls: dict[int, Call] = {}
    for line in log.read_text().splitlines():
        if found := _BEGUN.match(line):
            thread, name, rest = int(found[1]), found[2], found[3]
            ends = "<unfinished ...>" not in rest
            place = _PLACE.match(rest)
            call = Call(
                name,
                _decode(place[1]).decode() if place else "",
                tuple(_decode(text) for text in _TEXT.findall(rest)),
                tuple(map(int, re.findall(r", (\d+)", _TEXT.sub("", rest)))),
                begins=True,
                ends=ends,
                thread=thread,
            )
            open_calls[thread] = call
            yield call
        elif found := _GONE_ON.match(line):
            yield open_calls[int(found[1])]._replace(begins=False, ends=True)


def _decode(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
