"""Rows → the text of a CSV file that every reader takes, ours too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import csv
import io
from typing import Literal


def csv_lines(rows: Sequence[Sequence[object]]) -> bytes:
    """Write rows as lines of CSV.

    A field with a lone CR, which older Pythons forget to quote, makes its row quoted; a NUL is shown as JSON
    has it, for no CSV file may hold one.
    """
    text = _write(rows)
    if "\r" in text:
        text = "".join(
            _write([row], csv.QUOTE_ALL if any("\r" in str(cell) for cell in row) else csv.QUOTE_MINIMAL)
            for row in rows
        )
    return text.replace("\0", "\\u0000").encode("utf-8", "backslashreplace")


def _write(rows: Iterable[Sequence[object]], quoting: Literal[0, 1] = csv.QUOTE_MINIMAL) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue()
