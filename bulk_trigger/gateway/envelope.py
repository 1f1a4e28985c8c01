"""The body of a reply: `{"status": 0, "msg": ..., "data": ...}`, or `code` for `status` since v2.1.

Rule 1: any bytes are safe to read. What is not exactly an envelope is not one.
Rule 2: success has one form, the configured version's key with the integer 0. `"0"`, `0.0`, `-0` and true are
        not it, and a body that says two things at once says nothing.
Rule 3: what was read once need not be read again: successes of triggers differ in nothing but the instance
        ID, mostly. `Successes` recognises them by the bytes around it; every other body goes to `parse`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import orjson

SUCCESS_KEY = {"v2.0": "status", "v2.1": "code"}  #: API version to the key that says 0 on success
CODE_KEYS = ("code", "status", "apim_status")  #: where an error code may be, in this order (contract 2.2)
MESSAGE_KEYS = ("msg", "message", "error_description", "error")

#: Keys that must not come twice. Their count in the raw bytes tells quickly that all is well.
_ONCE = (b'"code"', b'"status"', b'"data"', b'"flowInstanceId"', b'"apim_status"')
_PLAIN = (int, str, float, bool)
_ZEROS = (0, "0")  #: also 0.0 and false: none of them may stand beside an error code
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,8}")
_ID = re.compile(rb"[0-9-]{1,60}")


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What a body says. `message` is untrusted and of any length."""

    code: int | None = None  #: service code; None if there is no envelope
    success: bool = False
    message: str = ""
    data: Any = None

    def __repr__(self) -> str:
        """Without what is in it: the token service's envelopes hold a token."""
        return f"<Envelope {self.code}>"


class Successes:
    """Reads the bodies of replies to triggers, and learns how a success looks from the first ones."""

    lessons = 8  #: then it gives up: no two successes are alike here

    def __init__(self, success_key: str) -> None:
        self._key = success_key
        self._before, self._after = b"", b""  # of the ID, in the success that was learned
        self._like = Envelope()
        self._lessons = self.lessons

    def read(self, body: bytes) -> Envelope:
        """What `parse` reads."""
        before, after = self._before, self._after
        if before and body.startswith(before) and body.endswith(after):
            instance_id = body[len(before) : len(body) - len(after)]
            if _ID.fullmatch(instance_id):
                like = self._like
                return Envelope(like.code, True, like.message, {"flowInstanceId": instance_id.decode()})
        envelope = parse(body, self._key)
        if envelope.success and self._lessons:
            self._lessons -= 1
            self._learn(body, envelope)
        return envelope

    def _learn(self, body: bytes, success: Envelope) -> None:
        """Take a success for the pattern of all, if another ID in its place is all that it takes."""
        match success.data:
            case {"flowInstanceId": str(given), **others} if not others and _ID.fullmatch(given.encode()):
                before, found, after = body.partition(b'"%b"' % given.encode())
                # "-0" has every key looked at once more
                other = parse(before + b'"1-0"' + after, self._key)
                if found and other == msgspec.structs.replace(success, data={"flowInstanceId": "1-0"}):
                    self._before, self._after = before + b'"', b'"' + after
                    self._like = success


def parse(body: bytes, success_key: str) -> Envelope:
    """Read a body. One that is no envelope gives its own text as the message."""
    content = _decode(body)
    if type(content) is not dict:
        return Envelope(message=body.decode("utf-8", "replace"))
    stated = [content[key] for key in CODE_KEYS if content.get(key) is not None]
    if len(stated) > 1 and _contradict(stated):
        return Envelope(message=_message(content))
    value = content.get(success_key)
    success = type(value) is int and value == 0 and (len(stated) == 1 or all(type(v) is int for v in stated))
    return Envelope(_code(stated), success, _message(content), content.get("data"))


def _decode(body: bytes) -> Any:
    """The decoded JSON, or None if it is not JSON or says something twice."""
    try:
        content = orjson.loads(body)
        if _may_say_twice(body):
            json.loads(body, object_pairs_hook=_distinct, parse_int=_canonical)
    except (ValueError, RecursionError):
        return None
    return content


def _may_say_twice(body: bytes) -> bool:
    """Whether to look again, slowly: orjson keeps the last of two equal keys, and reads -0 as 0."""
    if b"\\" in body or b"-0" in body:
        return True
    for key in _ONCE:  # noqa: SIM110 - a plain loop is faster than any() here, and this runs for every reply
        if body.count(key) > 1:
            return True
    return False


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key comes twice")


def _canonical(digits: str) -> None:
    if digits == "-0":
        raise ValueError("-0 is not a number that anyone means")


def _contradict(stated: list[Any]) -> bool:
    """Whether something like 0 stands beside something else."""
    zeros = [value for value in stated if type(value) in _PLAIN and value in _ZEROS]
    return 0 < len(zeros) < len(stated)


def _code(stated: list[Any]) -> int | None:
    """The first of the stated codes that is an integer, or the text of one."""
    for value in stated:
        if type(value) is int:
            return value
        if type(value) is str and _INTEGER.fullmatch(value):
            return int(value)
    return None


def _message(content: dict[str, Any]) -> str:
    for key in MESSAGE_KEYS:
        text = content.get(key)
        if isinstance(text, str) and text:
            return text
    return ""
