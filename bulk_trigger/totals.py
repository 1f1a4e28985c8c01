"""The numbers of a run, as the journal counts them and the summary tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .model import State
    from .settings import Durability


class Session(msgspec.Struct, frozen=True):
    """One start or resume of a run. Times are epoch milliseconds."""

    epoch: int  #: 1 for the start, one more with each resume
    started_ms: int
    last_ms: int  #: the last thing that it recorded
    durability: Durability


class Ending(msgspec.Struct, frozen=True):
    """How many rows ended in one way other than success."""

    state: State
    code: str
    rows: int
    message: str  #: of the first of them


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal adds up to. All of it is derived from what was recorded, so it is the same each time."""

    counts: Mapping[State, int]  #: rows per state; every state is there
    sends: int  #: triggers on the wire, those in doubt included
    rows_sent: int  #: rows with at least one send
    other_calls: int  #: look-ups, probes, tokens
    reconciled: int  #: rows that succeeded, known by a look-up
    dup_risk: int  #: rows that ended with that flag
    endings: tuple[Ending, ...]  #: the most frequent first, at most 20
    latency_ms: Mapping[int, float]  #: percentiles (50, 95, 99) of the replies to triggers; empty without any
    sessions: tuple[Session, ...]
    notes: Mapping[str, Any]
