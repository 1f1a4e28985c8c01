"""Files that are whole or absent: written beside their place, synced, then moved into it in one step.

A file under its final name is complete, or it is the one that was there before. The move replaces a
symbolic link, it never follows one.
"""

from __future__ import annotations

import contextlib
import csv
import io
from itertools import takewhile
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING, Self

import msgspec

from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Any

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_MODE = 0o600
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{16}")  # a name that `_beside` made up


class WholeFile:
    """A file that appears under its name when the `with` block ends well, and leaves no trace otherwise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = _beside(path)
        self._file = open(os.open(self._temporary, _NEW, _MODE), "wb")  # noqa: PTH123, SIM115 - the mode 0600 from its birth

    def write(self, data: bytes) -> None:
        """Append `data`. Raises `OSError` (disk full, ...)."""
        self._file.write(data)

    def finish(self) -> None:
        """Sync the content and move it into its place."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)
        sync_directory(self._path.parent)

    def discard(self) -> None:
        """Leave what was there before. After `finish` this does nothing."""
        with contextlib.suppress(OSError):  # a full disk fails here again, while what was buffered is written
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.discard()


def write_whole(path: Path, data: bytes) -> None:
    """Write a whole file, or leave what was there before. Raises `OSError`."""
    with WholeFile(path) as file:
        file.write(data)


def csv_line(cells: Sequence[object]) -> bytes:
    """One line of a CSV file of ours."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def write_progress(path: Path, facts: Mapping[str, Any]) -> None:
    """Replace a small JSON file for other processes. Not synced: the next one comes in a second."""
    temporary = _beside(path)
    try:
        with open(os.open(temporary, _NEW, _MODE), "wb") as file:  # noqa: PTH123 - the mode 0600 from its birth
            file.write(msgspec.json.encode(facts) + b"\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make the content of a file survive a power cut. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut. Raises `OSError`."""
    if os.name == "nt":
        return  # directories cannot be opened there
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_directory(directory: Path) -> None:
    """Make a directory that only its owner can enter; one that exists stays as it is.

    A new one survives a power cut, with all that is on the way to it. Raises `OSError`.
    """
    missing = list(takewhile(lambda place: not place.exists(), (directory, *directory.parents)))
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)
        sync_directory(place.parent)
    directory.mkdir(mode=0o700, exist_ok=True)


def is_open_to_all(directory: Path) -> bool:
    """Whether anybody may put files into a directory, and take others away."""
    return os.name != "nt" and bool(directory.stat().st_mode & stat.S_IWOTH)


def remove_leftovers(directory: Path) -> None:
    """Remove what a killed process had not moved into its place yet; nobody else may be writing here."""
    for path in directory.glob(".*"):
        if _LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def check_target(path: Path, *, force: bool) -> None:
    """Refuse, before anything is sent, a place where an output file cannot go. Raises `SettingsError`."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        mode = 0
    except OSError as error:
        raise SettingsError(f"--output {path}: {error.strerror}") from error
    if mode and not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise SettingsError(f"--output {path} is not a regular file; name a file, or `-` for standard output")
    if mode and not force:
        raise SettingsError(f"--output {path} exists; name another file, or say --force to replace it")
    if not path.parent.is_dir():
        raise SettingsError(f"--output {path}: there is no directory {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SettingsError(f"--output {path}: no permission to write in {path.parent}")


def _beside(path: Path) -> Path:
    """Make up a name that nobody can guess, in the same directory."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")
