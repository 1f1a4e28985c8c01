"""The marker beside a journal that is open: what is left at any moment can be told from lost commits.

SQLite removes the WAL when it closes a file, and we remove the marker before that. So a marker without a WAL
says that a run was killed, and that its last commits have been taken away since. In a session whose commits
are not synced, the marker holds the boot of the machine: if that is over when the marker is found, the last
commits may have gone with it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import sync_directory, sync_file, write_whole
from ..settings import Durability
from .wal import wal_of

if TYPE_CHECKING:
    import sqlite3

_BOOT = Path("/proc/sys/kernel/random/boot_id")  # on Linux; elsewhere nobody tells one boot from another


def find_losses(path: Path) -> str:
    """Why the last commits of a journal that nobody has open are missing; empty if they are all there."""
    mark = _content(_marker(path))
    if mark and mark != _boot():
        return (
            "the machine went down while a run with --durability process was under way, so its last commits "
            "may be lost, and what was sent last is not known; look with `export` at what is known, or send "
            "what has no instance yet: `run` with --new --baseline"
        )
    if mark is not None and not wal_of(path).exists():
        return (
            f"{path.name}-wal is missing: it held the last commits of a run that was killed, so what was "
            "sent last is not known; put the file back, or look with `export` at what is known"
        )
    return ""


def leave_mark(path: Path, durability: Durability) -> None:
    """Mark a journal as open, and bring that and all names beside it to the disk. Raises `OSError`."""
    mark = _boot() if durability is Durability.PROCESS else b""
    if _content(_marker(path)) != mark:
        write_whole(_marker(path), mark)
    sync_directory(path.parent)  # SQLite does not tell when that fails


def take_leave(connection: sqlite3.Connection, path: Path) -> None:
    """Take the marker away, and close. Works on a full disk too. Raises `OSError`."""
    with contextlib.suppress(FileNotFoundError):
        if _marker(path).stat().st_size:  # to open it would take a descriptor, and there may be none left
            sync_file(wal_of(path))
    _marker(path).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # without this sync, a power cut could only bring the marker back
        sync_directory(path.parent)
    connection.close()


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}-open")


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _boot() -> bytes:
    """Which start of the machine this is; empty where the system does not tell."""
    return _content(_BOOT) or b""
