"""The errors of SQLite in the user's words."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from ..errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: A damaged name in a file makes a message that Python cannot read.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)

WORDS: Mapping[str, str] = {
    "SQLITE_FULL": "the disk is full; make room, then `resume`",
    "SQLITE_BUSY": "another program has it open; close that, then `resume`",
    "SQLITE_LOCKED": "another program has it open; close that, then `resume`",
    "SQLITE_READONLY": "it cannot be written; look at the permissions of the file and its directory",
    "SQLITE_CANTOPEN": "it cannot be opened; look at the permissions of the file and its directory",
    "SQLITE_CORRUPT": "it is damaged and is not used any more",
    "SQLITE_NOTADB": "it is damaged and is not used any more",
    "SQLITE_IOERR": "the disk reported an error (or is full); see to it, then `resume`",
}


def journal_error(path: Path, error: BaseException) -> JournalError:
    """Say in the user's words what is wrong with the journal."""
    name = getattr(error, "sqlite_errorname", "")
    words = next((words for prefix, words in WORDS.items() if name.startswith(prefix)), "it cannot be used")
    return JournalError(f"{path}: {words} ({name + ': ' if name else ''}{error})")
