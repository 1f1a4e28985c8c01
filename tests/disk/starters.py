"""Many processes that begin the same run in the same instant: half with `run`, half with `resume`.

    python starters.py '{"starters": 20, "directory": ..., "jobs": ..., "settings": ..., "credentials": ...}'

Prints their exit codes.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
import sys
from typing import Any

from bulk_trigger import Credentials, Settings
from bulk_trigger.errors import BulkTriggerError
from bulk_trigger.launch import create, execute, reopen
from bulk_trigger.reader import JobTuples


def begin(number: int, task: dict[str, Any]) -> int:
    """Begin the run, as the command line does."""
    directory, settings = (
        Path(task["directory"]),
        Settings(**task["settings"], rates=(), reconcile_wait_s=0.4),
    )
    try:
        if number % 2:
            opened = reopen(directory)
        else:
            opened = create(JobTuples(map(tuple, task["jobs"])), directory, settings, again=True)
        with opened:
            return asyncio.run(execute(opened, Credentials(*task["credentials"]))).exit_code
    except BulkTriggerError as error:
        return error.exit_code


def main(task: dict[str, Any]) -> None:
    """Let all of them wait at a gate, and open it."""
    gate, opener = os.pipe()
    for number in range(task["starters"]):
        if os.fork() == 0:
            os.close(opener)
            os.read(gate, 1)
            os._exit(begin(number, task))
    os.close(opener)
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(task["starters"])]
    sys.stdout.write(json.dumps(codes))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
