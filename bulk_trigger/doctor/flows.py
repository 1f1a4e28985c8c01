"""The lines about the flows of a list, and about the user who triggers them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ..model import Reply
from .answers import Answers, is_answer, said
from .census import Census
from .page import Line, Mark, not_asked, worst

USER = "user"
_SHOWN = 5  #: flows that a line names
_NO_USER, _USER_LOCKED = 62101, 62105


class _Aspect(msgspec.Struct, frozen=True):
    """One thing that is asked of every flow."""

    key: str  #: in the census
    name: str  #: of the line
    good: str
    bad: str
    cure: str
    mark: Mark = Mark.WRONG


_ASPECTS = (
    _Aspect(
        "exists",
        "flows exist",
        "there",
        "not there",
        "check the IDs and --org-id, or take their rows out of the list",
    ),
    _Aspect(
        "owned",
        "flows owned",
        "the user's",
        "not the user's",
        "have the user made an owner of them, or take their rows out; they would be skipped",
    ),
    _Aspect(
        "free", "flows unlocked", "unlocked", "locked", "have them unlocked; their rows would be skipped"
    ),
    _Aspect(
        "filled",
        "flows have tasks",
        "with tasks",
        "without a task",
        "give them tasks, or take their rows out; they would be skipped",
    ),
    _Aspect(
        "on",
        "flows enabled",
        "enabled",
        "paused",
        "a paused flow can be triggered, as far as is known; enable it if its own schedule is to run",
        Mark.WARNING,
    ),
)
LINES = tuple(aspect.name for aspect in _ASPECTS)


def flow_lines(census: Census, why_not: str) -> Iterator[Line]:
    """A line for each aspect. `why_not`: why some flows have no answer."""
    for aspect in _ASPECTS:
        yield _line(aspect, census, why_not)


def user_line(answers: Answers, user_id: str, org_id: str) -> Line:
    """Whether the user and the organization are known to the service; only calls about flows tell."""
    who = f"{user_id} in {org_id}" if user_id else "the sandbox's own"
    for reply in (answers.listed, answers.got, answers.census.silent):
        if reply is not None and reply.code == _NO_USER:
            return Line(
                USER,
                Mark.WRONG,
                f"{who}: {said(reply)}",
                "check --user-id and --org-id, upper and lower case",
            )
        if reply is not None and reply.code == _USER_LOCKED:
            return Line(USER, Mark.WRONG, f"{who}: {said(reply)}", "have the account unlocked")
    if answers.census.user_locked:
        return Line(USER, Mark.WRONG, f"{who}: locked, as Get Flow says", "have the account unlocked")
    if answers.census.answered or any(map(_is_known_by, (answers.listed, answers.got))):
        return Line(USER, Mark.OK, f"{who}: the service answers to the name")
    return not_asked(USER, f"{who}: no call got through that would tell")


def _is_known_by(reply: Reply | None) -> bool:
    return reply is not None and is_answer(reply)


def _line(aspect: _Aspect, census: Census, why_not: str) -> Line:
    bad, untold = sorted(census.bad[aspect.key]), sorted(census.untold[aspect.key])
    unanswered = census.total - census.answered
    gone = 0 if aspect.key == "exists" else len(census.bad["exists"])
    good = census.answered - gone - len(bad) - len(untold)
    marks, parts = [Mark.OK], []
    if bad:
        marks.append(aspect.mark)
        words = census.words.get(aspect.key)
        parts.append(f"{aspect.bad}: {_named(bad)}" + (f" ({words})" if words else ""))
    if untold:
        marks.append(Mark.WARNING)
        parts.append(f"not told: {_named(untold)}")
    if unanswered:
        marks.append(Mark.NOT_KNOWN)
        parts.append(f"no answer about {unanswered:,} ({why_not})")
    parts.insert(0, f"{good:,} of {census.total:,} {aspect.good}")
    cure = aspect.cure if bad else "`run` will find out" if untold else ""
    return Line(aspect.name, worst(marks), "; ".join(parts), cure, tuple(bad))


def _named(flow_ids: Sequence[int]) -> str:
    more = len(flow_ids) - _SHOWN
    return ", ".join(map(str, flow_ids[:_SHOWN])) + (f" and {more:,} more" if more > 0 else "")
