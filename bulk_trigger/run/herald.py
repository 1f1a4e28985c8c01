"""Tells the observer how jobs ended, after the journal holds it: in the order of their ending, each row once.

What ended in bulk or in an earlier session (skipped lanes, invalid rows, a resume) is told at the end, in
input order, so that an observer of a finished run has heard of every row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from ..journal import Journal
from ..model import Job, Outcome, Step
from ..ports import Observer
from .bell import Bell
from .scribe import Scribe

BATCH = 2000


class Herald:
    """One per run that has an observer. One task runs `run`."""

    def __init__(
        self, journal: Journal, scribe: Scribe, observer: Observer, failed: Callable[[Exception], None]
    ) -> None:
        self._journal = journal
        self._scribe = scribe
        self._observer = observer
        self._failed = failed  #: is told when the observer raised; it is not called again then
        self._broken = False
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
        outcomes = await self._scribe.ask(self._journal.outcomes)
        while batch := await self._scribe.ask(lambda: list(islice(outcomes, BATCH))):
            for outcome in batch:
                self._tell(outcome)

    async def _tell_ended(self) -> None:
        while steps := self._steps[:BATCH]:
            inputs = await self._scribe.ask(self._journal.inputs_of, [step.row for step in steps])
            for step, (job, extra) in zip(steps, inputs, strict=True):
                self._tell(_outcome(step, job, extra))
            del self._steps[: len(steps)]  # not before: whoever is cancelled in between tells them at the end

    def _tell(self, outcome: Outcome) -> None:
        place, bit = divmod(outcome.row - self._first_row, 8)
        if not self._told[place] & (1 << bit):
            self._told[place] |= 1 << bit
            self._call_observer(outcome)

    def _call_observer(self, outcome: Outcome) -> None:
        if self._broken:
            return
        try:
            self._observer.settled(outcome)
        except Exception as error:  # noqa: BLE001 - somebody else's code: it must not cost us the drain
            self._broken = True
            self._failed(error)


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
