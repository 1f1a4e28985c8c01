"""Whole runs behind the fault proxy: the engine here, on either wire and any clock; and the program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

from clock import VirtualLoop
from oracle import JobKey
from proxy import FaultProxy, Script
from running import FAST, Rig

import bulk_trigger
from bulk_trigger.gateway import HttpGateway
from bulk_trigger.launch import Opened, create, reopen
from bulk_trigger.ports import Clock, SystemClock
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Ending, Run
from bulk_trigger.sandbox import Ledger, Sandbox, Scenario
from bulk_trigger.settings import Durability, Settings

AT_ONCE = "[latency]\nmedian_ms = 0\n"
PATIENCE_S = 60.0  #: with a program that should have ended

#: How a run on the virtual clock differs: everything as the defaults have it, for waiting costs nothing.
DEFAULTS: dict[str, Any] = {
    "reconcile_wait_s": Settings(gateway="sandbox").reconcile_wait_s,
    "timeout_s": Settings(gateway="sandbox").timeout_s,
    "in_flight": Settings(gateway="sandbox").in_flight,
}


class LoopTime(SystemClock):
    """The time of the running loop; its wall is the machine's when the run starts, and goes on from there."""

    def __init__(self) -> None:
        super().__init__()
        self._offset_s = SystemClock.wall() - asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return self._offset_s + asyncio.get_running_loop().time()


class TimedSandbox(Sandbox):
    """A sandbox whose wall clock is the loop's, so that its instances are as old as they should be."""

    time: Clock = SystemClock()

    def _now(self) -> float:
        return self.time.wall()


class Behind(Rig):
    """A sandbox behind the proxy, and a place for runs against it."""

    def __init__(self, sandbox: Sandbox, folder: Path, ledger: Path, proxy: FaultProxy, clock: Clock) -> None:
        super().__init__(sandbox, folder, ledger)
        self.proxy = proxy
        self.clock = clock
        self.target["gateway"] = proxy.origin
        self.wire = "direct"
        self.options: dict[str, Any] = {}  #: of the gateway: tls, proxy
        self.run: Run | None = None  #: the one under way
        self.ending: Ending | None = None  #: of the last one

    async def send(
        self, jobs: Sequence[JobKey], *, ready: Callable[[Run], None] = lambda _: None, **changes: Any
    ) -> Ending:
        """Run a job list from its beginning."""
        quick = {"durability": Durability.PROCESS, **changes}  # no power is cut here
        with create(JobTuples(jobs), self.directory, self.settings(**quick), again=True) as opened:
            return await self._execute(opened, ready)

    async def go_on(self, **overrides: Any) -> Ending:
        """Resume the run."""
        with reopen(self.directory, overrides) as opened:
            return await self._execute(opened, lambda _: None)

    async def _execute(self, opened: Opened, ready: Callable[[Run], None]) -> Ending:
        gateway = HttpGateway(opened.settings, self.credentials, clock=self.clock, **self.options)
        if self.wire == "aiohttp":
            gateway._trigger = gateway._endpoint("POST", "/flows", {"action": "trigger", **gateway._ids})
        self.run = Run(
            opened.directory,
            opened.journal,
            opened.settings,
            gateway,
            notice=self.notices.append,
            clock=self.clock,
            threaded=not isinstance(asyncio.get_running_loop(), VirtualLoop),
        )
        ready(self.run)
        self.ending = await self.run.execute()
        return self.ending

    def program(self, environment: Mapping[str, str] | None = None, *, trace_memory: bool = False) -> Program:
        """The real program, with more in its environment."""
        return Program(self, environment or {}, trace_memory=trace_memory)


@asynccontextmanager
async def behind(
    folder: Path, script: Script, scenario: str = "", *, seed: int = 1, **proxied: Any
) -> AsyncIterator[Behind]:
    """Start sandbox and proxy. Latency is 1 ms; none where each wait costs more than it lasts."""
    ledger = folder / "ledger.jsonl"
    clock, text = SystemClock(), f"{scenario}\n{FAST}"
    if isinstance(asyncio.get_running_loop(), VirtualLoop):
        # aiohttp takes the age of an idle connection from the machine's clock: it would notice nothing.
        clock, text = LoopTime(), f"keepalive_s = 1e6\n{scenario}\n{AT_ONCE}"
    sandbox = TimedSandbox(Scenario.parse(text), seed=seed, ledger=Ledger(ledger, durable=False))
    sandbox.time = clock
    async with sandbox:
        port = urlsplit(sandbox.url).port
        assert port is not None
        async with FaultProxy(port, script, **proxied) as proxy:
            yield Behind(sandbox, folder, ledger, proxy, clock)


@dataclass(frozen=True)
class Ended:
    """A program that has ended."""

    exit_code: int
    out: str
    told: str  #: standard error, without what the memory tracer added
    peak_kib: int = 0


#: Runs the rest of its command line, and says how much memory that took at its peak. It is small, because the
#: peak of a child begins with that of the parent which it was forked from.
TRACER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


class Program:
    """The real program, run against the proxy."""

    def __init__(self, rig: Behind, environment: Mapping[str, str], *, trace_memory: bool) -> None:
        self._rig = rig
        self._traced = trace_memory
        ours = {name: value for name, value in os.environ.items() if not name.startswith("BULK_TRIGGER")}
        self._environment = {
            **ours,
            "PYTHONPATH": str(Path(bulk_trigger.__file__).parents[1]),
            "BULK_TRIGGER_APP_KEY": rig.credentials.app_key,
            "BULK_TRIGGER_APP_SECRET": rig.credentials.app_secret,
            **environment,
        }

    async def send(self, jobs: Sequence[JobKey], *options: str, gateway: str | None = None) -> Ended:
        """`run`, quickly, unless the options say otherwise."""
        path, target = self._rig.folder / "jobs.csv", self._rig.target
        path.write_text("flowId,triggerTime\n" + "".join(f"{flow},{time}\n" for flow, time in jobs))
        address = ["--gateway", gateway or target["gateway"], "--org-id", target["org_id"]]
        quick = ["--user-id", target["user_id"], "--rate", "none", "--reconcile-wait", "600ms"]
        return await self.call(
            "run", str(path), "--run-dir", str(self._rig.directory), *address, *quick, *options
        )

    async def go_on(self, *options: str) -> Ended:
        """`resume`."""
        return await self.call("resume", str(self._rig.directory), *options)

    async def call(self, *arguments: str) -> Ended:
        command = [sys.executable, "-m", "bulk_trigger", *arguments, "--no-progress"]
        process = await asyncio.create_subprocess_exec(
            *([sys.executable, "-c", TRACER] if self._traced else []),
            *command,
            cwd=self._rig.folder,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, told = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode is not None
        text = told.decode()
        assert "Traceback" not in text, text
        if not self._traced:
            return Ended(process.returncode, out.decode(), text)
        *lines, peak = text.splitlines()
        return Ended(process.returncode, out.decode(), "\n".join(lines), int(peak))


@contextmanager
def full_backlog(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port where a handshake is never answered: the queue of those that wait to be accepted is full."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket(listener.family) for _ in range(3)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            yield address[1]
        finally:
            for filler in fillers:
                filler.close()
