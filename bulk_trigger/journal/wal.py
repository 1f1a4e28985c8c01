"""The WAL that lies beside a journal: whose it is, and whether it is whole.

SQLite takes any that is sound, and puts its pages over ours. Every run has a number, made from its header, in
page 1. Each session writes that page anew, so the WAL that it leaves has the number too.

SQLite also takes the first damage in it for the end of what was committed, as it must: a power cut damages
the last commit if that was not synced yet. But it cannot damage more than the last.
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


def wal_of(path: Path) -> Path:
    """Where SQLite keeps the WAL of a database."""
    return path.with_name(f"{path.name}-wal")


def check_wal(path: Path) -> None:
    """Refuse the WAL of another run. To be asked before SQLite opens the file. Raises `JournalError`."""
    wal = wal_of(path)
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


def find_damage(path: Path, sound_frames: int) -> str:
    """Why commits in the WAL cannot be read, if it goes on behind its last sound frame; empty if it does not.

    `sound_frames`: how many SQLite has found. Frames of an earlier use of the file have other salts.
    """
    wal = wal_of(path)
    if not wal.exists():
        return ""
    with wal.open("rb") as file:
        head = file.read(_HEAD)
        frame_size = _FRAME_HEAD + int.from_bytes(head[8:12], "big")
        commits = 0
        for at in range(_HEAD + sound_frames * frame_size, wal.stat().st_size, frame_size):
            file.seek(at)
            frame = file.read(_FRAME_HEAD)
            commits += frame[8:16] == head[16:24] and frame[4:8] != bytes(4)
    if commits < 2:  # the last may have been under way
        return ""
    return (
        f"{wal.name} is damaged: {commits} commits behind the damage cannot be read, so what was sent last "
        "is not known; put a sound copy back, or look with `export` at what is known"
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
