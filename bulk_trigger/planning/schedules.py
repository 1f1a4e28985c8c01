"""What the gateway says of a flow's own schedule, of the zone in which it is kept, and of the time."""

from __future__ import annotations

from functools import partial

import msgspec

from ..calls import Calls
from ..cells import clean
from ..errors import GatewayError, InputError, SettingsError
from ..model import Reply
from ..ports import Catalogue
from .zones import Zone, open_zone


class Schedule(msgspec.Struct, frozen=True):
    """The schedule of a flow."""

    flow_id: int
    freq: str  #: a cron expression, Quartz as far as we know
    is_on: bool


async def ask_schedule(calls: Calls, gateway: Catalogue, flow_id: int) -> Schedule:
    """Ask for the schedule of a flow. Raises `InputError` if it has none, or there is no such flow."""
    reply = await calls.ask(partial(gateway.get_flow, flow_id))
    data = reply.data[0] if isinstance(reply.data, list) and len(reply.data) == 1 else reply.data
    if not reply.success or not isinstance(data, dict):
        raise InputError(f"flow {flow_id}: the gateway tells nothing of it: {_why(reply)}")
    freq = data.get("freq")
    if not isinstance(freq, str) or not freq.strip():
        raise InputError(f"flow {flow_id} has no schedule of its own; say when with --cron or --every")
    return Schedule(flow_id, freq.strip(), data.get("active") not in {0, "0"})


async def ask_zone(calls: Calls, gateway: Catalogue) -> Zone:
    """Ask for the gateway's time zone. Raises `SettingsError` if it does not tell one."""
    reply = await calls.ask(gateway.time_zone)
    name = reply.data.get("timezone") if isinstance(reply.data, dict) else None
    try:
        if reply.success and isinstance(name, str):
            return open_zone(name)
    except SettingsError:  # it tells something, but no zone
        pass
    raise SettingsError(f"the gateway does not tell its time zone ({_why(reply)}); pass --timezone")


async def ask_now(calls: Calls, gateway: Catalogue) -> int:
    """Ask for the gateway's clock, in epoch milliseconds. Raises `GatewayError` if it does not tell."""
    reply = await calls.ask(gateway.current_time)
    if not reply.success or type(reply.data) is not int:
        raise GatewayError(f"the gateway does not tell the time ({_why(reply)}), so nobody knows what is due")
    return reply.data


def _why(reply: Reply) -> str:
    return clean(f"{reply.code if reply.code is not None else reply.status} {reply.message}").strip()
