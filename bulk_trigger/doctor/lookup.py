"""The line about looking instances up: what settles a doubt without sending twice (design decision 7)."""

from __future__ import annotations

from http import HTTPStatus

from ..instances import Lookup, judge_lookup
from ..model import Reply
from .answers import said
from .page import Line, Mark, not_asked

LOOKUP = "look-ups"
_ANSWERS = {Lookup.FOUND, Lookup.EMPTY, Lookup.UNDECIDED}
_WITHOUT = (
    "have Get and List Flow Instance(s) permitted; without, doubts end as `unknown` or risk a duplicate"
)


def lookup_line(listed: Reply | None, got: Reply | None) -> Line:
    """Whether instances can be looked up; `got` is the reply about one that does not exist."""
    if listed is None or got is None:
        return not_asked(LOOKUP, "not asked" if listed is None else f"not found out: {said(listed)}")
    lists, gets = judge_lookup(listed), judge_lookup(got)
    if lists is Lookup.NOT_PERMITTED:
        also = "; Get Flow Instance is" if gets in _ANSWERS else ""
        return Line(
            LOOKUP, Mark.WARNING, f"List Flow Instances is not permitted: {said(listed)}{also}", _WITHOUT
        )
    if lists not in _ANSWERS:
        return not_asked(LOOKUP, f"List Flow Instances gives no answer: {said(listed)}")
    # A plain 404 may say that there is no such instance, which is true.
    if gets in _ANSWERS or got.status == HTTPStatus.NOT_FOUND:
        return Line(LOOKUP, Mark.OK, "Get and List Flow Instance(s) are permitted")
    if gets is Lookup.NOT_PERMITTED:
        found = f"List Flow Instances is permitted, Get Flow Instance is not: {said(got)}"
        return Line(LOOKUP, Mark.WARNING, found, "look-ups by list alone take longer; have Get permitted")
    return not_asked(LOOKUP, f"Get Flow Instance gives no answer: {said(got)}")
