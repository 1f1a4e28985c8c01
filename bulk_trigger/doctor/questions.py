"""Asks the gateway what the doctor wants to know. Every call of it only reads.

Rule 1: one question at a time builds on the one before: without a token nothing else is asked.
Rule 2: each flow is asked about once.
Rule 3: what concerns every call ends the questions; what was told until then counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ..calls import Calls, NoAnswer
from ..model import Reply, predict_instance_id
from ..ports import Catalogue, Clock, InstanceQuery, SystemClock
from ..reconcile import is_no_page
from ..reconcile.lookups import NEVER
from .answers import Answers, is_answer, said
from .census import read_flow
from .clock import time_of

_LATELY_MS = 3_600_000  #: what the list is asked for; whether it is permitted does not depend on it
_ANY_FLOW = 1


async def ask_all(
    calls: Calls,
    gateway: Catalogue,
    *,
    flow_ids: Sequence[int] = (),
    user_id: str,
    clock: Clock | None = None,
) -> Answers:
    """Ask everything. Never raises for what the gateway does."""
    questions = _Questions(calls, gateway, clock or SystemClock())
    await questions.ask(flow_ids, user_id)
    return questions.answers


class _Questions:
    def __init__(self, calls: Calls, gateway: Catalogue, clock: Clock) -> None:
        self.answers = Answers()
        self._calls = calls
        self._gateway = gateway
        self._clock = clock

    async def ask(self, flow_ids: Sequence[int], user_id: str) -> None:
        answers, gateway = self.answers, self._gateway
        answers.census.total = len(flow_ids)
        try:
            await self._calls.get_ready()
        except NoAnswer as end:
            answers.token = end.reply
            return
        answers.ready = True
        answers.clock = await self._reply(self._timed)
        if not answers.broken:
            answers.zone = await self._reply(gateway.time_zone)
        if not answers.broken:
            answers.listed = await self._list()
        if not answers.broken:
            missing = predict_instance_id(flow_ids[0] if flow_ids else _ANY_FLOW, NEVER)
            answers.got = await self._reply(partial(gateway.get_instance, missing))
        if not answers.broken and answers.heard:
            await self._flows(flow_ids, user_id)

    async def _reply(self, call: Callable[[], Awaitable[Reply]]) -> Reply:
        """The answer, or the last reply before it was given up."""
        try:
            return await self._calls.ask(call)
        except NoAnswer as end:
            return end.reply

    async def _timed(self) -> Reply:
        """Compare the clocks: the gateway's was read about half-way through the call."""
        reply = await self._gateway.current_time()
        if (theirs_s := time_of(reply)) is not None:
            self.answers.ahead_s = theirs_s - (self._clock.wall() - reply.latency_s / 2)
        return reply

    async def _list(self) -> Reply:
        """Ask for the first page, which is number 0 or 1."""
        now_ms = round((self._clock.wall() + self.answers.ahead_s) * 1000)
        reply = await self._reply(partial(self._gateway.list_instances, _page(0, now_ms)))
        if is_no_page(reply):
            reply = await self._reply(partial(self._gateway.list_instances, _page(1, now_ms)))
        return reply

    async def _flows(self, flow_ids: Sequence[int], user_id: str) -> None:
        async def ask_one(flow_id: int) -> None:
            reply = await self._calls.ask(partial(self._gateway.get_flow, flow_id))
            flow = read_flow(flow_id, reply, user_id)
            self.answers.census.add(flow_id, flow, "" if is_answer(reply) else said(reply))
            if not flow.answered:
                self.answers.census.silent = reply

        try:
            await self._calls.ask_all(flow_ids, ask_one)
        except NoAnswer as end:
            self.answers.census.silent = end.reply


def _page(number: int, now_ms: int) -> InstanceQuery:
    return InstanceQuery(
        expression="", type=1, from_ms=now_ms - _LATELY_MS, to_ms=now_ms, page=number, page_size=1
    )
