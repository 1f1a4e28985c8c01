"""The oracle of run tests: it reads the sandbox's ledger, the input and the run directory, nothing in memory.

What a user has as well, the run directory, is looked at by what `bulk-trigger verify` does. The rest is what
only a test has: the ledger, which knows what took effect whatever the tool believes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
import csv
from pathlib import Path

from bulk_trigger.cli.proof import prove
from bulk_trigger.launch import look_into
from bulk_trigger.sandbox import Ledger

JobKey = tuple[int, int]  #: flow ID, trigger time in epoch milliseconds
WITHOUT_EFFECT = frozenset({"failed", "skipped", "invalid"})


class Verdict:
    """What the ledger says about a run of `jobs`."""

    def __init__(self, ledger: Path, jobs: Sequence[JobKey]) -> None:
        record = Ledger.read(ledger)
        self.effects = [(effect.flow_id, effect.trigger_time) for effect in record.effects]
        self.ids = {(effect.flow_id, effect.trigger_time): effect.instance_id for effect in record.effects}
        self.sends = [call for call in record.calls if call.api == "trigger"]
        self.calls = list(record.calls)
        self.jobs = list(jobs)

    @property
    def effects_by_job(self) -> Counter[JobKey]:
        return Counter(self.effects)

    def assert_each_once(self) -> None:
        """P2, P6, P7: each job exactly once, and nothing else."""
        assert self.effects_by_job == Counter(self.jobs)

    def assert_none_twice(self) -> None:
        """P2, P6, P8: no job more than once, and nothing that is no job."""
        assert max(self.effects_by_job.values(), default=0) <= 1
        assert set(self.effects_by_job) <= set(self.jobs)

    def assert_in_order(self) -> None:
        """P12: per flow the effects come in lane order, and no send begins before the one before it ended."""
        wanted, found = _by_flow(self.jobs), _by_flow(_firsts(self.effects))
        for flow_id, times in found.items():
            places = [wanted[flow_id].index(time) for time in times]
            assert places == sorted(places), f"flow {flow_id} out of order: {times}"
        last_done: dict[int, float] = {}
        for call in self.sends:
            assert call.flow_id is not None
            assert call.mono >= last_done.get(call.flow_id, 0.0), f"sends of flow {call.flow_id} overlap"
            last_done[call.flow_id] = max(last_done.get(call.flow_id, 0.0), call.done or 0.0)

    def busiest(self, window_s: float) -> int:
        """The most calls of any kind that arrived within any window."""
        times = sorted(call.mono for call in self.calls)
        most, start = 0, 0
        for end, time in enumerate(times):
            while times[start] <= time - window_s:
                start += 1
            most = max(most, end - start + 1)
        return most


def read_results(path: Path) -> list[dict[str, str]]:
    """The rows of a results file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_accounted(rows: list[dict[str, str]], jobs: Sequence[JobKey], verdict: Verdict) -> None:
    """P1, P3, P4: every row once, `succeeded` is true, and `failed` and `skipped` had no effect."""
    assert [int(row["row"]) for row in rows] == list(range(1, len(jobs) + 1))
    effects = verdict.effects_by_job
    for row, job in zip(rows, jobs, strict=True):
        assert (int(row["flowId"]), int(row["triggerTime"])) == job
        if row["status"] == "succeeded":
            assert row["flowInstanceId"] == verdict.ids.get(job), f"lost: {row}"
        elif row["status"] in WITHOUT_EFFECT:
            assert effects[job] == 0, row


def assert_verified(directory: Path) -> None:
    """P1, P12: what `verify` proves from the run directory alone."""
    with look_into(directory) as opened:
        problems = prove(opened).problems
    assert problems == (), problems


def assert_proven(directory: Path, ledger: Path, jobs: Sequence[JobKey]) -> Verdict:
    """All that must hold for a finished run, whatever happened: none twice, in order, all accounted for."""
    verdict = Verdict(ledger, jobs)
    verdict.assert_none_twice()
    verdict.assert_in_order()
    assert_accounted(read_results(directory / "results.csv"), jobs, verdict)
    assert_verified(directory)
    return verdict


def _by_flow(jobs: Iterable[JobKey]) -> dict[int, list[int]]:
    flows: dict[int, list[int]] = defaultdict(list)
    for flow_id, time in jobs:
        flows[flow_id].append(time)
    return flows


def _firsts(effects: Iterable[JobKey]) -> list[JobKey]:
    return list(dict.fromkeys(effects))
