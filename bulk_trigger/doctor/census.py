"""What Get Flow tells of a list's flows: whether each exists, is ours, free, filled and on (contract 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..model import Reply

_NO_SUCH_FLOW = frozenset({62102, 99404})  #: in reply to a well-formed question; nobody says which
_NO_PRIVILEGE = 62103
_TRUTHS: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}


class Flow(msgspec.Struct, frozen=True):
    """What is known about a flow; None where it was not told."""

    answered: bool = True  #: whether the gateway said anything of it
    exists: bool | None = None
    owned: bool | None = None  #: the user may change it, as an owner may
    free: bool | None = None  #: it is not locked
    filled: bool | None = None  #: it has tasks
    on: bool | None = None  #: its own schedule is switched on
    user_locked: bool = False


ASPECTS = ("exists", "owned", "free", "filled", "on")


class Census:
    """The flows of a list, counted by what is known about them."""

    def __init__(self) -> None:
        self.total = 0
        self.answered = 0
        self.bad: dict[str, list[int]] = {aspect: [] for aspect in ASPECTS}
        self.untold: dict[str, list[int]] = {aspect: [] for aspect in ASPECTS}
        self.words: dict[str, str] = {}  #: with which the gateway refused the first that is bad
        self.user_locked = False
        self.silent: Reply | None = None  #: the last reply that told nothing of its flow

    def add(self, flow_id: int, flow: Flow, words: str = "") -> None:
        """Count a flow. `words`: those of a refusal."""
        self.answered += flow.answered
        self.user_locked |= flow.user_locked
        for aspect in ASPECTS:
            value = getattr(flow, aspect)
            if value is False:
                self.bad[aspect].append(flow_id)
                if words:
                    self.words.setdefault(aspect, words)
            elif value is None and flow.answered and flow.exists is not False:
                self.untold[aspect].append(flow_id)


def read_flow(flow_id: int, reply: Reply, user_id: str) -> Flow:
    """Read a reply to Get Flow, leniently: its fields differ between versions (contract 5.1)."""
    data = reply.data[0] if isinstance(reply.data, list) and len(reply.data) == 1 else reply.data
    if reply.fault is None and reply.success and reply.status == 200:
        if not data:
            return Flow(exists=False)
        if not isinstance(data, dict) or data.get("flowId", flow_id) not in (flow_id, str(flow_id)):
            return Flow(answered=False)
        locked = _truth(data.get("locked"))
        return Flow(
            exists=True,
            owned=_owned(data, user_id),
            free=None if locked is None else not locked,
            filled=_filled(data.get("graph")),
            on=_truth(data.get("active")),
            user_locked=_truth(data.get("isUserLocked")) is True,
        )
    if reply.fault is None and reply.code in _NO_SUCH_FLOW:
        return Flow(exists=False)
    if reply.fault is None and reply.code == _NO_PRIVILEGE:
        return Flow(owned=False)
    return Flow(answered=False)


def _owned(flow: Mapping[str, Any], user_id: str) -> bool | None:
    """By the right to edit; owners are told by name, which need not be the ID that we have."""
    owner = flow.get("owner")
    is_named = bool(user_id) and isinstance(owner, str) and user_id in owner.split(";")
    may_edit = _truth(flow.get("hasEditPri"))
    if may_edit is False:
        return None if is_named else False
    return True if may_edit or is_named else None


def _filled(graph: Any) -> bool | None:
    """Whether a graph, which is an object or the text of one, has tasks."""
    if isinstance(graph, str):
        try:
            graph = msgspec.json.decode(graph)
        except (msgspec.DecodeError, RecursionError):
            return None
    tasks = graph.get("tasks") if isinstance(graph, dict) else None
    return bool(tasks) if isinstance(tasks, list) else None


def _truth(value: Any) -> bool | None:
    return _TRUTHS.get(str(value).lower()) if isinstance(value, bool | int | str) else None
