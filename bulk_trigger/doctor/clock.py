"""The lines about time: how far our clock is from the gateway's, and in which zone the gateway is."""

from __future__ import annotations

from datetime import timedelta

from ..errors import SettingsError
from ..model import Reply
from ..planning.zones import Zone, open_zone
from ..quantities import format_duration
from .answers import Answers, is_answer, said
from .page import Line, Mark, not_asked

CLOCK, ZONE = "clock", "time zone"
FINE_S = 10.0  #: nobody minds
MOST_S = 60.0  #: the grain of instance IDs; how much the gateway tolerates in a signature is not published

_SET_IT = "set the clock of this machine (NTP)"


def time_of(reply: Reply) -> float | None:
    """The gateway's clock in epoch seconds, as a reply to Get Current Time tells it."""
    return reply.data / 1000 if is_answer(reply) and type(reply.data) is int else None


def clock_line(answers: Answers) -> Line:
    """Whether our clock agrees with the gateway's."""
    reply = answers.clock
    if reply is None:
        return _by_refusal(answers.token)
    if time_of(reply) is None:
        found = f"the gateway does not tell the time: {said(reply)}"
        mark = Mark.WARNING if answers.heard else Mark.NOT_KNOWN  # other calls are accepted as we sign them
        return Line(CLOCK, mark, found)
    ahead_s = answers.ahead_s
    if abs(ahead_s) <= FINE_S:
        return Line(CLOCK, Mark.OK, f"{_apart(ahead_s)} the gateway's")
    found = f"ours is {_apart(ahead_s)} the gateway's"
    if abs(ahead_s) <= MOST_S:
        return Line(CLOCK, Mark.WARNING, found, _SET_IT)
    return Line(CLOCK, Mark.WRONG, found, f"{_SET_IT}: signatures and look-ups go by it")


def _by_refusal(token: Reply | None) -> Line:
    if token is not None and token.clock_ahead_s:
        return Line(CLOCK, Mark.WRONG, f"ours is {_apart(token.clock_ahead_s)} the gateway's", _SET_IT)
    return not_asked(CLOCK, "not asked")


def _apart(ahead_s: float) -> str:
    return f"{format_duration(abs(ahead_s))} {'behind' if ahead_s > 0 else 'ahead of'}"


def zone_line(reply: Reply | None, given: str | None, now_s: float) -> Line:
    """What the gateway says of its zone, beside the one in which the list's times are read (`given`)."""
    if reply is None:
        return not_asked(ZONE, "not asked")
    zone = _zone_in(reply)
    if zone is None:
        found = f"the gateway does not tell one: {said(reply)}"
        return Line(ZONE, Mark.WARNING, found, "`run` needs none; give `plan` --timezone")
    theirs_s = zone.ahead_s(int(now_s))
    found = f"{zone.name}: a day begins there at {timedelta(seconds=-theirs_s % 86400)} UTC"
    if given is None:
        return Line(ZONE, Mark.OK, found)
    if (ours_s := open_zone(given).ahead_s(int(now_s))) != theirs_s:
        apart = format_duration(abs(ours_s - theirs_s))
        found = f"{zone.name}, but times without an offset are read in {given}, {apart} away"
        return Line(ZONE, Mark.WARNING, found, "check that --timezone is what the list means")
    return Line(ZONE, Mark.OK, f"{found}, as in {given}")


def _zone_in(reply: Reply) -> Zone | None:
    name = reply.data.get("timezone") if is_answer(reply) and isinstance(reply.data, dict) else None
    try:
        return open_zone(name) if isinstance(name, str) else None
    except SettingsError:  # it says something, but no zone
        return None
