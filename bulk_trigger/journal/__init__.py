"""The journal: the durable truth of a run, in one SQLite file."""

from __future__ import annotations

from .database import CALLS_AHEAD, ENDED
from .flows import Flow
from .history import Unfinished
from .journal import Journal
from .reading import DONE_ALREADY, EXISTS, Halt

__all__ = ["CALLS_AHEAD", "DONE_ALREADY", "ENDED", "EXISTS", "Flow", "Halt", "Journal", "Unfinished"]
