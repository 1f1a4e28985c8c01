"""What only the whole list can tell: rows that share an instance ID, and the flows with their order.

All of it is found by SQL, so that memory does not grow with the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model import MINUTE_MS
from .schema import LANE_INDEX, LANE_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    import sqlite3

    from ..settings import Order

SHOWN = 20


class Twins:
    """Rows that repeat the flow and UTC minute of an earlier row of their lane; found when this is made."""

    def __init__(self, connection: sqlite3.Connection, order: Order) -> None:
        self._connection = connection
        connection.execute("CREATE TEMP TABLE twins (row INTEGER PRIMARY KEY, first_row INTEGER NOT NULL)")
        connection.execute(
            "INSERT INTO twins SELECT row, first FROM (SELECT row, first_value(row) OVER ("  # noqa: S608 - our words
            f"PARTITION BY flow_id, trigger_time_ms / {MINUTE_MS} ORDER BY {LANE_ORDER[order]}"
            ") AS first FROM jobs) WHERE row <> first ORDER BY row"
        )

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT count(*) FROM twins").fetchone()
        return int(count)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Give (row, the first row with the same key), by row."""
        return self._connection.execute("SELECT row, first_row FROM twins ORDER BY row")

    def mark(self) -> None:
        """Keep in the journal which rows share their instance ID, the first ones included."""
        self._connection.execute(
            "INSERT INTO duplicates SELECT row FROM twins UNION SELECT first_row FROM twins"
        )

    def forget(self) -> None:
        """Go on as if the list had none."""
        self._connection.execute("DELETE FROM twins")

    def describe(self, name: str, first: Sequence[tuple[int, int]]) -> str:
        """Say which rows they are, and what to do about them."""
        lines = [f"  row {row} has the same flow and UTC minute as row {earlier}" for row, earlier in first]
        if len(self) > len(first):
            lines.append(f"  and {len(self) - len(first)} more")
        return "\n".join(
            [
                f"{name}: {len(self)} rows would get the instance ID of an earlier row; nothing was sent",
                *lines,
                "  hint: --duplicates skip sends only the first of each, --duplicates send sends them all",
            ]
        )


def index_lanes(connection: sqlite3.Connection, order: Order) -> None:
    """Make the order of the lanes quick to read."""
    connection.execute(LANE_INDEX[order])


def list_flows(connection: sqlite3.Connection, order: Order) -> int:
    """List the flows by their first row in lane order, without the rows that are twins; returns how many."""
    connection.execute(
        "INSERT INTO flows (flow_id, rows, first_row) SELECT found.flow_id, rows, first FROM ("  # noqa: S608 - our words
        "SELECT flow_id, count(*) AS rows, (SELECT row FROM jobs AS head WHERE head.flow_id = jobs.flow_id "
        f"ORDER BY {LANE_ORDER[order]} LIMIT 1) AS first "
        "FROM jobs WHERE row NOT IN (SELECT row FROM twins) GROUP BY flow_id"
        f") AS found JOIN jobs ON row = first ORDER BY {LANE_ORDER[order]}"
    )
    connection.execute("CREATE UNIQUE INDEX flow_ids ON flows (flow_id)")
    connection.execute("CREATE INDEX flow_lengths ON flows (rows DESC, rank)")
    (count,) = connection.execute("SELECT count(*) FROM flows").fetchone()
    return int(count)
