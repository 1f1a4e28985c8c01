"""Follows a run in this process, against the real sandbox over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from oracle import JobKey
from running import Rig

from bulk_trigger.calls import Calls
from bulk_trigger.following.lookout import Lookout
from bulk_trigger.following.targets import Followed, targets_in
from bulk_trigger.following.waiting import wait_for_end
from bulk_trigger.gateway import HttpGateway
from bulk_trigger.instances import Status
from bulk_trigger.launch import look_into
from bulk_trigger.ports import SystemClock


@asynccontextmanager
async def looking(rig: Rig, **changes: Any) -> AsyncIterator[Lookout]:
    """A lookout over the instances of a rig's run."""
    settings = rig.settings(**{"patience_s": 2.0, **changes})
    with look_into(rig.directory) as opened:
        instances = targets_in(opened.journal.outcomes())
    lookout = Lookout(instances, clock=SystemClock(), lost_after_s=settings.reconcile_wait_s)
    gateway = HttpGateway(settings, rig.credentials)
    try:
        yield lookout.at(Calls(gateway, settings), gateway)
    finally:
        await gateway.aclose()


async def chase(rig: Rig, *, timeout_s: float | None = 20.0, **changes: Any) -> Lookout:
    """Follow the run of a rig to its end, or until the time is over."""
    async with looking(rig, **changes) as lookout:
        await wait_for_end(lookout, SystemClock(), timeout_s)
    return lookout


def truth(rig: Rig, jobs: Sequence[JobKey]) -> dict[str, int]:
    """How the instances of these jobs end, as the sandbox itself knows."""
    instances = rig.sandbox._service._instances
    ids = [instances.predict(flow_id, at_ms) for flow_id, at_ms in jobs]
    return {each: instances._by_id[each].end_status for each in ids}


def told(instances: Sequence[Followed]) -> Mapping[str, Status | None]:
    """How they ended, as far as the lookout says."""
    return {each.instance_id: each.status for each in instances if each.is_over}
