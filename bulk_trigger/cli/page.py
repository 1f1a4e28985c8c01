"""The doctor's page, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..doctor.page import Line, Mark, is_fit


def in_words(lines: Sequence[Line]) -> Iterator[str]:
    """The page in text: verdict, name, what was found, and under it what to do."""
    width = max(len(line.name) for line in lines)
    margin = max(len(mark) for mark in Mark)
    for line in lines:
        yield f"{line.mark:{margin}}  {line.name:{width}}  {line.found}"
        if line.cure:
            yield f"{'':{margin}}  {'':{width}}  -> {line.cure}"
    counts = Counter(line.mark for line in lines)
    yield f"{', '.join(f'{counts[mark]} {mark}' for mark in Mark if counts[mark])}; nothing was triggered"


def facts_of(lines: Sequence[Line]) -> dict[str, Any]:
    """The page as plain data."""
    return {
        "version": 1,
        "ok": is_fit(lines),
        "lines": [
            {
                "name": line.name,
                "verdict": line.mark,
                "found": line.found,
                "cure": line.cure or None,
                "flowIds": line.flow_ids,
            }
            for line in lines
        ],
    }
