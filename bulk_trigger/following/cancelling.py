"""Cancels what a run created and has not ended, newest first, and tells what became of each instance.

Rule 1: only instances whose ID the journal holds as created by its run; never one that is older.
Rule 2: newest first, and one of a flow at a time. The oldest of a flow runs, the others wait behind it:
        cancelled from the front, each of them would start before its turn to be cancelled comes.
Rule 3: nothing is kept between two calls of `cancel`: the gateway knows what is cancelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from functools import partial
from pathlib import Path

import anyio
import msgspec

from ..calls import Calls
from ..cells import clean, code_cell, iso_time
from ..csv_text import csv_lines
from ..files import WholeFile
from ..instances import Status
from ..ports import Canceller, Clock
from .lookout import Lookout
from .targets import Followed

CANCELLED = "cancelled.csv"
_COLUMNS = (
    "row",
    "flowId",
    "triggerTime",
    "flowInstanceId",
    "result",
    "instanceStatus",
    "code",
    "message",
    "cancelledAt",
)
_LOOK_EVERY_S = 1.0
_TRIES = 4  #: of one cancellation that gets no good reply


class Result(StrEnum):
    """What became of an instance."""

    CANCELLED = "cancelled"  #: it is cancelled, by us now or before
    ENDED = "ended"  #: otherwise, and before we came
    REFUSED = "refused"  #: the gateway does not cancel it
    NAMESAKE = "namesake"  #: left alone: an older instance has the same ID, and might be cancelled instead
    UNKNOWN = "unknown"  #: the gateway does not know it
    LEFT = "left"  #: not done yet


class Cancellation(msgspec.Struct, frozen=True):
    """What became of an instance, and why."""

    result: Result
    code: str = ""
    message: str = ""
    at_ms: int | None = None  #: when the gateway said that it is cancelled


class Cancelling:
    """Cancels the instances of one run."""

    def __init__(self, lookout: Lookout, clock: Clock) -> None:
        self._lookout = lookout
        self._clock = clock
        self._done: dict[str, Cancellation] = {}

    async def cancel(self, calls: Calls, gateway: Canceller) -> None:
        """Look which instances have not ended, and cancel those. Raises `GatewayError`."""
        lookout = self._lookout.at(calls, gateway)
        await lookout.compare_clocks()
        await lookout.look(None)
        while any(each.seen is None for each in lookout.waiting):
            await anyio.sleep(_LOOK_EVERY_S)
            await lookout.look(None)
        flows: dict[int, list[Followed]] = {}
        for each in sorted(lookout.waiting, key=lambda each: each.newest, reverse=True):
            flows.setdefault(each.flow_id, []).append(each)
        await calls.ask_all(flows.values(), partial(self._cancel_flow, calls, gateway))

    def of(self, one: Followed) -> Cancellation:
        """What became of an instance so far."""
        if done := self._done.get(one.instance_id):
            return done
        if one.lost:
            return Cancellation(Result.UNKNOWN)
        if not one.is_over:
            return Cancellation(Result.LEFT)
        return Cancellation(Result.CANCELLED if one.status is Status.CANCEL else Result.ENDED)

    def counts(self) -> dict[str, int]:
        """How many instances there are of each result; without those that there are none of."""
        counts = Counter(self.of(each).result for each in self._lookout.instances)
        return {result.value: counts[result] for result in Result if counts[result]}

    async def _cancel_flow(self, calls: Calls, gateway: Canceller, newest_first: list[Followed]) -> None:
        """Cancel instances of one flow, one after the other: two calls at a time may overtake one another."""
        for each in newest_first:
            await self._cancel(calls, gateway, each)

    async def _cancel(self, calls: Calls, gateway: Canceller, one: Followed) -> None:
        if one.has_namesake:
            self._done[one.instance_id] = Cancellation(Result.NAMESAKE)
            return
        for _ in one.targets:  # those that share an ID are all ours
            reply = await calls.ask(partial(gateway.cancel_instance, one.instance_id), most=_TRIES)
            if reply.success and reply.status == 200 and reply.fault is None:
                now_ms = int(self._clock.wall() * 1000)
                self._done[one.instance_id] = Cancellation(Result.CANCELLED, at_ms=now_ms)
                continue
            if one.instance_id not in self._done:
                await self._lookout.ask(one)  # it may have ended, or an earlier try of ours was not answered
                if not one.is_over:
                    code = reply.fault.value if reply.fault else str(reply.code or f"http-{reply.status}")
                    self._done[one.instance_id] = Cancellation(Result.REFUSED, code, reply.message)
            return


def write_cancelled(directory: Path, instances: Iterable[Followed], cancelling: Cancelling) -> None:
    """Write a line for each row that created an instance, in the order of the rows. Raises `OSError`."""
    lines = sorted(
        (
            (target.row, target.flow_id, target.trigger_time_ms, each)
            for each in instances
            for target in each.targets
        ),
        key=lambda line: line[0],
    )
    with WholeFile(directory / CANCELLED) as file:
        file.write(csv_lines([_COLUMNS]))
        for row, flow_id, trigger_time_ms, each in lines:
            done = cancelling.of(each)
            status = Status.CANCEL.word if done.result is Result.CANCELLED else each.word
            cells = (
                row,
                flow_id,
                trigger_time_ms,
                clean(each.instance_id, cell=True),
                done.result.value,
                status,
                code_cell(done.code),
                clean(done.message, cell=True),
                "" if done.at_ms is None else iso_time(done.at_ms),
            )
            file.write(csv_lines([cells]))
