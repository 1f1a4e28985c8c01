"""The durable truth of a run: its rows, what was about to be sent, and what came of it.

Rule 1: an intent is committed before the first byte of its attempt can leave; that is the one record whose
        loss could trigger a flow twice. A lost step only looks like a send in doubt.
Rule 2: what was appended is never changed, and a row that has ended does not end again.
Rule 3: after the first error nothing is written any more, see `database`.
Rule 4: the object is synchronous and belongs to one thread at a time.
"""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import BulkTriggerError, RunRefused
from ..model import RERUN, State, Step
from ..settings import Durability
from .database import Database
from .importing import Import
from .reading import DONE_ALREADY, Reading, check_counts
from .schema import CODE_OF, EVIDENCE_CODE, FINAL, append, codes_of, storable
from .standing import SENDING, Undo

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path
    import sqlite3
    from typing import Self

    from ..header import Input
    from ..model import BadRow, Intent, Job, Row
    from ..settings import Settings

_CHUNK = 5_000


class Journal(Reading):
    """A journal that is open. Made by `create`, `open` or `read`; ended by `close`."""

    # --- open and close

    @classmethod
    def create(  # noqa: PLR0913 - what a header is made of
        cls,
        path: Path,
        rows: Iterable[Row | BadRow],
        *,
        settings: Settings,
        tool: str,
        at_ms: int,
        source: Callable[[], Input],
        explain: Callable[[Sequence[BadRow], int], str],
    ) -> Self:
        """Import all rows into a new journal, and open it.

        `source` is asked when `rows` has been read to its end; `explain` makes the text about bad rows, of
        the first 20 and their number. Raises `InputError` (bad rows, duplicates, what reading `rows`
        raises), `JournalError`, `RunRefused`. Unless it returns, there is no run.
        """
        Import(
            path, rows, settings=settings, tool=tool, created_ms=at_ms, source=source, explain=explain
        ).run()
        return cls._begin(Database.open(path, settings.durability), at_ms, settings.durability)

    @classmethod
    def open(cls, path: Path, *, at_ms: int, durability: Durability) -> Self:
        """Open a journal to go on with its run: a new session begins, older ones are fenced off.

        Raises `RunRefused` when there is no run, `JournalError` when it is damaged.
        """
        database = Database.open(path, durability)
        with _closed_on_error(database):
            database.check_pages()
            check_counts(database)
        return cls._begin(database, at_ms, durability)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open a journal to look at it only; the run's lock must be held. Raises as `open` does."""
        database = Database.open(path, Durability.POWER)
        with _closed_on_error(database):
            database.forbid_writing()
            with database.blaming_damage():
                return cls(database)

    @classmethod
    def _begin(cls, database: Database, at_ms: int, durability: Durability) -> Self:
        with _closed_on_error(database):
            database.begin_session(at_ms, durability)
            return cls(database)

    def close(self) -> None:
        """Close the journal; whoever opens it next knows that nothing is missing."""
        self._database.close()

    # --- write

    def write(self, intents: Sequence[Intent], steps: Sequence[Step], calls: Sequence[int] = ()) -> None:
        """Append in one transaction: first the steps, then the intents; `calls` are times of other calls.

        It is on disk when this returns. `sent_ms` is kept on the step that leaves `sending` only, so that no
        send is counted twice. Raises `IllegalMove` (nothing was written) or `JournalError` (for good).
        """
        with self._transaction(len(steps) + len(intents)) as (connection, undo, first):
            append(connection, "steps", self._step_records(steps, first, undo))
            append(connection, "intents", self._intent_records(intents, first + len(steps), undo))
            append(connection, "calls", [(at_ms,) for at_ms in calls])

    def skip_rest(self, last: Job, at_ms: int, code: str, message: str) -> int:
        """End all rows of a lane behind the job `last` that have not ended as skipped; returns how many."""
        skipped = 0
        while chunk := list(islice(self._flows.lane(last.flow_id, last), _CHUNK)):
            last = chunk[-1]
            self.write(
                (),
                [
                    Step(row=job.row, state=State.SKIPPED, at_ms=at_ms, code=code, message=message)
                    for job in chunk
                ],
            )
            skipped += len(chunk)
        return skipped

    def reopen(self, states: Collection[State], at_ms: int) -> int:
        """Take back the endings in `states` on the operator's word; returns how many rows that are.

        Rows that were skipped because they exist already, or are duplicates, stay. Raises `RunRefused`.
        """
        if not set(states) <= RERUN.keys():
            raise RunRefused(f"only rows that are {', '.join(RERUN)} can be run again")
        return self._reopen(states, at_ms, lambda _, code: code not in DONE_ALREADY)

    def take_back(self, rows: Collection[int], at_ms: int) -> int:
        """Take back failures that turned out to be ours, not the rows'; returns how many rows that are.

        A row stays failed if one behind it in its lane got further: it would be triggered after that one.
        """
        harmless = {State.PENDING, State.WAITING, State.SKIPPED}

        def is_last(row: int, _: str) -> bool:
            return row in rows and all(
                later in rows or self.state(later) in harmless for later in self._flows.behind(row)
            )

        return self._reopen([State.FAILED], at_ms, is_last)

    def _reopen(self, states: Collection[State], at_ms: int, wanted: Callable[[int, str], bool]) -> int:
        reopened, after = 0, 0
        while chunk := list(islice(self._endings(states, after), _CHUNK)):
            after = chunk[-1][0]
            endings = [(seq, row) for seq, row, code in chunk if wanted(row, code)]
            with self._transaction(len(endings)) as (connection, undo, first):
                steps = [
                    Step(
                        row=row, state=self._standing.rerun(row, undo), at_ms=at_ms, code="rerun", via="rerun"
                    )
                    for _, row in endings
                ]
                append(connection, "steps", [self._record(s, n, None) for n, s in enumerate(steps, first)])
                append(connection, "reruns", [(seq,) for seq, _ in endings])
            reopened += len(endings)
        return reopened

    def note(self, key: str, value: Any) -> None:
        """Keep a small fact about the run (JSON) for its summary; a later one replaces it."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, msgspec.json.encode(value))
            )

    # --- inside

    @contextlib.contextmanager
    def _transaction(self, events: int) -> Iterator[tuple[sqlite3.Connection, Undo, int]]:
        """A transaction that adds `events`: its connection, its undo list, the number of its first event."""
        undo: Undo = []
        try:
            with self._database.transaction() as connection:
                yield connection, undo, self._seq + 1
        except BaseException:
            self._standing.revert(undo)
            raise
        self._seq += events

    def _step_records(self, steps: Iterable[Step], first: int, undo: Undo) -> list[tuple[Any, ...]]:
        move, record = self._standing.move, self._record
        return [
            record(step, seq, step.sent_ms if move(step.row, step.state, undo) == SENDING else None)
            for seq, step in enumerate(steps, first)
        ]

    def _intent_records(self, intents: Iterable[Intent], first: int, undo: Undo) -> list[tuple[int, ...]]:
        epoch, move = self._database.epoch, self._standing.move
        for intent in intents:
            move(intent.row, State.SENDING, undo)
        return [(seq, epoch, i.row, i.attempt, i.at_ms) for seq, i in enumerate(intents, first)]

    def _record(self, step: Step, seq: int, sent_ms: int | None) -> tuple[Any, ...]:
        return (
            seq,
            self._database.epoch,
            step.row,
            CODE_OF[step.state],
            step.at_ms,
            step.attempt,
            EVIDENCE_CODE[step.evidence],
            step.code,
            storable(step.message) if step.message else "",
            step.instance_id and storable(step.instance_id),
            step.via,
            step.flags,
            sent_ms,
            step.latency_ms,
            step.status,
            step.bytes_out,
        )

    def _endings(self, states: Collection[State], after: int) -> Iterator[tuple[Any, ...]]:
        """Give the endings that stand, behind the event `after`, as (event, row, code)."""
        query = (
            "SELECT seq, row, code FROM steps "  # noqa: S608 - our words
            f"WHERE {FINAL} AND state IN ({codes_of(states)}) AND seq > ? ORDER BY seq"
        )
        return self._database.read(query, (after,))


@contextlib.contextmanager
def _closed_on_error(database: Database) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(BulkTriggerError):  # the first error is the one to tell
            database.close()
        raise
