"""Tells the observer how jobs ended, after the journal holds it: in the order of their ending, each row once.

What ended in bulk or in an earlier session (skipped lanes, invalid rows, a resume) is told at the end, in
input order, so that an observer of a finished run has heard of every row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .dispatch import Bell
from .journal import Journal
from .model import Job, Outcome, Step
from .ports import Observer
from .scribe import Scribe


class Herald:
    """One per run that has an observer. One task runs `run`."""

    def __init__(self, journal: Journal, scribe: Scribe, observer: Observer) -> None:
        self._journal = journal
        self._scribe = scribe
        self._observer = observer
        self._steps: list[Step] = []
        self._told = bytearray(journal.header.rows // 8 + 1)
        self._first_row = journal.header.first_row
        self._bell = Bell()

    def tell(self, steps: Iterable[Step]) -> None:
        """These rows ended, and the journal holds it."""
        self._steps.extend(steps)
        self._bell.ring()

    async def run(self) -> None:
        """Tell whatever there is to tell, for ever."""
        while True:
            await self._bell.wait()
            await self._tell_ended()

    async def finish(self, *, everything: bool) -> None:
        """Tell what is left; `everything`: the run is over, so that is every row not told yet."""
        await self._tell_ended()
        if not everything:
            return
        for outcome in await self._scribe.ask(lambda: list(self._journal.outcomes())):
            self._tell(outcome)

    async def _tell_ended(self) -> None:
        steps, self._steps = self._steps, []
        if steps:
            inputs = await self._scribe.ask(self._journal.inputs_of, [step.row for step in steps])
            for step, (job, extra) in zip(steps, inputs, strict=True):
                self._tell(_outcome(step, job, extra))

    def _tell(self, outcome: Outcome) -> None:
        place, bit = divmod(outcome.row - self._first_row, 8)
        if not self._told[place] & (1 << bit):
            self._told[place] |= 1 << bit
            self._observer.settled(outcome)


def _outcome(step: Step, job: Job, extra: Mapping[str, Any]) -> Outcome:
    """The same outcome that the journal gives for the row at the end."""
    return Outcome(
        row=job.row,
        flow_id=job.flow_id,
        trigger_time_ms=job.trigger_time_ms,
        state=step.state,
        instance_id=step.instance_id,
        code=step.code,
        message=step.message,
        attempts=step.attempt,
        via=step.via,
        flags=step.flags,
        sent_ms=step.sent_ms,
        settled_ms=step.at_ms,
        latency_ms=step.latency_ms,
        extra=extra,
    )
