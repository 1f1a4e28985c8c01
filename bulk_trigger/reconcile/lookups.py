"""Asking the gateway what it did with an attempt: Get by the predicted ID, and the list (decision 7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
import re

import anyio
from msgspec.structs import replace

from ..instances import Instance, Lookup, count_in, found_instance, instances_in, judge_lookup
from ..model import MINUTE_MS, Job, Reply, predict_instance_id
from ..ports import Clock, Gateway, InstanceQuery
from .calibration import Calibration
from .doubt import REREAD_MAX_S, Reading
from .pages import PAGES, Pages, is_no_page

_PLAIN_ID = re.compile(r"[0-9-]{1,40}")  #: such an ID can be repeated: it holds nobody's secret
OLDER_MAX = 5  #: successes with an instance that was there before; then none is asked any more
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
        self._older = 0

    async def read(self, job: Job, first_sent_s: float | None) -> Reading:
        """Look for the instance of a job: Get by its predicted ID; until that is proven enough, List too.

        Until a success showed what IDs look like here, the predicted one may be that of another row, hours
        away: the list, which goes by the trigger time, has to have it as well.
        `first_sent_s`: epoch seconds of the row's first send; None if there was none yet.
        """
        wanted = self.calibration.instance_id(job)
        get_is_enough = self.calibration.get_is_enough  # for this ID: a slow reply may outlast what we know
        knows_ids = self.calibration.id_shift_s is not None
        reply = await self._get(job, wanted)
        found = found_instance(reply, wanted)
        if found and knows_ids:
            return Reading(found=found)
        verdict = judge_lookup(reply)
        if get_is_enough:
            if _signature(reply) == self.calibration.get_missing:
                return Reading(absent=True)
            if verdict is Lookup.TRANSIENT:
                return Reading(unsure=reply.message or str(reply.status))
        listed = await self._list(job, first_sent_s)
        if listed.not_permitted and found:
            return Reading(found=found)
        if listed.not_permitted and verdict is not Lookup.NOT_PERMITTED:
            return Reading(unsure=f"the list is not permitted ({listed.not_permitted})")
        if listed.found:  # of that time, and under the ID that it must have: so that is what IDs look like
            self.calibration.learn_id(job, listed.found.instance_id)
        return listed

    async def calibrate(self, job: Job, instance_id: str, sent_s: float, settled_at: float) -> None:
        """Learn from a success: how fast it shows up, in which zone, and what a missing one looks like.

        `sent_s`: epoch seconds of its send, by the gateway's clock.
        """
        delay, seen_at = 0.1, None
        while True:
            reply = await self._get(job, instance_id)
            found = found_instance(reply, instance_id)
            if found and seen_at is None:
                self.calibration.get_finds = True
                seen_at = self._clock.monotonic()
            if found and seen_at is not None and (found.start_time or not found.is_live):
                if not self._is_ours(found, job, sent_s):
                    self._older += 1
                    self.calibrating = self._older >= OLDER_MAX
                    return
                self.calibration.lag_s = seen_at - settled_at
                self.calibration.learn_zone(found, sent_s)
                break
            if judge_lookup(reply) is Lookup.NOT_PERMITTED and reply.status != HTTPStatus.NOT_FOUND:
                return
            if delay > REREAD_MAX_S:
                self.calibrating = False  # another success may tell
                return
            await anyio.sleep(delay)  # a 404, too, may only mean that it does not show yet
            delay *= 2
        delay, missing = 0.1, predict_instance_id(job.flow_id, NEVER)
        while judge_lookup(reply := await self._get(job, missing)) is Lookup.TRANSIENT:
            if delay > REREAD_MAX_S:
                return
            await anyio.sleep(delay)  # a lost reply must not cost the run its short look-ups
            delay *= 2
        if judge_lookup(reply) in {Lookup.EMPTY, Lookup.UNDECIDED}:  # said by the service, not by a proxy
            self.calibration.get_missing = _signature(reply)

    def _is_ours(self, found: Instance, job: Job, sent_s: float) -> bool:
        """Whether an instance is the doing of a send; one that was there before teaches nothing.

        It shows at once, however far the look-ups are behind. So if its zone is not known yet, that is all
        that it may teach: with it, the next success can be told from an older instance.
        """
        ours = self.calibration.is_ours(found, job, sent_s, self._clock.wall())
        if ours is None:
            self.calibration.guess_zone(found, sent_s)
        return bool(ours)

    async def _get(self, job: Job, instance_id: str) -> Reply:
        await self._turn()
        reply = await self._gateway.get_instance(instance_id)
        self._overhear(job, reply)
        return reply

    async def _list(self, job: Job, first_sent_s: float | None) -> Reading:
        """Read all pages of all types; until a success showed what IDs look like here, of the whole flow.

        An instance that could be ours but has another ID than predicted may be just that: ours, under an ID
        that we do not understand yet. Then nothing is absent.
        """
        wanted = self.calibration.instance_id(job)
        knows_ids = self.calibration.id_shift_s is not None  # as above: not when the last page has come
        start = job.trigger_time_ms // MINUTE_MS * MINUTE_MS
        lists = [Pages(), Pages(), Pages()]
        for kind, pages in enumerate(lists):
            query = InstanceQuery(
                expression=wanted if knows_ids else f"{job.flow_id}-",
                type=kind,
                from_ms=start - MINUTE_MS,
                to_ms=start + 2 * MINUTE_MS,
                page=0,
            )
            if reading := await self._list_type(job, wanted, query, pages):
                return reading
        if why := next(filter(None, (pages.contradiction for pages in lists)), ""):
            return Reading(unsure=why)
        if len({pages.starts_at_1 for pages in lists}) > 1:  # so there is a page 0 that was not shown to us
            return Reading(unsure="the list refuses its first page")
        listed = (each for pages in lists for each in pages.instances)
        stranger = next((each for each in listed if self._may_be_ours(each, job, first_sent_s)), None)
        if stranger and not knows_ids:
            name = stranger.instance_id if _PLAIN_ID.fullmatch(stranger.instance_id) else "of an unusual ID"
            return Reading(unsure=f"there is an instance {name} that may be it", stranger=name)
        return Reading(absent=True)

    async def _list_type(self, job: Job, wanted: str, query: InstanceQuery, pages: Pages) -> Reading | None:
        """Read one list to its end; None if the instance is not in it, which `pages` may contradict."""
        for number in range(PAGES):
            await self._turn()
            reply = await self._gateway.list_instances(replace(query, page=number))
            self._overhear(job, reply)
            instances = instances_in(reply)
            if instances is None:
                if number > 0 or not is_no_page(reply):
                    return _refused(reply)
                pages.starts_at_1 = True
                continue
            if found := next((each for each in instances if each.instance_id == wanted), None):
                return Reading(found=found)
            pages.add(number, instances, count_in(reply))
            if pages.repeats:
                return Reading(unsure=pages.contradiction)
            if number > 0 and not instances:
                return None
        return Reading(unsure="the list has no end")

    def _may_be_ours(self, instance: Instance, job: Job, first_sent_s: float | None) -> bool:
        if not instance.instance_id.startswith(f"{job.flow_id}-") or first_sent_s is None:
            return False
        return self.calibration.is_ours(instance, job, first_sent_s, self._clock.wall()) is not False


def _refused(reply: Reply) -> Reading:
    why = str(reply.code or reply.status or reply.fault or "no sense")
    if judge_lookup(reply) is Lookup.NOT_PERMITTED:
        return Reading(not_permitted=why)
    return Reading(unsure=why)


def _signature(reply: Reply) -> tuple[int | None, int | None, bool]:
    """What tells one kind of answer from another: HTTP status, service code, and whether data came."""
    return reply.status, reply.code, not reply.data
