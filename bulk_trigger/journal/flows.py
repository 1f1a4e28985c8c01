"""Which rows a flow still has: the lanes' view of the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..model import Job
from ..settings import Order
from .schema import LANE_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .database import Database
    from .standing import Standing


_START = (-(2**63), 0)  #: before every time and row; a condition that may be absent could not use the index


class Flow(msgspec.Struct, frozen=True, gc=False):
    """A flow of the run, as the import found it."""

    rank: int  #: from 1, in the order of the flows' first rows
    flow_id: int
    rows: int  #: how many the run may send, ended ones included
    first_row: int  #: in lane order


class Flows:
    """Reads flows and their rows. Every read starts anew, so it sees what was committed last."""

    def __init__(self, database: Database, standing: Standing, order: Order) -> None:
        self._database = database
        self._standing = standing
        self._by_time = order is Order.TIME
        after = "(trigger_time_ms, row) > (?, ?)" if self._by_time else "row > ?"
        self._lane = (
            "SELECT row, flow_id, trigger_time_ms, row IN (SELECT row FROM duplicates) FROM jobs "  # noqa: S608 - our words
            f"WHERE flow_id = ? AND {after} ORDER BY {LANE_ORDER[order]}"
        )

    def lane(self, flow_id: int, after: Job | None = None) -> Iterator[Job]:
        """Give the jobs of a flow that have not ended, in lane order, behind the job `after`."""
        time, row = (after.trigger_time_ms, after.row) if after else _START
        place = (time, row) if self._by_time else (row,)
        for row, flow, time_ms, duplicate in self._database.read(self._lane, (flow_id, *place)):
            if not self._standing.has_ended(row):
                yield Job(row, flow, time_ms, bool(duplicate))

    def behind(self, row: int) -> list[int]:
        """Give all rows of a lane behind this one, also those that have ended."""
        ((flow_id, time),) = self._database.read(
            "SELECT flow_id, trigger_time_ms FROM jobs WHERE row = ?", (row,)
        )
        place = (time, row) if self._by_time else (row,)
        return [later for later, *_ in self._database.read(self._lane, (flow_id, *place))]

    def longest(self, skip: int, limit: int) -> list[Flow]:
        """Give flows by their number of rows, longest first."""
        query = "SELECT rank, flow_id, rows, first_row FROM flows ORDER BY rows DESC, rank LIMIT ? OFFSET ?"
        return [Flow(*record) for record in self._database.read(query, (limit, skip))]

    def following(self, after_rank: int, limit: int) -> list[Flow]:
        """Give flows by their first row, behind the one of rank `after_rank`."""
        query = "SELECT rank, flow_id, rows, first_row FROM flows WHERE rank > ? ORDER BY rank LIMIT ?"
        return [Flow(*record) for record in self._database.read(query, (after_rank, limit))]
