"""Python's collector of cycles, asked less often while a run is under way.

What a run makes for each job is in no cycle and goes by itself; to look for cycles every 700 objects costs
some 3 % of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import gc

OBJECTS = 20_000  #: made, and not gone by themselves, between two looks


@contextmanager
def rarely_collecting() -> Iterator[None]:
    """Set the collector's threshold for the time of the block, unless it is higher already."""
    before = gc.get_threshold()
    gc.set_threshold(max(OBJECTS, before[0]) if before[0] else 0, *before[1:])  # 0: it was switched off
    try:
        yield
    finally:
        gc.set_threshold(*before)
