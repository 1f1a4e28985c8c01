"""What can be asked of a journal that is open."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import JournalError
from ..header import decode_header
from ..model import Job, State
from .accounting import check
from .counting import read_totals
from .flows import Flows
from .history import History
from .importing import DUPLICATE
from .schema import FINAL, STATES, codes_of
from .standing import Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from ..header import Header
    from ..model import Intent, Outcome, Step
    from ..totals import Totals
    from .database import Database
    from .flows import Flow
    from .history import Unfinished

EXISTS = "exists"
DONE_ALREADY = frozenset({EXISTS, DUPLICATE})  #: reasons of skipped rows that nobody has to do again

_REPLAY = (
    "SELECT row, state FROM (SELECT seq, row, state FROM steps "
    "UNION ALL SELECT seq, row, 1 FROM intents ORDER BY seq)"
)
_LAST = "SELECT max((SELECT ifnull(max(seq), 0) FROM steps), ifnull(max(seq), 0)) FROM intents"


class Halt(msgspec.Struct, frozen=True):
    """A job whose ending stops, or has begun to stop, the rest of its lane."""

    job: Job
    state: State
    code: str
    message: str


class Reading:
    """A journal's content: where every row stands, and what is known about it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.header = read_header(database)
        self._standing = Standing(self.header.first_row, self.header.rows)
        self._standing.replay(database.read(_REPLAY))
        self._seq = database.only(_LAST, int)  #: number of the last event
        self._flows = Flows(database, self._standing, self.header.settings.order)
        self._history = History(database, self._standing)

    def blaming_damage(self) -> AbstractContextManager[None]:
        """While it is read: what trips us up may be damage. Raises `JournalError` then."""
        return self._database.blaming_damage()

    @property
    def epoch(self) -> int:
        """Number of this session: 1 for the run itself, one more with each resume."""
        return self._database.epoch

    def __repr__(self) -> str:
        where = ", ".join(f"{count} {state}" for state, count in self.counts().items() if count)
        return f"<Journal session {self.epoch} | {where or 'no rows'}>"

    # --- the lanes

    def look_ahead(self, requests: Sequence[tuple[int, Job | None]], limit: int) -> list[list[Job]]:
        """Give, for each (flow, job taken last), the next jobs that have not ended, in lane order."""
        return [list(islice(self._flows.lane(flow_id, after), limit)) for flow_id, after in requests]

    def inputs_of(self, rows: Sequence[int]) -> list[tuple[Job, dict[str, Any]]]:
        """Give these rows' jobs with their other columns, in the order asked for."""
        return [self._history.input_of(row) for row in rows]

    def benign_skips(self) -> int:
        """Count the skipped rows that nobody has to do again."""
        codes = ", ".join(f"'{code}'" for code in sorted(DONE_ALREADY))
        query = f"SELECT count(*) FROM steps WHERE {FINAL} AND state IN ({codes_of([State.SKIPPED])}) AND code IN ({codes})"  # noqa: E501, S608 - our words
        ((count,),) = self._database.read(query)
        return int(count)

    def longest_flows(self, skip: int, limit: int) -> list[Flow]:
        """Give flows by their number of rows, longest first."""
        return self._flows.longest(skip, limit)

    def next_flows(self, after_rank: int, limit: int) -> list[Flow]:
        """Give flows by their first row; begin with `after_rank` 0."""
        return self._flows.following(after_rank, limit)

    def halted_flows(self, states: Collection[State]) -> list[Halt]:
        """Give the flows with rows still to do behind an ending in `states`, each with the first such ending.

        A crash between an ending and the `skip_rest` that it calls for leaves such flows. Rows skipped
        because they exist already, or are duplicates, halt nothing.
        """
        halts: dict[int, Halt] = {}
        for flow_id, row, state, code, message in self._database.read(_halts(states)):
            if flow_id not in halts and code not in DONE_ALREADY:
                job, _ = self._history.input_of(row)
                halts[flow_id] = Halt(job, STATES[state], code, message)
        return [halt for flow_id, halt in halts.items() if any(self._flows.lane(flow_id, halt.job))]

    def flows_with(self, state: State) -> set[int]:
        """Give the flows that have a row with this ending."""
        query = f"SELECT DISTINCT flow_id FROM steps JOIN jobs USING (row) WHERE {FINAL} AND state IN ({codes_of([state])})"  # noqa: E501, S608 - our words
        return {flow_id for (flow_id,) in self._database.read(query)}

    def first_success(self) -> tuple[Job, str, int] | None:
        """Give a job that succeeded by its reply, its instance ID, and when it was sent (epoch ms)."""
        query = (
            "SELECT row, instance_id, sent_ms FROM steps "  # noqa: S608 - our words
            f"WHERE state IN ({codes_of([State.SUCCEEDED])}) AND via = 'reply' LIMIT 1"
        )
        for row, instance_id, sent_ms in self._database.read(query):
            return self._history.input_of(row)[0], instance_id, sent_ms
        return None

    # --- what is known

    def counts(self) -> dict[State, int]:
        """How many rows are where, exactly; every state is there."""
        return self._standing.counts()

    def state(self, row: int) -> State:
        """Where a row is."""
        return self._standing.state(row)

    def unfinished(self) -> list[Unfinished]:
        """Give the rows with a history but no ending, by row."""
        return self._history.unfinished()

    def calls_since(self, at_ms: int) -> list[tuple[int, int]]:
        """Count all calls since then, per second, as (epoch ms of the second's last call, calls)."""
        return self._history.calls_since(at_ms)

    def outcomes(self) -> Iterator[Outcome]:
        """Give every row in input order, as it ended or where it stands; `extra` has raw JSON values."""
        return self._history.outcomes()

    def attempts(self, row: int) -> list[Intent | Step]:
        """Give everything that is known about a row, oldest first."""
        return self._history.of_row(row)

    def notes(self) -> dict[str, Any]:
        """Give the facts that `note` kept."""
        return {
            key: msgspec.json.decode(value)
            for key, value in self._database.read("SELECT key, json FROM notes")
        }

    def totals(self) -> Totals:
        """Count what the summary tells."""
        return read_totals(self._database, self.header, self.counts(), self.notes())

    def check(self) -> list[str]:
        """Prove the accounting; returns what is wrong, in sentences (the first 100)."""
        return check(self._database, self.header, self.counts())


def read_header(database: Database) -> Header:
    """Read what is known about a run from its first moment on. Raises `JournalError`, `RunRefused`."""
    return decode_header(database.only("SELECT json FROM header", bytes), database.path)


def check_counts(database: Database) -> None:
    """Look whether records are missing: a page may be sound, and not the right one. Raises `JournalError`."""
    header = read_header(database)
    expected = {
        "SELECT (SELECT count(*) FROM jobs NOT INDEXED) + count(*) FROM bad_rows": header.rows,
        "SELECT count(*) FROM flows NOT INDEXED": header.flows,
        "SELECT (SELECT count(*) FROM steps) + count(*) FROM intents": database.only(_LAST, int),
    }
    for query, count in expected.items():
        if (found := database.only(query, int)) != count:
            raise JournalError(f"{database.path} is damaged and is not used: {found} records of {count}")


def _halts(states: Collection[State]) -> str:
    return (
        "SELECT flow_id, row, state, code, message FROM steps JOIN jobs USING (row) "  # noqa: S608 - our words
        f"WHERE {FINAL} AND state IN ({codes_of(states)}) ORDER BY seq"
    )
