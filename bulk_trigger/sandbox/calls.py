"""What a request asks for, before anybody has looked whether it may."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson

Version = Literal["v2.0", "v2.1"]

SERVICES: Mapping[str, Version] = {
    "dataflow-batch-service/v2.0": "v2.0",
    "batch-processing-service/v2.1": "v2.1",
}
TOKEN_SERVICE = "apim-token-service/v2.0/token"  # noqa: S105 - a path
#: (method, resource, action) -> the word that scenario and ledger have for it
APIS: Mapping[tuple[str, str, str], str] = {
    ("POST", "flows", "trigger"): "trigger",
    ("POST", "flows", "updateAndTrigger"): "trigger",
    ("GET", "flows", "get"): "flow",
    ("GET", "flows", "getMyFlow"): "flows",
    ("POST", "flows", "search"): "flows",
    ("POST", "flows", "enable"): "switch",
    ("POST", "flows", "disable"): "switch",
    ("GET", "flowInstances", "get"): "get",
    ("POST", "flowInstances", "search"): "list",
    ("POST", "flowInstances", "cancel"): "cancel",
    ("GET", "time", "getCurrentTime"): "time",
    ("GET", "time", "getTimeZone"): "time",
}
_TIME_LIMIT_MS = 253_402_300_800_000  # the year 10000, where calendars end


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read."""

    api: str  #: a word of `APIS`, or `token`, or `unknown`
    action: str
    version: Version = "v2.0"
    params: Mapping[str, str] = field(default_factory=dict)
    signed: str = ""  #: the parameters as they are signed
    body: bytes = b""
    data: Mapping[str, Any] = field(default_factory=dict)  #: the body's JSON object; empty if it holds none
    flow_id: int | None = None
    trigger_time: int | None = None  #: epoch milliseconds
    about: str | None = None  #: instance id, or the expression of a list

    @property
    def subject(self) -> tuple[str, int | None, int | None, str | None]:
        """What makes two calls attempts at the same thing."""
        return (self.api, self.flow_id, self.trigger_time, self.about)


def read_call(method: str, target: str, body: bytes) -> Call | None:
    """Read a request, given its raw target (path and query). None: no such service."""
    path, _, query = target.partition("?")
    service, _, resource = path.lstrip("/").rpartition("/")
    data = _json_object(body)
    if service == TOKEN_SERVICE and method == "POST" and resource in {"get", "refresh"}:
        return Call(api="token", action=resource, body=body, data=data)
    if (version := SERVICES.get(service)) is None:
        return None
    params, signed = read_query(query)
    action = params.get("action", "")
    about = params.get("flowInstId") or data.get("flowInstId") or data.get("expression")
    owner = about.partition("-")[0] if isinstance(about, str) else None
    return Call(
        api=APIS.get((method, resource, action), "unknown"),
        action=action,
        version=version,
        params=params,
        signed=signed,
        body=body,
        data=data,
        flow_id=_whole_number(data.get("flowId", params.get("flowId", owner))),
        trigger_time=_moment(data.get("triggerTime")),
        about=about if isinstance(about, str) else None,
    )


@lru_cache(maxsize=1024)
def read_query(query: str) -> tuple[Mapping[str, str], str]:
    """Return the decoded parameters, and the text of them that is signed.

    Signed are name and value, sorted by name, without separators; of a repeated name the first value.
    """
    params: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        params.setdefault(name, value)
    return params, "".join(name + params[name] for name in sorted(params))


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}


def _whole_number(value: object) -> int | None:
    """Flow ids come as numbers and, from some clients, as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if type(value) is int else None


def _moment(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _TIME_LIMIT_MS else None
