"""The documented service: what each call does, and what it answers. No sockets, no clock of its own."""

from collections.abc import Callable, Mapping
from time import monotonic

from .calls import Call
from .flows import FlowBook, Schedules
from .instances import Instances, zone
from .ledger import Cancelled, Effect, Event, Ledger
from .listing import QueryError, cut_page, read_query, select
from .replies import Reply, failure, refusal, success
from .scenario import Scenario
from .tokens import ORG_ID, USER_ID

_NO_LOOKUP: Mapping[str, Callable[[Call], Reply]] = {
    "forbidden": lambda call: failure(call.version, 62103),
    "forbidden-99403": lambda call: failure(call.version, 99403),
    "403": lambda _: refusal(403, "Your IP address is not allowed"),
    "404": lambda _: refusal(404, "no Route matched with those values"),
    "501": lambda _: refusal(501, "Not Implemented"),
    "down": lambda _: refusal(500, "An unexpected error occurred"),
}


class Service:
    """Flows and instances behind the API. Writes every effect to the ledger before it answers."""

    def __init__(self, scenario: Scenario, seed: int, ledger: Ledger) -> None:
        self._scenario = scenario
        self._ledger = ledger
        self._flows = FlowBook(
            scenario.flows, Schedules(scenario.flows, scenario.schedules), scenario.instance_type
        )
        self._instances = Instances(scenario, seed)
        self._apis: Mapping[str, Callable[[Call, int, float], Reply]] = {
            "trigger": self._trigger,
            "get": self._get,
            "list": self._list,
            "cancel": self._cancel,
            "flow": self._flow,
            "flows": self._search_flows,
            "switch": self._switch,
            "time": self._time,
        }

    def replay(self, event: Event) -> None:
        """Take over what an earlier sandbox wrote into the same ledger."""
        match event:
            case Effect():
                self._instances.create(event.flow_id, event.trigger_time, event.at)
            case Cancelled():
                self._instances.cancel(event.instance_id, event.at)
            case _:
                pass

    def answer(self, call: Call, n: int, now: float) -> Reply:
        """Do what the call (the *n*-th) asks for at *now* (epoch seconds)."""
        api = self._apis.get(call.api)
        if api is None:
            return failure(call.version, 99400, "Unknown action")
        if call.api != "time" and (call.params.get("userId"), call.params.get("orgId")) != (USER_ID, ORG_ID):
            return failure(call.version, 62101)
        return api(call, n, now)

    def _trigger(self, call: Call, n: int, now: float) -> Reply:
        if call.flow_id is None or call.trigger_time is None:
            return failure(call.version, 62102, "Invalid request body.")
        if call.action == "updateAndTrigger" and not call.data.get("parameters"):
            return failure(call.version, 62102, "parameters must not be empty")
        if reason := self._flows.refuse(call.flow_id, to="trigger"):
            return failure(call.version, *reason)
        instance_id = self._instances.predict(call.flow_id, call.trigger_time)
        if self._instances.exists(instance_id) and self._scenario.same_minute != "second-instance":
            return self._existing(call, instance_id)
        self._instances.create(call.flow_id, call.trigger_time, now)
        self._ledger.append(
            Effect(
                n=n,
                flow_id=call.flow_id,
                trigger_time=call.trigger_time,
                instance_id=instance_id,
                at=now,
                mono=monotonic(),
            )
        )
        return success(call.version, {"flowInstanceId": instance_id})

    def _existing(self, call: Call, instance_id: str) -> Reply:
        match self._scenario.same_minute:
            case "62109":
                return failure(call.version, 62109)
            case "62102":
                return failure(call.version, 62102, "Do not trigger the same workflow repeatedly in 1 minute")
            case _:
                return success(call.version, {"flowInstanceId": instance_id})

    def _get(self, call: Call, _: int, now: float) -> Reply:
        if self._scenario.lookup != "allowed":
            return _NO_LOOKUP[self._scenario.lookup](call)
        if not call.about:
            return failure(call.version, 62102)
        instance = self._instances.find(call.about, now)
        if instance is None:
            return self._no_such_instance(call)
        data = self._instances.describe(instance, now)
        return success(call.version, [data] if self._scenario.get_as_list else data)

    def _no_such_instance(self, call: Call) -> Reply:
        match self._scenario.missing_instance:
            case "null-data":
                return success(call.version, None)
            case "404":
                return refusal(404, "Not Found")
            case code:
                return failure(call.version, int(code), "The instance does not exist")

    def _list(self, call: Call, n: int, now: float) -> Reply:
        if self._scenario.lookup != "allowed":
            return _NO_LOOKUP[self._scenario.lookup](call)
        try:
            query = read_query(call.data)
            window = self._instances.between(query.from_trigger_time, query.to_trigger_time, now)
            found = select(query, window, self._scenario.instance_type, now)
            page = cut_page(found, query, call.version, self._scenario, turn=n)
        except QueryError as error:
            return failure(call.version, 62102, str(error))
        rows = [
            {**self._instances.describe(instance, now), "isCancelled": instance.cancelled_at is not None}
            for instance in page
        ]
        count = len(found) if self._scenario.count == "total" else len(rows)
        return success(call.version, {"flowInsts": rows, "count": count})

    def _cancel(self, call: Call, n: int, now: float) -> Reply:
        if call.about is None or call.flow_id is None:
            return failure(call.version, 62102)
        if reason := self._flows.refuse(call.flow_id, to="change"):
            return failure(call.version, *reason)
        if not self._instances.cancel(call.about, now):
            return failure(call.version, 62102, "The instance does not exist or has ended")
        self._ledger.append(Cancelled(n=n, instance_id=call.about, at=now, mono=monotonic()))
        return success(call.version, "")

    def _flow(self, call: Call, _: int, __: float) -> Reply:
        if call.flow_id is None:
            return failure(call.version, 62102)
        if reason := self._flows.refuse(call.flow_id, to="see"):
            return failure(call.version, *reason)
        return success(call.version, self._flows.describe(call.flow_id))

    def _search_flows(self, call: Call, _: int, __: float) -> Reply:
        name = "searchValue" if call.version == "v2.0" else "expression"
        if call.action == "getMyFlow":
            return success(call.version, self._flows.search(call.params.get(name, ""), mine=True))
        return success(call.version, self._flows.search(call.about or "", mine=False))

    def _switch(self, call: Call, _: int, __: float) -> Reply:
        if call.flow_id is None:
            return failure(call.version, 62102)
        if reason := self._flows.refuse(call.flow_id, to="change"):
            return failure(call.version, *reason)
        self._flows.switch(call.flow_id, on=call.action == "enable")
        return success(call.version, "")

    def _time(self, call: Call, _: int, now: float) -> Reply:
        if call.action == "getCurrentTime":
            return success(call.version, int(now * 1000))
        offset_h = int(zone(self._scenario.timezone).utcoffset(None).total_seconds() // 3600)
        return success(call.version, {"timezone": f"GMT{offset_h:+d}"})
