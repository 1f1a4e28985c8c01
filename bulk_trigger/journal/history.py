"""What the appended tables tell about rows: their histories, and how they ended."""

from __future__ import annotations

from collections import defaultdict
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import JournalError
from ..model import ENDINGS, Flag, Intent, Job, Outcome, State, Step
from .schema import STATES, STEP_COLUMNS, to_step
from .standing import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .database import Database
    from .standing import Standing

_decode_extra = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_FLAGS = tuple(Flag)


class Unfinished(msgspec.Struct, frozen=True):
    """A row with a history but no ending, as a resume finds it."""

    job: Job
    state: State
    steps: tuple[Step, ...]  #: oldest first
    intent: Intent | None  #: the one that nothing answers; its attempt counts as sent at that moment

    @property
    def attempt(self) -> int:
        """Number of the last attempt; the next one is this plus one."""
        return self.intent.attempt if self.intent else max((step.attempt for step in self.steps), default=0)

    @property
    def sends(self) -> int:
        """Sends on the wire, the doubtful one included."""
        return sum(step.sent_ms is not None for step in self.steps) + (self.intent is not None)

    @property
    def first_sent_ms(self) -> int | None:
        """When the row may first have been on the wire, in epoch milliseconds."""
        sent = [step.sent_ms for step in self.steps if step.sent_ms is not None]
        return min([*sent, self.intent.at_ms] if self.intent else sent, default=None)

    @property
    def flags(self) -> str:
        """The flags that the row has collected."""
        return _join_flags([step.flags for step in self.steps])


class History:
    """Reads what happened to the rows of one run."""

    def __init__(self, database: Database, standing: Standing) -> None:
        self._database = database
        self._standing = standing
        database.define("is_unfinished", standing.is_unfinished)
        database.define("is_sending", standing.is_sending)

    def of_row(self, row: int) -> list[Intent | Step]:
        """Everything that is known about a row, oldest first. Reads the whole tables."""
        found: list[tuple[int, Intent | Step]] = [
            (seq, Intent(*rest))
            for seq, *rest in self._database.read(
                "SELECT seq, row, attempt, at_ms FROM intents WHERE row = ?", (row,)
            )
        ]
        query = f"SELECT seq, {STEP_COLUMNS} FROM steps WHERE row = ?"  # noqa: S608 - our words
        found += [(record[0], to_step(record[1:])) for record in self._database.read(query, (row,))]
        return [event for _, event in sorted(found, key=itemgetter(0))]

    def unfinished(self) -> list[Unfinished]:
        """Give the rows with a history but no ending, by row."""
        steps: defaultdict[int, list[Step]] = defaultdict(list)
        query = f"SELECT {STEP_COLUMNS} FROM steps WHERE is_unfinished(row) ORDER BY seq"  # noqa: S608 - our words
        for record in self._database.read(query):
            steps[record[0]].append(to_step(record))
        intents = self.open_intents()
        return [
            Unfinished(self.input_of(row)[0], self._standing.state(row), tuple(steps[row]), intents.get(row))
            for row in sorted(self._standing.rows_in(UNFINISHED))
        ]

    def open_intents(self) -> dict[int, Intent]:
        """Give, by row, the intents that nothing answers."""
        if not self._standing.counts()[State.SENDING]:
            return {}
        query = "SELECT row, attempt, at_ms FROM intents WHERE is_sending(row) ORDER BY seq"
        return {record[0]: Intent(*record) for record in self._database.read(query)}

    def calls_since(self, at_ms: int) -> list[tuple[int, int]]:
        """Count all calls since then, per second, as (epoch ms of the second's last call, calls)."""
        query = (
            "SELECT max(at_ms), count(*) FROM (SELECT sent_ms AS at_ms FROM steps WHERE sent_ms >= ?1 "
            "UNION ALL SELECT at_ms FROM calls WHERE at_ms >= ?1 "
            "UNION ALL SELECT at_ms FROM intents WHERE at_ms >= ?1 AND is_sending(row)) "
            "GROUP BY at_ms / 1000 ORDER BY 1"
        )
        return [(last, count) for last, count in self._database.read(query, (at_ms,))]

    def outcomes(self) -> Iterator[Outcome]:
        """Give every row in input order, with its last ending or where it stands. Memory is bounded.

        The values of `extra` are `msgspec.Raw`: JSON just as the input had it.
        """
        intents = self.open_intents()
        steps = self._steps()
        step = next(steps, None)
        for row, flow_id, time, extra, duplicate in self._inputs():
            told = []
            while step is not None and step[0] == row:
                told.append(step)
                step = next(steps, None)
            yield _outcome(row, flow_id, time, _extra(extra), told, duplicate, intents.get(row))
        if step is not None:
            raise JournalError(f"the journal has a step of row {step[0]}, which is not in its input")

    def _inputs(self) -> Iterator[tuple[Any, ...]]:
        return self._database.read(
            "SELECT row, flow_id, trigger_time_ms, extra, row IN (SELECT row FROM duplicates) FROM jobs "
            "UNION ALL SELECT row, flow_id, trigger_time, extra, 0 FROM bad_rows ORDER BY row"
        )

    def _steps(self) -> Iterator[_Told]:
        """Give all steps, by row; sorting them is left to SQLite, on disk."""
        return self._database.read(
            "SELECT row, state, code, message, instance_id, via, flags, sent_ms, at_ms, latency_ms "
            "FROM steps ORDER BY row, seq"
        )

    def input_of(self, row: int) -> tuple[Job, dict[str, Any]]:
        """Give a row's job and its other columns, as raw JSON."""
        query = (
            "SELECT flow_id, trigger_time_ms, row IN (SELECT row FROM duplicates), extra "
            "FROM jobs WHERE row = ?"
        )
        for flow_id, trigger_time_ms, duplicate, extra in self._database.read(query, (row,)):
            job = Job(row, flow_id, trigger_time_ms, bool(duplicate))
            return job, _extra(extra)
        raise JournalError(f"row {row} is not among the journal's jobs")


def _extra(text: str | None) -> dict[str, msgspec.Raw]:
    try:
        return _decode_extra(text) if text else {}
    except (TypeError, msgspec.MsgspecError) as error:
        raise JournalError(f"the journal is damaged: a job's own columns are {text!r}") from error


_Told = tuple[Any, ...]  #: row, state, code, message, instance ID, via, flags, sent, at, latency


def _outcome(  # noqa: PLR0913, PLR0917 - the columns of an input row, and what is known about it
    row: int,
    flow_id: int | str,
    time: int | str,
    extra: dict[str, Any],
    told: list[_Told],
    duplicate: int,
    intent: Intent | None,
) -> Outcome:
    if not told:
        return Outcome(
            row=row,
            flow_id=flow_id,
            trigger_time_ms=time,
            state=State.SENDING if intent else State.PENDING,
            flags=Flag.DUPLICATE_KEY.value if duplicate else "",
            attempts=1 if intent else 0,
            sent_ms=intent.at_ms if intent else None,
            extra=extra,
        )
    _, code_of_state, code, message, instance_id, via, flags, sent_ms, at_ms, latency_ms = told[-1]
    state = State.SENDING if intent else STATES[code_of_state]
    attempts = 0 if sent_ms is None else 1
    if len(told) > 1:
        attempts = sum(step[7] is not None for step in told)
        sent_ms = next((step[7] for step in reversed(told) if step[7] is not None), None)
        flags = _join_flags([step[6] for step in told])
    if duplicate:
        flags = _join_flags([flags, Flag.DUPLICATE_KEY.value])
    return Outcome(
        row=row,
        flow_id=flow_id,
        trigger_time_ms=time,
        state=state,
        instance_id=instance_id,
        code=code,
        message=message,
        attempts=attempts + (intent is not None),
        via=via,
        flags=flags,
        sent_ms=intent.at_ms if intent else sent_ms,
        settled_ms=at_ms if state in ENDINGS else None,
        latency_ms=latency_ms,
        extra=extra,
    )


def _join_flags(texts: list[str]) -> str:
    present = {flag for text in texts for flag in text.split()}
    return " ".join(flag for flag in _FLAGS if flag in present)
