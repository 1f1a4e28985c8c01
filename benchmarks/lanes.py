"""Does a job cost more when there are more flows?

Prints one line of JSON: `alone`, CPU microseconds per job of the lanes without an engine (opened, fed, taken,
settled, 64 at a time), for each number of flows; `engine`, the same for a whole run with that many flows
against a gateway inside the process that answers at once, as [median, least, most] of interleaved `rounds`;
`growth`, the dearest of those beside the cheapest, as the median of the rounds; `single_flow`, CPU
microseconds per job of a run with one flow only, where every job is a commit of its own. `jobs` is the number
of jobs of each run.

    python -m benchmarks.lanes [--jobs 100000] [--rounds 5] [--flows 1000,10000,100000]

With a million jobs and a million flows a round takes some minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
import tempfile
import time

from bulk_trigger import Job
from bulk_trigger.lanes import Case, Lanes

from .instant import write_list
from .machine import ask, pin, spread, tell

AT_ONCE = 64
SINGLE_SHARE = 10  #: a single flow gets one job of so many: each waits for the disk twice


def main() -> None:
    """Measure each number of flows in turn, round after round."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flows", default="1000,10000,100000")
    arguments = parser.parse_args()
    numbers, count = [int(flows) for flows in arguments.flows.split(",")], arguments.jobs
    rounds = [{flows: engine(flows, count) for flows in numbers} for _ in range(arguments.rounds)]
    single = [engine(1, max(1, count // SINGLE_SHARE)) for _ in rounds]
    pin(0)
    alone = [{flows: lanes(flows, count) for flows in numbers} for _ in rounds]
    tell(
        "lanes",
        jobs=count,
        rounds=arguments.rounds,
        alone={flows: spread([each[flows] for each in alone], 2) for flows in numbers},
        engine={flows: spread([each[flows] for each in rounds], 1) for flows in numbers},
        growth=round(median(max(each.values()) / min(each.values()) for each in rounds), 3),
        single_flow=spread(single, 1),
    )


def lanes(flows: int, count: int) -> float:
    """CPU microseconds per job of the lanes alone."""
    flows = min(flows, count)
    queues = [
        [Job(row, 1 + flow, row * 60_000) for row in range(flow + 1, count + 1, flows)]
        for flow in range(flows)
    ]
    began = time.process_time()
    open_lanes = Lanes()
    for flow, queue in enumerate(queues, 1):
        open_lanes.open(flow, len(queue))
        open_lanes.feed(flow, queue, more=False)
    busy: list[Case] = []
    for _ in range(count):
        if len(busy) == min(AT_ONCE, flows):
            open_lanes.settle(busy.pop(0))
        case = open_lanes.take(0.0)
        assert case is not None
        busy.append(case)
    for case in busy:
        open_lanes.settle(case)
    assert not len(open_lanes)
    return (time.process_time() - began) / count * 1e6


def engine(flows: int, count: int) -> float:
    """CPU microseconds per job of a whole run, without the import."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = Path(folder) / "jobs.csv"
        write_list(jobs, str(min(flows, count)), count)
        found = ask("instant", "run", jobs, Path(folder) / "run", 0)
    assert found["sent"] == count, found
    return float(found["run_cpu_s"]) / count * 1e6


if __name__ == "__main__":
    main()
