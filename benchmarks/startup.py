"""How long until something happens?

Prints one line of JSON: `modules`, how many modules `--version` and `--help` import; `heavy`, which of
aiohttp, anyio, rich and uvloop are among them; `rows` and `rounds`; and in seconds, as [median, least, most]:
`run_s`, the whole of `run` with a list of that many rows and `--sandbox`; `empty_s`, a program that opens an
aiohttp session and ends; `sandbox_s`, until the sandbox says where it is. `run_to_both` is the first beside
the sum of the others, in each round; `unpaced_to_both` the same with `--rate none` (the sandbox's default is
500/s).

    python -m benchmarks.startup [--rows 100] [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time

from .instant import write_list
from .machine import ROOT, run, spread, tell

HEAVY = ("aiohttp", "anyio", "rich", "uvloop")
TOOL = [sys.executable, "-m", "bulk_trigger"]
EMPTY = """
import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession():
        pass
asyncio.run(main())
"""
IMPORTS = """
import json, runpy, sys
sys.argv = ["bulk-trigger", {flag!r}]
try:
    runpy.run_module("bulk_trigger", run_name="__main__")
except SystemExit:
    print("\\n" + json.dumps(sorted(sys.modules)))
"""


def main() -> None:
    """Look at the imports, then time everything in interleaved rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    loaded = {flag: modules(flag) for flag in ("--version", "--help")}
    found = [once(arguments.rows) for _ in range(arguments.rounds)]
    times = {key: spread([each[key] for each in found]) for key in ("run_s", "empty_s", "sandbox_s")}
    tell(
        "startup",
        modules={flag: len(names) for flag, names in loaded.items()},
        heavy={flag: sorted(names & set(HEAVY)) for flag, names in loaded.items()},
        rows=arguments.rows,
        rounds=arguments.rounds,
        **times,
        run_to_both=spread([each["run_s"] / (each["empty_s"] + each["sandbox_s"]) for each in found]),
        unpaced_to_both=spread([each["unpaced_s"] / (each["empty_s"] + each["sandbox_s"]) for each in found]),
    )


def modules(flag: str) -> set[str]:
    """What a call with this flag imports."""
    said = run([sys.executable, "-c", IMPORTS.format(flag=flag)]).said
    return set(json.loads(said.splitlines()[-1]))


def once(rows: int) -> dict[str, float]:
    """One round, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = Path(folder) / "jobs.csv"
        write_list(jobs, "10", rows)
        call = [*TOOL, "run", str(jobs), "--sandbox", "--new", "-q", "--run-dir"]
        return {
            "run_s": run([*call, str(Path(folder) / "paced")]).wall_s,
            "empty_s": run([sys.executable, "-c", EMPTY]).wall_s,
            "sandbox_s": sandbox_s(),
            "unpaced_s": run([*call, str(Path(folder) / "unpaced"), "--rate", "none"]).wall_s,
        }


def sandbox_s() -> float:
    """Seconds until the sandbox says where it is."""
    began = time.perf_counter()
    with subprocess.Popen(
        [*TOOL, "sandbox", "--until-stdin-closes"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdin is not None  # noqa: PT018 - pipes
        process.stdout.readline()
        took_s = time.perf_counter() - began
        process.stdin.close()
    return took_s


if __name__ == "__main__":
    main()
