"""What can go wrong with one call, as a table: whether it takes effect, and what the client hears of it.

A blow that takes effect and hides it must be one that the promises call doubtful; what they call "provably
not applied" (a 429, a 404, a refused connection ...) never has an effect here, or the gateway would be lying.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Blow:
    """One way in which a call goes wrong."""

    effect: bool = False  #: the service does what the call asks for
    end: str = "reply"  #: what the client hears: reply, reset, close, cut or silence
    status: int = 200
    code: int | None = None  #: service code of the reply; None: no envelope
    text: str = "Server internal exception"
    hint: bool = False  #: the reply has a Retry-After
    body: bytes | None = None  #: instead of an envelope
    instance_id: str | None = None  #: in place of the ID in a success; {flow} is ours; empty: none at all
    late: bool = False  #: the request is held up on its way, and takes effect seconds later
    unwritten: bool = False  #: the kernel refuses the first byte


_LOGIN = b"<!DOCTYPE html><html><body>Please log in.</body></html>"
_REPEATED = "Do not trigger the same workflow repeatedly in 1 minute"


def _both(name: str, **facts: object) -> dict[str, Blow]:
    """The same before and after the effect."""
    return {
        f"{name} before": Blow(**facts),  # type: ignore[arg-type]  # the table below is the check
        f"{name} after": Blow(effect=True, **facts),  # type: ignore[arg-type]  # as above
    }


TRIGGER: Mapping[str, Blow] = {
    **_both("reset", end="reset"),
    **_both("closed", end="close"),
    **_both("silence", end="silence"),
    **_both("cut", end="cut"),
    **_both("62109", code=62109),
    **_both("69999", code=69999),
    **_both("99500", code=99500),
    **_both("62102 repeated", code=62102, text=_REPEATED),
    **_both("500", status=500),
    **_both("502", status=502),
    **_both("503", status=503),
    **_both("503 with Retry-After", status=503, hint=True),
    **_both("504", status=504),
    **_both("html", body=_LOGIN),
    **_both("empty", body=b""),
    "id of another flow": Blow(effect=True, instance_id="1-20231020000000"),
    "id of another day": Blow(effect=True, instance_id="{flow}-20231010000100"),
    "no id": Blow(effect=True, instance_id=""),
    "late in silence": Blow(effect=True, end="silence", late=True),
    "late behind a 504": Blow(effect=True, status=504, late=True),
    "late behind a reset": Blow(effect=True, end="reset", late=True),
    "unwritten": Blow(end="reset", unwritten=True),
    "429": Blow(status=429),
    "429 with Retry-After": Blow(status=429, hint=True),
    "401": Blow(status=401),
    "1203": Blow(code=1203),
    "1001": Blow(code=1001),
    "404": Blow(status=404),
    "425": Blow(status=425),
    "62104": Blow(code=62104),
    "403": Blow(status=403),
    "62101": Blow(code=62101),
}

LOOKUP: Mapping[str, Blow] = {
    "reset": Blow(end="reset"),
    "silence": Blow(end="silence"),
    "cut": Blow(end="cut"),
    "500": Blow(status=500),
    "503 with Retry-After": Blow(status=503, hint=True),
    "429": Blow(status=429),
    "429 with Retry-After": Blow(status=429, hint=True),
    "401": Blow(status=401),
    "1203": Blow(code=1203),
    "62109": Blow(code=62109),
    "html": Blow(body=_LOGIN),
}

TOKEN: Mapping[str, Blow] = {
    "reset": Blow(end="reset"),
    "silence": Blow(end="silence"),
    "500": Blow(status=500),
    "429 with Retry-After": Blow(status=429, hint=True),
    "1001": Blow(code=1001),
    "1003": Blow(code=1003),
    "empty": Blow(body=b'{"status": 0, "msg": "SUCCESS", "data": {}}'),
}

BLOWS: Mapping[str, Mapping[str, Blow]] = {"trigger": TRIGGER, "lookup": LOOKUP, "token": TOKEN}
