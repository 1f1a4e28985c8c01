"""One process per run directory: an OS lock that ends with its process, however that ends.

The lock is on the open file, not in its text; the text only tells others whom to look for. The file is
never removed: a lock on a removed file keeps nobody out.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Self

import msgspec

from .errors import RunRefused
from .files import make_private_directory

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

LOCK = "run.lock"
_TRIES = 5  # `holder_of` takes the lock for an instant to see whether it is free: that must not refuse a run
_BETWEEN_S = 0.02


class Holder(msgspec.Struct, frozen=True):
    """The process that operates a run."""

    pid: int
    host: str
    started_ms: int  #: epoch milliseconds

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class RunLock:
    """The right to operate a run directory. As a context manager it is held for the block."""

    def __init__(self, run_directory: Path) -> None:
        self._path = run_directory / LOCK
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; makes the directory when there is none. Raises `RunRefused` and says who has it."""
        try:
            make_private_directory(self._path.parent)
            descriptor = _open(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise RunRefused(
                f"{self._path.parent} cannot be used as a run directory: {error.strerror}"
            ) from error
        for _ in range(_TRIES):
            if _try_lock(descriptor):
                break
            time.sleep(_BETWEEN_S)
        else:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            raise RunRefused(
                f"{self._path.parent} is in use by {holder or 'another process'}; "
                "`bulk-trigger status` shows how far it is"
            )
        self._descriptor = descriptor
        self._sign()

    def release(self) -> None:
        """Give the lock back; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)  # closing is what unlocks
            self._descriptor = None

    def _sign(self) -> None:
        assert self._descriptor is not None  # noqa: S101 - only `acquire` comes here
        holder = Holder(os.getpid(), socket.gethostname(), time.time_ns() // 1_000_000)
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, msgspec.json.encode(holder) + b"\n")

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder_of(run_directory: Path) -> Holder | None:
    """Who operates the run now, for `status`; None when nobody does. Never waits, never makes a file."""
    try:
        descriptor = _open(run_directory / LOCK, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if _try_lock(descriptor) else _read_holder(descriptor) or Holder(0, "unknown", 0)
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _read_holder(descriptor: int) -> Holder | None:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        return msgspec.json.decode(os.read(descriptor, 4096), type=Holder)
    except (OSError, msgspec.MsgspecError):  # the holder has not signed yet
        return None


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    _FAR = 1 << 30  # behind the text, which stays readable for others

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
