"""The text of one field: canonical whole numbers, flow IDs, and what a spreadsheet does to both."""

from __future__ import annotations

import re

import msgspec

INT64_MAX = 2**63 - 1

_WHOLE = re.compile(r"[1-9][0-9]*")
_SHORTENED = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_DECIMAL = re.compile(r"[0-9]+[.,][0-9]*")
_FORMULA = re.compile(r'="?[0-9]*"?')
_SHOWN = 60  # characters of a value that a message repeats


class Refusal(msgspec.Struct, frozen=True):
    """Why a text is not accepted; becomes a `BadRow`."""

    reason: str  #: one word with dashes
    message: str  #: what is wrong, with the value
    cure: str  #: what to do about it


def quote(text: str) -> str:
    """A value for a message: in quotes, shortened, control characters escaped."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def whole_number(text: str) -> int | None:
    """The value of `[1-9][0-9]*` within 64 bits (signed); None for every other text."""
    if len(text) > len(str(INT64_MAX)) or not _WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if number <= INT64_MAX else None


def read_flow_id(text: str) -> int | Refusal:
    """Read a flow ID; only the canonical form is accepted."""
    if (number := whole_number(text)) is not None:
        return number
    what, cure = damage(text) or _flow_id_fault(text)
    return Refusal("bad-flow-id", f"{quote(text)} {what}", cure)


def damage(text: str) -> tuple[str, str] | None:
    """What is wrong and the cure, for a number that a program has spoilt; None for any other text."""
    if not text:
        return "is empty", "fill it in, or delete the row"
    if _SHORTENED.fullmatch(text):
        return (
            "lost its digits, as Excel does with long numbers",
            "format the column as a number without decimals, fill in the digits again, and export",
        )
    if _DECIMAL.fullmatch(text):
        return (
            "has a decimal point, as Excel or pandas write a column of floats",
            "write a whole number, without point and decimals",
        )
    if _FORMULA.fullmatch(text):
        return "is an Excel formula", "write the number alone"
    if text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}"):
        return "starts with a byte order mark: were two files joined?", "delete the mark"
    return None


def _flow_id_fault(text: str) -> tuple[str, str]:
    if _WHOLE.fullmatch(text):
        return "does not fit into 64 bits", f"the largest flow ID is {INT64_MAX}"
    if text.replace("_", "").replace("-", "").lower() == "flowid":
        return "is a second header: were two files joined?", "delete the line"
    if text.isdecimal() and not text.isascii():
        return "is not written in the digits 0 to 9", "use the ASCII digits"
    return "is not a flow ID", "write digits only, without sign, leading zeros or separators, such as 3377"
