"""Asking the gateway what it did with an attempt: Get by the predicted ID, and the list (decision 7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from ..instances import Instance, Lookup, found_instance, instances_in, judge_lookup
from ..model import MINUTE_MS, Job, Reply, predict_instance_id
from ..ports import Clock, Gateway, InstanceQuery
from .calibration import Calibration
from .doubt import REREAD_MAX_S, Reading

PAGES = 1000  #: a list that is longer than this cannot be read completely
NEVER = 253_402_214_400_000  #: the last day of the year 9999: no instance can have this minute


class Lookups:
    """Makes the calls that a look-up needs. One per run."""

    def __init__(
        self,
        gateway: Gateway,
        clock: Clock,
        turn: Callable[[], Awaitable[None]],
        overhear: Callable[[Job, Reply], None],
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._turn = turn  #: waits for a slot of the limiter
        self._overhear = overhear  #: is told every reply: a refused token or a 429 concerns all calls
        self.calibration = Calibration()
        self.available = True
        self.calibrating = False  #: set by the run when it lets the first success calibrate

    async def read(self, job: Job, first_sent_s: float | None) -> Reading:
        """Look for the instance of a job: Get by its predicted ID; until that is proven enough, List too.

        `first_sent_s`: epoch seconds of the row's first send; None if there was none yet.
        """
        wanted = self.calibration.instance_id(job)
        reply = await self._get(job, wanted)
        if found := found_instance(reply, wanted):
            return Reading(found=found)
        verdict = judge_lookup(reply)
        if self.calibration.get_is_enough:
            if _signature(reply) == self.calibration.get_missing:
                return Reading(absent=True)
            if verdict is Lookup.TRANSIENT:
                return Reading(unsure=reply.message or str(reply.status))
        listed = await self._list(job, first_sent_s)
        if listed.not_permitted and verdict is not Lookup.NOT_PERMITTED:
            return Reading(unsure=f"the list is not permitted ({listed.not_permitted})")
        return listed

    async def calibrate(self, job: Job, instance_id: str, sent_s: float, settled_at: float) -> None:
        """Learn from a success: how fast it shows up, in which zone, and what a missing one looks like."""
        delay, missed = 0.1, False
        while True:
            reply = await self._get(job, instance_id)
            seen_after_s = self._clock.monotonic() - settled_at
            found = found_instance(reply, instance_id)
            if found:
                self.calibration.get_finds = True
                if missed:
                    self.calibration.lag_s = seen_after_s
                self.calibration.learn_zone(found, sent_s)
                break
            verdict = judge_lookup(reply)
            if verdict is not Lookup.NOT_PERMITTED and verdict is not Lookup.TRANSIENT:
                # It exists and does not show: until it does, the lag is known to be at least so long.
                self.calibration.lag_s, missed = seen_after_s, True
            if verdict is Lookup.NOT_PERMITTED or delay > REREAD_MAX_S:
                return
            await anyio.sleep(delay)
            delay *= 2
        reply = await self._get(job, predict_instance_id(job.flow_id, NEVER))
        if judge_lookup(reply) in {Lookup.EMPTY, Lookup.UNDECIDED}:  # said by the service, not by a proxy
            self.calibration.get_missing = _signature(reply)

    async def _get(self, job: Job, instance_id: str) -> Reply:
        await self._turn()
        reply = await self._gateway.get_instance(instance_id)
        self._overhear(job, reply)
        return reply

    async def _list(  # noqa: C901 - the contradictions of a documentation
        self, job: Job, first_sent_s: float | None
    ) -> Reading:
        """Read all pages of all types; until a success showed what IDs look like here, of the whole flow.

        An instance that could be ours but has another ID than predicted may be just that: ours, under an ID
        that we do not understand yet. Then nothing is absent.
        """
        known = self.calibration.id_shift_s is not None
        wanted = self.calibration.instance_id(job)
        stranger = ""
        start = job.trigger_time_ms // MINUTE_MS * MINUTE_MS
        for kind in (0, 1, 2):
            before: list[str] = []
            for page in range(PAGES):
                await self._turn()
                reply = await self._gateway.list_instances(
                    InstanceQuery(
                        expression=wanted if known else f"{job.flow_id}-",
                        type=kind,
                        from_ms=start - MINUTE_MS,
                        to_ms=start + 2 * MINUTE_MS,
                        page=page,
                    )
                )
                self._overhear(job, reply)
                instances = instances_in(reply)
                if instances is None:
                    if page == 0 and _is_no_page(reply):
                        continue  # where pages count from 1, page 0 may be refused
                    return _refused(reply)
                for instance in instances:
                    if instance.instance_id == wanted:
                        return Reading(found=instance)
                    if not known and self._may_be_ours(instance, job, first_sent_s):
                        stranger = instance.instance_id
                ids = [instance.instance_id for instance in instances]
                if page >= 2 and ids and ids == before:
                    return Reading(unsure="the list gives the same page again and again")
                before = ids
                if not instances and page >= 1:
                    break
            else:
                return Reading(unsure="the list has no end")
        if stranger:
            return Reading(unsure=f"there is an instance {stranger} that may be it", stranger=stranger)
        return Reading(absent=True)

    def _may_be_ours(self, instance: Instance, job: Job, first_sent_s: float | None) -> bool:
        if not instance.instance_id.startswith(f"{job.flow_id}-") or first_sent_s is None:
            return False
        return self.calibration.is_ours(instance, job, first_sent_s, self._clock.wall()) is not False


def _is_no_page(reply: Reply) -> bool:
    return judge_lookup(reply) is Lookup.UNDECIDED or (reply.fault is None and reply.status in {400, 422})


def _refused(reply: Reply) -> Reading:
    why = str(reply.code or reply.status or reply.fault or "no sense")
    if judge_lookup(reply) is Lookup.NOT_PERMITTED:
        return Reading(not_permitted=why)
    return Reading(unsure=why)


def _signature(reply: Reply) -> tuple[int | None, int | None, bool]:
    """What tells one kind of answer from another: HTTP status, service code, and whether data came."""
    return reply.status, reply.code, not reply.data
