"""The proof behind `verify`: the recorded history is played again, and every promise about it is looked at.

All events of a run are read flow by flow, in the order in which they became known, beside the lane of that
flow. What is kept in memory is a few bytes per row.
"""

from __future__ import annotations

from array import array
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ..errors import IllegalMove, JournalError
from ..model import State
from .schema import CODE_OF, FINAL, LANE_ORDER, STATES
from .standing import Standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..header import Header
    from .database import Database

_SHOWN = 100


def check(database: Database, header: Header, counts: Mapping[State, int]) -> list[str]:
    """Give what is wrong with a journal, in sentences; at most 100."""
    try:
        return list(islice(_Accounting(database, header, counts).problems(), _SHOWN))
    except (TypeError, IllegalMove) as error:  # a value that nobody has written
        raise JournalError(f"{database.path} is damaged: {error}") from error


class _Accounting:
    def __init__(self, database: Database, header: Header, counts: Mapping[State, int]) -> None:
        self._database = database
        self._header = header
        self._counts = counts
        self._standing = Standing(header.first_row, header.rows)
        self._attempts = array("I", bytes(4 * header.rows))  #: number of the last attempt of each row
        self._rerun = bytearray(header.rows)  #: 1 for a row that an operator ran again
        self._invalid = 0

    def problems(self) -> Iterator[str]:
        if self._database.lost:
            yield self._database.lost
        yield from self._rows()
        events = self._events()
        for flow_id, of_flow in groupby(events, key=itemgetter(0)):
            yield from self._flow(flow_id, of_flow)
        yield from self._sums()
        yield from self._instance_ids()

    def _rows(self) -> Iterator[str]:
        ((jobs, bad),) = self._database.read(
            "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM bad_rows)"
        )
        if (jobs + bad, bad) != (self._header.rows, self._header.invalid):
            expected = f"{self._header.rows} rows, {self._header.invalid} of them invalid"
            yield f"the input had {expected}; here are {jobs} jobs and {bad} bad rows"
        known = "row IN (SELECT row FROM jobs) OR row IN (SELECT row FROM bad_rows)"
        for table in ("steps", "intents"):
            for (row,) in self._database.read(f"SELECT row FROM {table} WHERE NOT ({known})"):  # noqa: S608 - our words
                yield f"row {row}: it has {table}, but is not in the input"
        query = (
            "SELECT row, count(*), max(state) FROM steps WHERE row IN (SELECT row FROM bad_rows) GROUP BY row"
        )
        for row, steps, state in self._database.read(query):
            if (steps, state) == (1, CODE_OF[State.INVALID]):
                self._invalid += 1
            else:
                yield f"row {row}: it is a bad row, but did more than end as invalid"

    def _events(self) -> Iterator[tuple[Any, ...]]:
        """Give (flow, seq, row, state, attempt, via); an intent has the state `sending` and via None."""
        return self._database.read(
            "SELECT flow_id, seq, row, state, attempt, via FROM ("
            "SELECT seq, row, state, attempt, via FROM steps "
            "UNION ALL SELECT seq, row, 1, attempt, NULL FROM intents"
            ") JOIN jobs USING (row) ORDER BY flow_id, seq"
        )

    def _flow(self, flow_id: int, events: Iterator[tuple[Any, ...]]) -> Iterator[str]:
        """Play the events of one flow, with its lane beside them."""
        order = LANE_ORDER[self._header.settings.order]
        lane = self._database.read(f"SELECT row FROM jobs WHERE flow_id = ? ORDER BY {order}", (flow_id,))  # noqa: S608 - our words
        under_way: int | None = None  #: the row with an intent and without an ending
        for _, _, row, state, attempt, via in events:
            if via is None:
                if under_way not in {None, row}:
                    yield f"row {row}: it was sent while row {under_way} of the same flow was under way"
                yield from self._intent(row, attempt, lane)
                under_way = row
            else:
                yield from self._step(row, STATES[state], attempt, via)
                if under_way is not None and self._gives_way(under_way, row, via):
                    under_way = None

    def _gives_way(self, under_way: int, row: int, via: str) -> bool:
        """Whether another row of the flow may be sent after this step of `row`."""
        if row == under_way:
            return self._standing.has_ended(row)
        return (
            via == "rerun" and self._standing.state(under_way) is State.PENDING
        )  # it was refused, and waits

    def _intent(self, row: int, attempt: int, lane: Iterator[tuple[int]]) -> Iterator[str]:
        place = row - self._header.first_row
        if attempt != self._attempts[place] + 1:
            yield f"row {row}: attempt {attempt} follows attempt {self._attempts[place]}"
        self._attempts[place] = attempt
        if attempt == 1 and not self._rerun[place]:  # the lane has passed a row that is run again
            for (before,) in lane:
                if before == row:
                    break
                if not self._standing.has_ended(before):
                    yield f"row {row}: it was sent before row {before} of the same flow had ended"
            else:
                yield f"row {row}: it was sent after a later row of the same flow"
        yield from self._move(row, State.SENDING)

    def _step(self, row: int, state: State, attempt: int, via: str) -> Iterator[str]:
        place = row - self._header.first_row
        if via == "rerun":
            self._rerun[place] = 1
        if attempt and attempt != self._attempts[place]:
            yield f"row {row}: a step answers attempt {attempt}, the last one was {self._attempts[place]}"
        yield from self._move(row, state, rerun=via == "rerun")

    def _move(self, row: int, state: State, *, rerun: bool = False) -> Iterator[str]:
        try:
            if not rerun:
                self._standing.move(row, state, [])
            elif self._standing.rerun(row, []) is not state:
                yield f"row {row}: it was run again as {state}"
        except IllegalMove as error:
            yield str(error)

    def _sums(self) -> Iterator[str]:
        played = self._standing.counts()
        played[State.PENDING] -= self._invalid
        played[State.INVALID] += self._invalid
        for state, count in self._counts.items():
            if played[state] != count:
                yield f"{count} rows are counted as {state}, and {played[state]} by their history"

    def _instance_ids(self) -> Iterator[str]:
        query = (
            f"SELECT min(row), instance_id, count(*) FROM steps WHERE {FINAL} AND state = ? "  # noqa: S608 - our words
            "AND row NOT IN (SELECT row FROM duplicates) "
            "GROUP BY instance_id HAVING count(*) > 1 OR instance_id IS NULL"
        )
        for row, instance_id, count in self._database.read(query, (CODE_OF[State.SUCCEEDED],)):
            if instance_id is None:
                yield f"row {row}: it succeeded without an instance ID, like {count - 1} others"
            else:
                yield f"row {row}: {count - 1} other rows have its instance ID {instance_id}"
