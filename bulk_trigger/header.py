"""What is known about a run from its first moment on: written once, in the journal and beside it.

The copy beside it, `run.json`, is what other processes read: a running run holds its journal alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .errors import RunRefused, SettingsError
from .files import write_whole
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

JOURNAL = "journal.db"
MARKER = f"{JOURNAL}-open"  #: lies beside the journal while a session has it open
SIDECAR = "run.json"
SCHEMA = 1


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, as the reader knows it at the end of the input."""

    name: str  #: the path as it was given; "-" for standard input
    format: str  #: csv or jsonl
    sha256: str  #: of the bytes that were read, in hex
    size: int  #: bytes
    columns: tuple[str, ...] = ("flowId", "triggerTime")  #: all of them, in the input's words and order
    flow_column: str = "flowId"  #: the one of `columns` that holds the flow
    time_column: str = "triggerTime"

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The columns that are only carried along."""
        return tuple(name for name in self.columns if name not in {self.flow_column, self.time_column})


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a run that never change. It holds no secret."""

    run: str  #: name of the run directory when the run was created
    tool: str  #: our version
    sqlite: str  #: version of the SQLite library that imported the rows
    created_ms: int  #: epoch milliseconds
    settings: Settings
    input: Input
    first_row: int  #: number of the first row; rows are numbered without a gap
    rows: int  #: all of them: jobs and invalid rows
    invalid: int
    duplicates: int  #: rows that repeat the flow and UTC minute of an earlier one
    flows: int
    schema: int = SCHEMA


def encode_header(header: Header) -> bytes:
    """Write a header as one line of JSON."""
    return msgspec.json.encode(header) + b"\n"


def decode_header(data: bytes, origin: Path) -> Header:
    """Read a header back. Raises `RunRefused` when another version of the tool wrote it, or nobody did."""
    try:
        return msgspec.json.decode(data, type=Header)
    except (msgspec.MsgspecError, SettingsError, UnicodeDecodeError) as error:
        raise RunRefused(f"{origin} cannot be read by this version of bulk-trigger: {error}") from error


def write_sidecar(run_directory: Path, header: Header) -> None:
    """Write the copy for other processes. Raises `OSError`."""
    write_whole(run_directory / SIDECAR, encode_header(header))


def read_sidecar(run_directory: Path) -> Header:
    """Read the copy, without touching the journal. Raises `RunRefused` when there is no run."""
    path = run_directory / SIDECAR
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunRefused(f"{run_directory} is not a run directory: {SIDECAR}: {error.strerror}") from error
    if not (run_directory / JOURNAL).is_file():
        raise RunRefused(f"{run_directory} holds no run: its import never ended; start it again with `run`")
    return decode_header(data, path)


def find_same(run_directory: Path, header: Header) -> Path | None:
    """The newest run directory beside this one that holds a run of the same input against the same target."""
    same = [
        (other.created_ms, path)
        for path, other in _runs(run_directory.parent)
        if _identity(other) == _identity(header) and path.name != run_directory.name
    ]
    return max(same)[1] if same else None


def _identity(header: Header) -> tuple[str, str, str, str]:
    settings = header.settings
    return header.input.sha256, settings.gateway, settings.org_id, settings.user_id


def _runs(directory: Path) -> Iterator[tuple[Path, Header]]:
    for sidecar in sorted(directory.glob(f"*/{SIDECAR}")):
        try:
            yield sidecar.parent, read_sidecar(sidecar.parent)
        except RunRefused:  # of another version, or not ours: it cannot be continued from here anyway
            continue
