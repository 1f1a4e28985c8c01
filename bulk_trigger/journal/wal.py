"""Whose WAL it is that lies beside a journal: SQLite takes any that is sound, and puts its pages over ours.

Every run has a number, made from its header, in page 1. Each session writes that page anew, so the WAL that
it leaves has the number too.
"""

from __future__ import annotations

from array import array
import sys
from typing import TYPE_CHECKING

from ..errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

_NUMBER = slice(60, 64)  #: of page 1: `PRAGMA user_version`
_MAGIC = 0x377F0682  #: and 1 more where the checksums are of big-endian words
_HEAD, _FRAME_HEAD = 32, 24


def check_wal(path: Path) -> None:
    """Refuse the WAL of another run. To be asked before SQLite opens the file. Raises `JournalError`."""
    wal = path.with_name(f"{path.name}-wal")
    try:
        with path.open("rb") as file:
            ours = file.read(_HEAD + 32)[_NUMBER]
        theirs = _number_in(wal)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from error
    if theirs not in {None, ours}:
        raise JournalError(
            f"{wal} does not belong to this journal; put back the one that does, for it holds what was "
            "sent last; if it is lost, move this one away, and look with `export` at what is known"
        )


def _number_in(wal: Path) -> bytes | None:
    """The number in the first page 1 that a WAL holds; None if there is none before its sound part ends."""
    if not wal.exists():
        return None
    with wal.open("rb") as file:
        head = file.read(_HEAD)
        page_size, salts = int.from_bytes(head[8:12], "big"), head[16:24]
        if int.from_bytes(head[:4], "big") | 1 != _MAGIC | 1:
            return None
        big = bool(head[3] & 1)
        sums = _add(head[:24], (0, 0), big=big)
        while len(frame := file.read(_FRAME_HEAD + page_size)) == _FRAME_HEAD + page_size:
            page = frame[_FRAME_HEAD:]
            sums = _add(page, _add(frame[:8], sums, big=big), big=big)
            if frame[8:16] != salts or _as_bytes(sums) != frame[16:24]:
                return None
            if int.from_bytes(frame[:4], "big") == 1:
                return page[_NUMBER]
    return None


def _add(data: bytes, sums: tuple[int, int], *, big: bool) -> tuple[int, int]:
    words = array("I", data)
    if big != (sys.byteorder == "big"):
        words.byteswap()
    first, second = sums
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _as_bytes(sums: tuple[int, int]) -> bytes:
    return b"".join(each.to_bytes(4, "big") for each in sums)
