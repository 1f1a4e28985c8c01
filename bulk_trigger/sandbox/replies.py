"""What the sandbox says: envelopes of both versions, and the gateway's own refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from .calls import Version

JSON = "application/json;charset=UTF-8"

MESSAGES: Mapping[int, str] = {
    62101: "The user does not exist or does not belong to the organization",
    62102: "Invalid request parameter",
    62103: "The user has no privilege",
    62104: "This workflow has no task. You cannot trigger it.",
    62109: "Server internal exception",
    99400: "Bad argument",
    99403: "No permission",
    99404: "Not found",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply."""

    status: int = 200
    body: bytes = b""
    code: int | None = None  #: the service code in the body, if it has one
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def success(version: Version, data: Any) -> Reply:
    """Wrap *data* in the version's envelope."""
    if version == "v2.0":
        return Reply(body=orjson.dumps({"status": 0, "msg": " Success", "data": data}), code=0)
    return Reply(body=orjson.dumps({"code": 0, "msg": "OK", "data": data}), code=0)


def failure(version: Version, code: int, message: str = "", *, status: int = 200) -> Reply:
    """Tell a service code under the version's key."""
    key = "status" if version == "v2.0" else "code"
    text = message or MESSAGES.get(code, "Unknown error")
    return Reply(status, orjson.dumps({key: code, "msg": text, "data": None}), code)


def refusal(status: int, message: str, **headers: str) -> Reply:
    """Refuse at the gateway, before any service."""
    return Reply(status, orjson.dumps({"message": message}), headers=headers)
