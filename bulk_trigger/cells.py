"""How values look in the files that people get.

What the gateway said is made harmless; the user's own columns go through unchanged.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

_TEXT_MAX = 300
_MILLISECONDS = tuple(f".{ms:03d}Z" for ms in range(1000))
_decode_string = msgspec.json.Decoder(str).decode
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets take the wide ones too


def clean(text: str, *, cell: bool = False) -> str:
    """Text of the gateway made harmless: one line, printable, at most 300 characters.

    With `cell`, text that a spreadsheet would run gets a `'` before it.
    """
    if not text.isprintable():
        text = "".join(c for c in " ".join(text.split()) if c.isprintable() or c == " ")
    text = text[:_TEXT_MAX]
    return f"'{text}" if cell and text.startswith(_FORMULA) else text


def iso_time(ms: int) -> str:
    """Epoch milliseconds as `2026-11-23T10:00:00.000Z`."""
    second, rest = divmod(ms, 1000)
    return _iso_second(second) + _MILLISECONDS[rest]


@lru_cache(maxsize=4096)
def _iso_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def code_cell(code: str) -> str:
    """A service code may be negative: a number is no formula."""
    return code if code.isalnum() or code.removeprefix("-").isdigit() else clean(code, cell=True)


def carried_cell(value: Any) -> str:
    """A carried value as the text of a cell: a string as itself, anything else as JSON."""
    if value is None:
        return ""
    raw = msgspec.json.encode(value)
    return _decode_string(raw) if raw.startswith(b'"') else raw.decode()
