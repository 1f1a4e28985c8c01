"""Sees many instances with few calls, and says of none what was not shown.

Rule 1: what a list shows is true of what it shows; that something is not in it says nothing. So pages may be
        dropped, repeated or shuffled: what they do not show is asked for by itself.
Rule 2: an instance with the right ID that started before our send is not ours (design decision 3).
        The zone of its times is learned from the first instances of a few flows: those had not to wait.
Rule 3: rows that share an ID cannot be told apart: they are told how it ended only if all of it ended alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Self

from msgspec.structs import replace

from ..calls import Calls
from ..instances import Instance, Lookup, Status, found_instance, judge_lookup
from ..listing import TYPES, read_pages
from ..model import Job, Reply
from ..ports import Clock, Gateway, InstanceQuery
from ..reconcile import Calibration
from ..reconcile.calibration import MOST_SHIFT_S, text_to_epoch
from .targets import Followed
from .windows import Window, plan_windows

_WITNESSES = 3  #: flows whose first instance is asked for the zone
_KNOWN = frozenset(Status)
_TRIES = 3  #: of one question about one instance that gets no good reply
_ASK_AFTER = 2  #: looks in a row that did not show an instance, before it is asked for by itself


class Lookout:
    """Looks at the instances of one run."""

    def __init__(
        self, instances: Sequence[Followed], *, clock: Clock, lost_after_s: float, thorough: bool = False
    ) -> None:
        """`lost_after_s`: for so long the gateway may not know an instance that it told us of.

        `thorough`: lists are read to their ends, for others with the same ID; not only until all was seen.
        """
        self.instances = instances
        self._clock = clock
        self._lost_after_s = lost_after_s
        self._thorough = thorough
        self._calibration = Calibration()
        first = {each.flow_id: each for each in reversed(instances) if each.sent_ms}
        self._witnesses = list(first.values())[-_WITNESSES:]
        self._zones: set[float] = set()
        self._types: Counter[int] = Counter()  #: under which type how many were found

    @property
    def waiting(self) -> list[Followed]:
        """The instances that have not ended, as far as is known."""
        return [each for each in self.instances if not each.is_over]

    @property
    def zone_s(self) -> float | None:
        """By how many seconds the texts of starts and ends are ahead of UTC; None if that is not known."""
        return self._calibration.zone_s

    def at(self, calls: Calls, gateway: Gateway) -> Self:
        """Look from now on with these calls."""
        self._calls, self._gateway = calls, gateway
        return self

    async def compare_clocks(self) -> None:
        """Ask for the gateway's clock, by which its instances start. Raises `GatewayError`."""
        reply = await self._calls.ask(self._gateway.current_time)
        if reply.success and type(reply.data) is int:
            self._calibration.clock_ahead_s = reply.data / 1000 - self._clock.wall()

    async def look(self, front: int | None) -> bool:
        """Look once at what has not ended: of each flow at the first `front`. Raises `GatewayError`.

        Returns whether of some flow all those have ended, so that it is worth looking at the next ones now.
        """
        await self._learn_zone()
        windows = plan_windows(self.waiting, front)
        await self._calls.ask_all(windows, self._read_window)
        wanted = [each for window in windows for each in window.wanted]
        await self._calls.ask_all([each for each in wanted if each.unseen >= _ASK_AFTER], self.ask)
        still_busy = {each.flow_id for each in wanted if not each.is_over}
        return any(each.flow_id not in still_busy for each in self.waiting)

    async def ask(self, one: Followed) -> None:
        """Ask for one instance by its ID. Raises `GatewayError`."""
        reply = await self._get(one)
        found = found_instance(reply, one.instance_id)
        if found and self._note(one, [found]):
            return
        if found is None and judge_lookup(reply) is Lookup.TRANSIENT:
            return
        now = self._clock.monotonic()
        one.absent_since = now if one.absent_since is None else one.absent_since
        one.lost = now - one.absent_since >= self._lost_after_s

    async def _get(self, one: Followed) -> Reply:
        """An ID that the gateway stumbles over must not hold up the others."""
        return await self._calls.ask(partial(self._gateway.get_instance, one.instance_id), most=_TRIES)

    async def _learn_zone(self) -> None:
        """Those who can say must agree."""
        for one in list(self._witnesses):
            reply = await self._get(one)
            found = found_instance(reply, one.instance_id)
            started = text_to_epoch(found.start_time) if found else None
            if not found or started is None or abs(started - self._sent_s(one)) > MOST_SHIFT_S:
                continue  # not started yet, or an older one of the same ID
            self._witnesses.remove(one)
            guess = Calibration()
            guess.guess_zone(found, self._sent_s(one))
            if guess.zone_s is not None:
                self._zones.add(guess.zone_s)
        if len(self._zones) == 1:
            self._calibration.zone_s = next(iter(self._zones))
        else:
            self._calibration.zone_s = None

    async def _read_window(self, window: Window) -> None:
        wanted = {each.instance_id: each for each in window.wanted}
        missing = set(wanted)
        shown: defaultdict[str, list[Instance]] = defaultdict(list)
        for kind in sorted(TYPES, key=lambda kind: -self._types[kind]):
            await self._read_list(window, kind, wanted, missing, shown)
            if not missing and not self._thorough:
                return
        for instance_id in missing:
            wanted[instance_id].unseen += 1

    async def _read_list(
        self,
        window: Window,
        kind: int,
        wanted: Mapping[str, Followed],
        missing: set[str],
        shown: defaultdict[str, list[Instance]],
    ) -> None:
        """Read until nothing is missing any more, or to the end, or until nothing new comes."""
        query = InstanceQuery(
            expression="" if window.flow_id is None else f"{window.flow_id}-",
            type=kind,
            from_ms=window.from_ms,
            to_ms=window.to_ms,
            page=0,
        )
        known: set[Instance] = set()
        async with aclosing(read_pages(self._calls, self._gateway, query)) as pages:
            async for page in pages:
                stale = known.issuperset(page.instances)
                for each in page.instances:
                    one = wanted.get(each.instance_id)
                    if one is None or each in known or each.virtual:
                        continue
                    if each.instance_id not in missing and not self._thorough:
                        continue
                    shown[each.instance_id].append(each)
                    if self._note(one, shown[each.instance_id]):
                        self._types[kind] += 1
                        missing.discard(each.instance_id)
                known.update(page.instances)
                if (not missing and not self._thorough) or (stale and page.number > 1):
                    return

    def _note(self, one: Followed, shown: Sequence[Instance]) -> bool:
        """Take note of all that was shown under an ID; returns whether that says how the rows stand."""
        ours = [each for each in shown if each.status in _KNOWN and self._may_be_ours(one, each)]
        one.has_namesake |= any(not each.has_ended for each in shown if each not in ours)
        if len(ours) < len(one.targets):
            return False
        live = [each for each in ours if not each.has_ended]
        if not live and len({each.status for each in ours}) > 1:
            return False
        one.seen = (live or ours)[0]
        if len(ours) > 1:  # of which of them would the times be?
            one.seen = replace(one.seen, start_time="", end_time="")
        one.unseen, one.absent_since = 0, None
        return True

    def _may_be_ours(self, one: Followed, instance: Instance) -> bool:
        """Whether it is not older than our first send; what was cancelled early never started."""
        if not one.sent_ms:
            return True
        began = replace(instance, start_time=instance.start_time or instance.end_time)
        job = Job(0, one.flow_id, one.trigger_time_ms)
        return self._calibration.is_ours(began, job, self._sent_s(one), self._clock.wall()) is not False

    def _sent_s(self, one: Followed) -> float:
        """When it may first have been created, by the gateway's clock."""
        return one.sent_ms / 1000 + self._calibration.clock_ahead_s
