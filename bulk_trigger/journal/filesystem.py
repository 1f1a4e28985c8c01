"""Whether a directory is a place where a journal can be trusted: on a local disk, with room."""

from __future__ import annotations

import os
from pathlib import Path
import shutil

from ..errors import JournalError

#: WAL and its locks need all users on one machine, and network filesystems answer a sync as they please.
_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs"}
)
_MOUNTS = Path("/proc/mounts")
_BYTES_PER_ROW = 200  # intents, steps and the WAL of a row that succeeds at once
_RESERVE = 32 * 2**20


def check_place(directory: Path) -> None:
    """Refuse a directory that is missing or on a network filesystem. Raises `JournalError`."""
    if not directory.is_dir():
        raise JournalError(f"{directory} is not a directory")
    kind = filesystem_of(directory)
    if kind in _REMOTE:
        raise JournalError(
            f"{directory} is on a network filesystem ({kind}), where a journal is not safe; "
            "put the run on a local disk with --run-dir"
        )


def filesystem_of(directory: Path, mounts: Path = _MOUNTS) -> str:
    """Name of the filesystem type of a directory; empty where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place = f"{os.path.realpath(directory)}/"
    best, kind = "", ""
    for line in lines:
        fields = line.split(" ")
        point = fields[1].replace("\\040", " ").rstrip("/") + "/" if len(fields) > 2 else "?"
        if place.startswith(point) and len(point) >= len(best):  # of equals, the last mounted lies on top
            best, kind = point, fields[2]
    return kind


def check_room(directory: Path, rows: int) -> None:
    """Refuse a disk that cannot hold what the run is going to write. Raises `JournalError`."""
    need = rows * _BYTES_PER_ROW + _RESERVE
    free = shutil.disk_usage(directory).free
    if free < need:
        raise JournalError(
            f"{directory}: the run of {rows} rows needs about {need / 2**20:.0f} MiB of disk, and "
            f"{free / 2**20:.0f} MiB are free; make room, or name another place with --run-dir"
        )
