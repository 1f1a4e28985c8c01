"""Keeps the lanes supplied from the journal, with a short look-ahead; the rest stays on disk.

Lanes open from two ends: the longest flows, because they may decide the end of the run, and the flows that
come first in the input. However many flows there are, only those that are active are in memory.
"""

from __future__ import annotations

from collections.abc import Container

from ..journal import Flow, Journal
from ..lanes import Lanes
from .bell import Bell
from .scribe import Scribe

LONGEST = 256  #: lanes that are kept open from the long end
BATCH = 512  #: flows asked for at a time
LOOK_AHEAD_ROWS = 16_384  #: rows that all look-aheads hold together, about


class Feed:
    """Opens lanes and fills their look-ahead. One task runs `run`."""

    def __init__(
        self, journal: Journal, scribe: Scribe, lanes: Lanes, *, low: int, tainted: Container[int], fed: Bell
    ) -> None:
        self._journal = journal
        self._scribe = scribe
        self._lanes = lanes
        self._low = low  #: ready lanes below which more are opened
        self._tainted = tainted  #: flows that went on after a row ended as unknown
        self._fed = fed  #: rung when lanes have become ready
        self._bell = Bell()
        self._long: set[int] = set()
        self._longest_seen = 0
        self._last_rank = 0
        self._more_long = True
        self._more = True
        self.is_idle = False  #: it is waiting to be nudged, so nothing is on its way to the lanes

    def nudge(self) -> None:
        """Look whether the lanes want to be fed; costs next to nothing."""
        if self._lanes.are_hungry or (self._more and self._lanes.ready < self._low):
            self.is_idle = False
            self._bell.ring()

    async def run(self) -> None:
        """Feed the lanes whenever they want it, for ever."""
        while True:
            await self.fill()
            self._fed.ring()
            self.is_idle = True
            await self._bell.wait()
            self.is_idle = False

    async def fill(self) -> None:
        """Open and feed lanes until enough are ready, or the journal has no more."""
        await self._open_longest()
        while True:
            await self._refill()
            if not self._more or self._lanes.ready >= self._low:
                return
            await self._open_next()

    async def _open_longest(self) -> None:
        self._long = {flow_id for flow_id in self._long if flow_id in self._lanes}
        if not self._more_long or len(self._long) > LONGEST // 2:
            return
        flows = await self._scribe.ask(self._journal.longest_flows, self._longest_seen, LONGEST)
        self._longest_seen += len(flows)
        self._more_long = len(flows) == LONGEST
        self._long |= {flow.flow_id for flow in flows if self._open(flow)}

    async def _open_next(self) -> None:
        flows = await self._scribe.ask(self._journal.next_flows, self._last_rank, BATCH)
        self._more = len(flows) == BATCH
        for flow in flows:
            self._last_rank = flow.rank
            self._open(flow)

    def _open(self, flow: Flow) -> bool:
        return self._lanes.open(flow.flow_id, flow.rows, tainted=flow.flow_id in self._tainted)

    async def _refill(self) -> None:
        while requests := self._lanes.hungry(BATCH):
            if any(after is None for _, after in requests):
                # A lane that just opened may be one that closed a moment ago. The journal leaves out the
                # rows that have ended, and must have heard of all of them before it is asked: or they
                # would be sent twice.
                await self._scribe.flushed()
            limit = max(16, min(LOOK_AHEAD_ROWS // len(self._lanes), 2048))
            found = await self._scribe.ask(self._journal.look_ahead, requests, limit)
            for (flow_id, _), jobs in zip(requests, found, strict=True):
                if flow_id in self._lanes:  # it may have been stopped meanwhile
                    self._lanes.feed(flow_id, jobs, more=len(jobs) == limit)
