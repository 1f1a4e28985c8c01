"""Which fault a call meets. Chance depends on the seed and on what the call is about, not on timing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from .calls import Call
from .chance import dice
from .flows import FlowSet
from .replies import Reply, failure
from .scenario import Fault

_DEFAULT_STATUS: Mapping[str, int] = {"status": 500, "redirect": 302}
_WRONG_ID = "1-20000101000000"
_LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Please log in.</body></html>"


@dataclass(slots=True)
class _Rule:
    """A fault, ready to be asked, and how many calls it has admitted."""

    index: int
    fault: Fault
    flows: FlowSet
    admitted: int = 0

    def admits(self, call: Call, attempt: int, elapsed_s: float) -> bool:
        """Whether the conditions hold that do not count calls."""
        fault = self.fault
        return (
            fault.on in {"any", call.api}
            and (not fault.flows or call.flow_id in self.flows)
            and (not fault.attempts or attempt in fault.attempts)
            and fault.from_s <= elapsed_s
            and (fault.to_s is None or elapsed_s < fault.to_s)
        )

    def strikes(self, seed: int, call: Call, attempt: int) -> bool:
        """Whether an admitted call meets the fault: by its number among them, and by chance."""
        fault = self.fault
        return (
            (not fault.calls or self.admitted in fault.calls)
            and (fault.first is None or self.admitted <= fault.first)
            and (fault.rate == 1 or dice(seed, "fault", self.index, *call.subject, attempt) < fault.rate)
        )


class FaultPlan:
    """All the faults of a scenario; of several that strike, the first counts."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._rules = [_Rule(index, fault, FlowSet(fault.flows)) for index, fault in enumerate(faults)]
        self._seed = seed

    def choose(self, call: Call, attempt: int, elapsed_s: float) -> Fault | None:
        """Return the fault that this call meets; *elapsed_s* is the time since the sandbox started."""
        for rule in self._rules:
            if rule.admits(call, attempt, elapsed_s):
                rule.admitted += 1
                if rule.strikes(self._seed, call, attempt):
                    return rule.fault
        return None


def spoil(fault: Fault, call: Call, honest: Reply | None) -> Reply:
    """Return what is said instead of the *honest* reply (None: the service was not asked)."""
    status = fault.status or _DEFAULT_STATUS.get(fault.kind, 200)
    match fault.kind:
        case "code":
            reply = failure(call.version, fault.code, fault.message, status=status)
        case "status":
            body = orjson.dumps({"message": f"Fault {status}"}) if fault.body is None else fault.body.encode()
            reply = Reply(status, body, content_type=fault.content_type)
        case "garbage":
            reply = Reply(status, _LOGIN_PAGE, content_type="text/html")
        case "redirect":
            reply = Reply(status, headers={"Location": fault.location})
        case "wrong_id" | "no_id" if honest is not None and honest.code == 0:
            reply = replace(honest, body=_with_other_id(honest.body, fault.kind == "wrong_id"))
        case _:
            reply = Reply(status) if honest is None or fault.kind == "empty" else honest
    return replace(reply, headers={**reply.headers, **fault.headers})


def _with_other_id(body: bytes, has_one: bool) -> bytes:
    """Return the envelope with the id of an instance that nobody asked for, or with none."""
    envelope = orjson.loads(body)
    envelope["data"] = {"flowInstanceId": _WRONG_ID} if has_one else {}
    return orjson.dumps(envelope)
