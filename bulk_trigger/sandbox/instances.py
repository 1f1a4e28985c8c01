"""The instances of flows, and when they run.

Rule 1: one instance of a flow runs at a time; the others queue in the order of their creation.
Rule 2: nothing happens by timer. Start and end are known at creation; a status is worked out when asked for.

All times are epoch seconds by the sandbox's clock, save `trigger_time`, which is in milliseconds.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
import math
from typing import Any

import orjson

from . import scenario as given
from .chance import dice, lognormal
from .flows import Schedules, flow_name
from .history import remember
from .scenario import Scenario
from .tokens import USER_ID

FAIL, SUCCESS, RUNNING, WAIT, CANCEL = -1, 1, 2, 5, 8
LIVE = frozenset({0, 2, 3, 5, 6, 9})
STATUS_WORDS = {
    -1: "FAIL", 0: "INIT", 1: "SUCCESS", 2: "RUNNING", 3: "SUSPEND", 4: "INTERNAL_ERROR",
    5: "WAIT", 6: "READY", 7: "TIMEOUT", 8: "CANCEL", 9: "RERUN", 10: "SKIP",
}  # fmt: skip

_HOUR_MS = 3_600_000
_ID_FORMATS = {14: "%Y%m%d%H%M00", 12: "%Y%m%d%H%M", 10: "%Y%m%d%H"}


@dataclass(slots=True)
class Instance:
    """One instance. Its owner, `Instances`, sets when it starts and ends."""

    instance_id: str
    flow_id: int
    trigger_time: int
    created_at: float
    duration_s: float
    end_status: int = SUCCESS
    live_status: int = RUNNING  #: while it runs
    start_at: float = math.inf
    end_at: float = math.inf
    cancelled_at: float | None = None
    virtual: bool = False

    def status(self, now: float) -> int:
        """Return its status number at *now*."""
        if self.cancelled_at is not None:
            return CANCEL
        if now < self.start_at:
            return WAIT
        return self.live_status if now < self.end_at else self.end_status


class Instances:
    """All instances, found by id, by flow and by trigger time."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self._schedules = Schedules(scenario.flows, scenario.schedules)
        self._by_id: dict[str, Instance] = {}
        self._by_flow: defaultdict[int, list[Instance]] = defaultdict(list)
        self._by_hour: defaultdict[int, list[Instance]] = defaultdict(list)
        self._free_at: dict[int, float] = {}  # flow id -> when the last one of its queue ends
        for before in scenario.instances:
            self._add(_existing(before, before.id or self.predict(before.flow, before.trigger_time)))
        for scheduled, digits in remember(scenario.history, seed):
            predicted = self.predict(scheduled.flow, scheduled.trigger_time, digits)
            self._add(_existing(scheduled, predicted))

    def predict(self, flow_id: int, trigger_time: int, digits: int | None = None) -> str:
        """Return the id that an instance of this job gets."""
        moment = datetime.fromtimestamp(trigger_time / 1000, zone(self._scenario.id_timezone))
        return f"{flow_id}-{moment.strftime(_ID_FORMATS[digits or self._scenario.id_digits])}"

    def create(self, flow_id: int, trigger_time: int, now: float) -> Instance:
        """Create an instance; it starts when its flow is free."""
        durations, subject = self._scenario.durations, (flow_id, trigger_time, len(self._by_flow[flow_id]))
        instance = Instance(
            self.predict(flow_id, trigger_time),
            flow_id,
            trigger_time,
            now,
            lognormal(durations.median_s, durations.sigma, dice(self._seed, "duration", *subject)),
            FAIL if dice(self._seed, "end", *subject) < durations.fail_rate else SUCCESS,
        )
        self._add(instance)
        return instance

    def find(self, instance_id: str, now: float) -> Instance | None:
        """Return the newest instance of this id that can be seen at *now*."""
        newest = self._by_id.get(instance_id)
        if newest is None or self._is_visible(newest, now):
            return newest
        older = (each for each in reversed(self._by_flow[newest.flow_id]) if each.instance_id == instance_id)
        return next((each for each in older if self._is_visible(each, now)), None)

    def exists(self, instance_id: str) -> bool:
        """Whether there is one, visible or not."""
        return instance_id in self._by_id

    def between(self, from_ms: int, to_ms: int, now: float) -> Iterator[Instance]:
        """Yield those triggered for [from, to) that can be seen at *now*, by the hour."""
        first, last = from_ms // _HOUR_MS, to_ms // _HOUR_MS
        for hour in sorted(hour for hour in self._by_hour if first <= hour <= last):
            for instance in self._by_hour[hour]:
                if from_ms <= instance.trigger_time < to_ms and self._is_visible(instance, now):
                    yield instance

    def cancel(self, instance_id: str, now: float) -> bool:
        """Cancel a live instance; those behind it in the queue move up. False: it was not live."""
        instance = self._by_id.get(instance_id)
        if instance is None or instance.status(now) not in LIVE:
            return False
        instance.cancelled_at = now
        free_at = -math.inf
        for queued in self._by_flow[instance.flow_id]:
            free_at = _place(queued, free_at)
        self._free_at[instance.flow_id] = free_at
        return True

    def describe(self, instance: Instance, now: float) -> dict[str, Any]:
        """Return the FlowInstance struct."""
        scenario, status = self._scenario, instance.status(now)
        trigger_at, trigger_zone = instance.trigger_time / 1000, zone(scenario.timezone)
        start_zone, schedule = zone(scenario.start_timezone), self._schedules.of(instance.flow_id)
        has_ended = status not in LIVE
        return {
            "instanceId": instance.instance_id,
            "flowId": instance.flow_id,
            "flowName": flow_name(instance.flow_id),
            "freq": schedule.freq,
            "cycle": schedule.cycle,
            "parameters": "[]",
            "doAs": "data",
            "graph": _graph(instance, status),
            "status": status,
            "statusDesc": STATUS_WORDS[status],
            "triggerTime": _text(trigger_at, trigger_zone),
            "startTime": _text(instance.start_at, start_zone) if instance.start_at <= now else "",
            "endTime": _text(instance.end_at, start_zone) if has_ended else "",
            "timestamp": _text(instance.created_at, start_zone) + ".0",
            "virtual": instance.virtual,
            "owner": USER_ID,
            "alertMode": 0,
            "calDt": _text(trigger_at - 86400, trigger_zone)[:10],
            "hasEditPri": True,
            "hasReadPri": True,
        }

    def _add(self, instance: Instance) -> None:
        flow_id = instance.flow_id
        self._free_at[flow_id] = _place(instance, self._free_at.get(flow_id, -math.inf))
        self._by_id[instance.instance_id] = instance
        self._by_flow[flow_id].append(instance)
        self._by_hour[instance.trigger_time // _HOUR_MS].append(instance)

    def _is_visible(self, instance: Instance, now: float) -> bool:
        return instance.created_at + self._scenario.visible_after_s <= now


def zone(name: str) -> timezone:
    """`GMT+8` is eight hours ahead."""
    return timezone(timedelta(hours=int(name.removeprefix("GMT"))))


def _existing(before: given.Instance, instance_id: str) -> Instance:
    """Return an instance that ran at its trigger time; a live one never ends."""
    is_live = before.status in LIVE
    return Instance(
        instance_id,
        before.flow,
        before.trigger_time,
        before.trigger_time / 1000,
        math.inf if is_live else 1.0,
        before.status,
        before.status if is_live else RUNNING,
        virtual=before.virtual,
    )


def _place(instance: Instance, free_at: float) -> float:
    """Say when *instance* runs, given when its flow is free, and return when the flow is free again."""
    start_at = max(instance.created_at, free_at)
    cancelled_at = math.inf if instance.cancelled_at is None else instance.cancelled_at
    if cancelled_at <= start_at:  # it never ran
        instance.start_at, instance.end_at = math.inf, cancelled_at
        return free_at
    instance.start_at = start_at
    instance.end_at = min(start_at + instance.duration_s, cancelled_at)
    return instance.end_at


def _text(at: float, tz: timezone) -> str:
    return datetime.fromtimestamp(at, tz).strftime("%Y-%m-%d %H:%M:%S")


def _graph(instance: Instance, status: int) -> str:
    """Return the InstanceGraph, which the service sends as JSON inside JSON."""
    task_id = instance.flow_id * 10
    task = {
        "taskName": "task",
        "taskId": task_id,
        "taskInstId": f"{task_id}-{instance.instance_id.partition('-')[2]}",
        "status": STATUS_WORDS[status],
    }
    return orjson.dumps({"instId": instance.instance_id, "tasks": [task], "relations": []}).decode()
