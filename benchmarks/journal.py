"""What does it cost to have every intent and every outcome on disk before anything else happens?

Prints one line of JSON: `jobs`, `rounds`; `alone`, the journal without an engine: for batches of 64 and of
256 and each durability, CPU microseconds per job of one intent and one outcome, as [median, least, most];
`jobs_per_s`, the whole engine's throughput with a sync for each batch (`power`) and without one (`process`);
`synced_to_unsynced`, the ratio of the two in each round, as [median, least, most].

    python -m benchmarks.journal [--jobs 20000] [--rounds 5]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
import tempfile
import time

from bulk_trigger import Evidence, Settings, State
from bulk_trigger.launch import create
from bulk_trigger.model import Intent, Step, predict_instance_id
from bulk_trigger.reader import JobTuples
from bulk_trigger.settings import Durability

from .answerer import answerer
from .machine import pin, spread, tell
from .sides import START_MS, jobs
from .throughput import Load, beside, compare, each

BATCHES = 64, 256
SIDES = {"power": "engine", "process": "engine-no-sync"}


def main() -> None:
    """Measure the journal alone, then the engine with and without syncs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    count, rounds = arguments.jobs, range(arguments.rounds)
    with answerer() as (url, environment):
        found = compare(list(SIDES.values()), Load(url, environment, count, 64), arguments.rounds)
    pin(0)
    alone = {
        f"{durability}-{batch}": spread([write(durability, batch, count) for _ in rounds], 2)
        for durability in Durability
        for batch in BATCHES
    }
    tell(
        "journal",
        jobs=count,
        rounds=arguments.rounds,
        alone=alone,
        jobs_per_s={
            durability: round(median(each(found[side], "per_s"))) for durability, side in SIDES.items()
        },
        synced_to_unsynced=beside(found["engine"], found["engine-no-sync"], "per_s"),
    )


def write(durability: Durability, batch: int, count: int) -> float:
    """CPU microseconds per job when each transaction holds so many outcomes and as many intents."""
    settings = Settings(gateway="https://benchmark.example", durability=durability)
    ids = [predict_instance_id(flow_id, time_ms) for flow_id, time_ms in jobs(count)]
    with (
        tempfile.TemporaryDirectory() as folder,
        create(JobTuples(jobs(count)), Path(folder) / "run", settings) as opened,
    ):
        began, before = time.process_time(), range(0)
        for first in range(1, count + 1, batch):
            now = range(first, min(first + batch, count + 1))
            opened.journal.write(_intents(now), _outcomes(before, ids))
            before = now
        opened.journal.write([], _outcomes(before, ids))
        return (time.process_time() - began) / count * 1e6


def _intents(rows: range) -> list[Intent]:
    return [Intent(row, 1, START_MS + row) for row in rows]


def _outcomes(rows: range, ids: list[str]) -> list[Step]:
    return [
        Step(
            row=row,
            state=State.SUCCEEDED,
            at_ms=START_MS + row,
            attempt=1,
            evidence=Evidence.APPLIED,
            code="0",
            instance_id=ids[row - 1],
            via="reply",
            sent_ms=START_MS + row,
            latency_ms=12.3,
            status=200,
            bytes_out=44,
        )
        for row in rows
    ]


if __name__ == "__main__":
    main()
