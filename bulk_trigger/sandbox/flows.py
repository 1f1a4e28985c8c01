"""The flows of the pretended gateway: which exist, whose they are, and what they look like."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from .scenario import FlowList, Flows, Schedule
from .tokens import USER_ID


class FlowSet:
    """Flow ids, given one by one and as ranges such as `4000-4999`."""

    def __init__(self, items: FlowList) -> None:
        self._ids = frozenset(item for item in items if isinstance(item, int))
        self._ranges = tuple(_range(item) for item in items if isinstance(item, str))

    def __contains__(self, flow_id: object) -> bool:
        return flow_id in self._ids or any(flow_id in ids for ids in self._ranges)

    def __iter__(self) -> Iterator[int]:
        every = set(self._ids).union(*self._ranges)
        return iter(sorted(every))


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1)


class Schedules:
    """Says which schedule a flow has."""

    def __init__(self, usual: Flows, others: Sequence[Schedule]) -> None:
        self._usual = usual
        self._others = tuple((FlowSet(each.flows), each) for each in others)

    def of(self, flow_id: int) -> Schedule | Flows:
        """Return what has the flow's `freq` and `cycle`."""
        return next((each for flows, each in self._others if flow_id in flows), self._usual)


class FlowBook:
    """What is known about flows. The scenario describes them; a call may switch one on or off."""

    def __init__(self, flows: Flows, schedules: Schedules, instance_type: int) -> None:
        self._flows = flows
        self._schedules = schedules
        self._type = instance_type
        self._missing, self._foreign = FlowSet(flows.missing), FlowSet(flows.foreign)
        self._locked, self._no_task = FlowSet(flows.locked), FlowSet(flows.no_task)
        self._listed = FlowSet(flows.listed)
        self._paused = FlowSet(flows.paused)
        self._switched: dict[int, bool] = {}

    def refuse(self, flow_id: int, *, to: str) -> tuple[int, str] | None:
        """Say why the user may not do this *to* the flow: `see`, `change` or `trigger` it."""
        if flow_id in self._missing:
            return self._flows.missing_code, "The workflow does not exist"
        if to == "see":
            return None
        if flow_id in self._foreign:
            return 62103, "The user is not an owner of the workflow"
        if flow_id in self._locked:
            return 62103, "The workflow is locked"
        if to == "trigger" and flow_id in self._no_task:
            return 62104, ""
        return None

    def switch(self, flow_id: int, *, on: bool) -> None:
        """Enable or disable the schedule of a flow; it can be triggered all the same."""
        self._switched[flow_id] = on

    def describe(self, flow_id: int) -> dict[str, Any]:
        """Return the Flow struct of Get Flow."""
        owner = "somebody-else" if flow_id in self._foreign else USER_ID
        tasks = [] if flow_id in self._no_task else [{"taskId": flow_id * 10, "taskName": "task"}]
        return {
            "flowId": flow_id,
            "flowName": flow_name(flow_id),
            "active": int(self._switched.get(flow_id, flow_id not in self._paused)),
            "creator": owner,
            "createTime": "2019-07-18 07:49:10.0",
            "updateUser": owner,
            "updateTime": "2019-07-18 07:49:10.0",
            "freq": self._schedules.of(flow_id).freq,
            "cycle": self._schedules.of(flow_id).cycle,
            "parameters": "[]",
            "owner": owner,
            "visitor": "",
            "doAs": "data",
            "alertMode": 0,
            "graph": orjson.dumps({"id": flow_id, "tasks": tasks, "relations": []}).decode(),
            "entry": 0,
            "type": self._type,
            "desc": "",
            "startTime": "2019-07-18 00:00:00.0",
            "virtual": False,
            "locked": flow_id in self._locked,
            "hasEditPri": owner == USER_ID,
            "hasReadPri": True,
            "isUserLocked": False,
        }

    def search(self, expression: str, *, mine: bool) -> list[dict[str, Any]]:
        """Find flows whose id or name contains *expression*: all, or only *mine*, which say more."""
        found = (flow for flow in self._listed if flow not in self._missing and expression in flow_name(flow))
        if mine:
            return [self._mine(flow) for flow in found if flow not in self._foreign]
        return _briefly(found)

    def _mine(self, flow_id: int) -> dict[str, Any]:
        return {
            "flowId": str(flow_id),
            "flowName": flow_name(flow_id),
            "editable": flow_id not in self._locked,
            "cycle": self._schedules.of(flow_id).cycle,
        }


def _briefly(flow_ids: Iterable[int]) -> list[dict[str, Any]]:
    return [{"flowId": str(flow_id), "flowName": flow_name(flow_id)} for flow_id in flow_ids]


def flow_name(flow_id: int) -> str:
    """Return the name of a flow, which contains its id: one search finds both."""
    return f"flow-{flow_id}"
