"""What the gateway says about instances that exist: the replies of Get and List Flow Instances.

Rule 1: a page counts only as a whole. If one entry cannot be read, nothing is said to be missing from it.
Rule 2: what does not say plainly that something is there or not permitted is no answer: ask again.

Pure. The look-up itself, with its paging and its waiting, is in `reconcile`.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
import re
from typing import Any

import msgspec

from .model import Reply

_NOT_PERMITTED_CODES = frozenset({62103, 99403})
_NOT_PERMITTED_STATUSES = frozenset({403, 404, 405, 501})
_REFUSED_CODES = frozenset({62102, 99400, 99404})
_REFUSED_STATUSES = frozenset({200, 400, 404, 422})  #: that may carry such a code
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class Status(IntEnum):
    """Where an instance is, or how it ended (contract 5.1)."""

    FAIL = -1
    INIT = 0
    SUCCESS = 1
    RUNNING = 2
    SUSPEND = 3
    INTERNAL_ERROR = 4
    WAIT = 5
    READY = 6
    TIMEOUT = 7
    CANCEL = 8
    RERUN = 9
    SKIP = 10

    @property
    def word(self) -> str:
        """The status as it is typed and written: `internal-error`."""
        return self.name.lower().replace("_", "-")


#: What plainly went wrong; an instance that was skipped did not.
BAD = frozenset({Status.FAIL, Status.INTERNAL_ERROR, Status.TIMEOUT, Status.CANCEL})
ENDED = BAD | {Status.SUCCESS, Status.SKIP}
_LIVE = frozenset(Status) - ENDED


class Lookup(StrEnum):
    """What sort of answer a look-up got."""

    FOUND = "found"  #: instances, not necessarily the one that was meant
    EMPTY = "empty"  #: a success without any instance
    NOT_PERMITTED = "not-permitted"  #: this look-up is not for us, or does not exist
    UNDECIDED = "undecided"  #: the service refused the request as such: wrong parameter, or not found
    TRANSIENT = "transient"  #: no usable answer: ask again


class Instance(msgspec.Struct, frozen=True, gc=False):
    """An instance as the gateway describes it. Time texts are the gateway's own, in an unstated zone."""

    instance_id: str
    flow_id: int | None
    status: int | None
    start_time: str  #: "" if it has not started
    trigger_time: str
    virtual: bool = False  #: stands for a flow in another one's graph, and was not triggered itself
    end_time: str = ""  #: "" if it has not ended

    @property
    def is_live(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in _LIVE

    @property
    def has_ended(self) -> bool:
        """Whether it has ended; a status that nobody documents is neither."""
        return self.status in ENDED


def judge_lookup(reply: Reply) -> Lookup:
    """What sort of answer a reply to Get or List is."""
    instances = instances_in(reply)
    if instances is not None:
        return Lookup.FOUND if instances else Lookup.EMPTY
    if reply.fault is not None or reply.success:
        return Lookup.EMPTY if _says_nothing(reply) else Lookup.TRANSIENT
    if reply.code in _NOT_PERMITTED_CODES:
        return Lookup.NOT_PERMITTED
    if reply.code in _REFUSED_CODES and reply.status in _REFUSED_STATUSES:
        return Lookup.UNDECIDED
    by_status_alone = reply.code is None or reply.code == reply.status
    if by_status_alone and reply.status in _NOT_PERMITTED_STATUSES:
        return Lookup.NOT_PERMITTED
    return Lookup.TRANSIENT


def found_instance(reply: Reply, instance_id: str) -> Instance | None:
    """The instance with exactly that ID, if the reply holds it. IDs are matched fuzzily by the gateway."""
    return next((each for each in instances_in(reply) or () if each.instance_id == instance_id), None)


def instances_in(reply: Reply) -> list[Instance] | None:
    """All instances of a reply to Get or List; None if it is no success or cannot be read completely.

    An empty list has to be seen as a list. A success without data (null, {}) is an answer of Get for an
    instance that does not exist, but not a page of a list: see `Lookup.EMPTY`.
    """
    entries = entries_in(reply)
    if entries is None:
        return None
    instances = [instance for entry in entries if (instance := read_instance(entry)) is not None]
    return instances if len(instances) == len(entries) else None


def entries_in(reply: Reply) -> list[Any] | None:
    """The undigested entries of such a reply; None if it is no success, or no list can be seen in it.

    Three forms are known: `{"flowInsts": [...], "count": n}`, a bare list, and one instance by itself.
    """
    if not _succeeded(reply):
        return None
    data = reply.data
    if isinstance(data, dict) and data:
        if "flowInsts" not in data:
            return [data]
        data = [] if data["flowInsts"] is None and data.get("count") == 0 else data["flowInsts"]
    return data if isinstance(data, list) else None


def count_in(reply: Reply) -> int:
    """How many instances a page of a list says there are; 0 if it does not say."""
    return (_integer(reply.data.get("count")) or 0) if isinstance(reply.data, dict) else 0


def _succeeded(reply: Reply) -> bool:
    return reply.fault is None and reply.success and reply.status == 200


def _says_nothing(reply: Reply) -> bool:
    return _succeeded(reply) and (reply.data is None or reply.data in ({}, ""))


def read_instance(entry: Any) -> Instance | None:
    """Read one entry, leniently in everything but the ID."""
    instance_id = entry.get("instanceId") if isinstance(entry, dict) else None
    if not isinstance(instance_id, str) or not instance_id:
        return None
    flow_id = _integer(entry.get("flowId"))
    return Instance(
        instance_id=instance_id,
        flow_id=_integer(instance_id.partition("-")[0]) if flow_id is None else flow_id,
        status=_integer(entry.get("status")),
        start_time=_text(entry.get("startTime")),
        trigger_time=_text(entry.get("triggerTime")),
        virtual=entry.get("virtual") is True,
        end_time=_text(entry.get("endTime")),
    )


def _integer(value: Any) -> int | None:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
