"""Draws the picture of the README: the live view of a real run on the sandbox, and its last words.

python -m benchmarks.picture samples/live-view.svg
"""

from __future__ import annotations

from pathlib import Path
import re
import sys
import tempfile

import anyio
from rich.console import Console
from rich.text import Text

from bulk_trigger import Rate, Settings
from bulk_trigger.launch import create, execute
from bulk_trigger.progress import Watch
from bulk_trigger.reader import JobList
from bulk_trigger.recap import recap
from bulk_trigger.run import Run
from bulk_trigger.view import draw

SCENARIO = """
[[faults]]
kind = "code"
code = 62109
when = "after"
rate = 0.01
[[faults]]
kind = "reset"
when = "after"
rate = 0.005
[flows]
no_task = [3317]
"""
LOOK_AFTER_ROWS = 3000
WIDTH = 92


async def main() -> str:
    """Run the sample list, look at it half-way; returns the picture (SVG)."""
    console = Console(record=True, width=WIDTH, file=sys.stderr, highlight=False, markup=False, emoji=False)
    settings = Settings(
        gateway="sandbox", scenario=SCENARIO, seed=3, rates=(Rate(500, 1.0),), reconcile_wait_s=1.0
    )
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "runs" / "jobs"
        console.print(
            Text("$ bulk-trigger run samples/jobs.csv --sandbox --scenario evening.toml", style="bold")
        )
        with create(JobList("samples/jobs.csv"), directory, settings) as opened:
            async with anyio.create_task_group() as tasks:

                def ready(run: Run) -> None:
                    tasks.start_soon(look, run, console)

                ending = await execute(opened, ready=ready)
        console.print(Text("\n" + "\n".join(recap(Path("runs/jobs"), ending.summary, reason=ending.reason))))
    picture = console.export_svg(title="bulk-trigger")
    return re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)  # they would come from elsewhere


async def look(run: Run, console: Console) -> None:
    """Draw the live view once, half-way."""
    watch = Watch(run)
    while run.tally.ended < LOOK_AFTER_ROWS:
        watch.look()
        await anyio.sleep(0.1)
    console.print(draw(watch.look(), "jobs.csv", WIDTH))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(anyio.run(main))
