"""A gateway that stays up when the machine of the run goes down, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
import random

from clock import EPOCH, tell_later
from oracle import JobKey
from store import Store

from bulk_trigger import Job, Reply
from bulk_trigger.model import Fault
from bulk_trigger.ports import Answered, InstanceQuery

LATENCY_S = 0.05  # there and back; the effect is in the middle
TIMEOUT_S = 5.0
_FORBIDDEN = 62103


class Remote:
    """Starts a flow for each trigger that reaches it, whatever becomes of who sent it.

    While the run's machine is without power, nothing leaves it any more. `trouble` is the share of requests
    that take effect and get no reply; as many again get one that leaves everything open, with or without an
    effect. `refuses`: so many of the first requests are turned away for good.
    """

    ready = True

    def __init__(
        self,
        disk: Store,
        *,
        look_ups: bool = True,
        trouble: float = 0.0,
        refuses: int = 0,
        seed: int = 0,
    ) -> None:
        self.effects: list[JobKey] = []
        self.sends: list[JobKey] = []  #: requests that left, in their order
        self.late = 0  #: of these, when the disk had failed already
        self.met: Counter[str] = Counter()
        self._disk = disk
        self._look_ups = look_ups
        self._trouble = trouble
        self._refuses = refuses
        self._dice = random.Random(seed)
        self._started: dict[str, float] = {}

    def trigger(self, job: Job, answered: Answered) -> None:
        if self._disk.is_off:
            tell_later(self._silence(), answered)
            return
        self.sends.append((job.flow_id, job.trigger_time_ms))
        self.late += self._disk.has_failed
        tell_later(self._reply(job, refused=len(self.sends) <= self._refuses), answered)

    async def _silence(self) -> Reply:
        await asyncio.sleep(TIMEOUT_S)
        return Reply(fault=Fault.TIMEOUT, latency_s=TIMEOUT_S)

    async def _reply(self, job: Job, *, refused: bool) -> Reply:
        loop = asyncio.get_running_loop()
        fate, started = self._dice.random(), loop.time()
        if refused:
            await asyncio.sleep(LATENCY_S)
            return Reply(status=200, code=62102, message="Invalid request body.", latency_s=LATENCY_S)
        if self._trouble <= fate < 1.5 * self._trouble:
            self.met["62109, not applied"] += 1
        else:
            loop.call_later(LATENCY_S / 2, self._take_effect, job)
        if fate < self._trouble:
            self.met["applied, no reply"] += 1
            await asyncio.sleep(TIMEOUT_S)
            return Reply(fault=Fault.TIMEOUT, latency_s=TIMEOUT_S)
        await asyncio.sleep(LATENCY_S)
        took_s = loop.time() - started
        if fate < 2 * self._trouble:
            self.met["62109, applied"] += fate >= 1.5 * self._trouble
            return Reply(status=200, code=62109, message="Internal server exception", latency_s=took_s)
        data = {"flowInstanceId": job.instance_id}
        return Reply(status=200, code=0, success=True, data=data, latency_s=took_s)

    async def get_instance(self, instance_id: str) -> Reply:
        await asyncio.sleep(LATENCY_S)
        if not self._look_ups:
            return Reply(status=200, code=_FORBIDDEN, message="No privilege")
        if (started := self._started.get(instance_id)) is None:
            return Reply(status=200, code=99404, message="The instance does not exist")
        return Reply(status=200, code=0, success=True, data=_describe(instance_id, started))

    async def list_instances(self, query: InstanceQuery) -> Reply:
        await asyncio.sleep(LATENCY_S)
        if not self._look_ups:
            return Reply(status=200, code=_FORBIDDEN, message="No privilege")
        found = [
            _describe(instance_id, started)
            for instance_id, started in self._started.items()
            if instance_id.startswith(query.expression) and query.page == 0
        ]
        return Reply(status=200, code=0, success=True, data={"flowInsts": found, "count": len(found)})

    async def current_time(self) -> Reply:
        await asyncio.sleep(LATENCY_S)
        return Reply(status=200, code=0, success=True, data=0)

    async def prepare(self) -> Reply:
        raise NotImplementedError

    def refuse_token(self, token: int) -> None:
        raise NotImplementedError(token)

    async def aclose(self) -> None:
        """Close nothing: it serves the next session too."""

    def _take_effect(self, job: Job) -> None:
        self.effects.append((job.flow_id, job.trigger_time_ms))
        self._started[job.instance_id] = asyncio.get_running_loop().time()


def _describe(instance_id: str, started: float) -> dict[str, object]:
    return {
        "instanceId": instance_id,
        "status": 2,
        "startTime": f"{datetime.fromtimestamp(EPOCH + started, UTC):%F %T}",
    }
