"""The tables of a journal, and how values are written in them.

    jobs, bad_rows, flows, duplicates   written once, by the import
    intents, steps, reruns, calls       only ever appended to; a random update costs ten times as much
    sessions                            one line for each time that the run was started or resumed
    fence, notes                        the only ones that change

`seq` is one count over intents and steps: it is the order in which things became known. No index stands on
the appended tables, for an insert at a random place of an index is such an update; what needs another order
is sorted when it is asked for.
"""

from __future__ import annotations

from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from ..model import ENDINGS, Evidence, State, Step
from ..settings import Order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    import sqlite3

APPLICATION_ID = 0x62_74_72_31  # "btr1"
RUN_NUMBER = 1 << 8  #: `user_version` is the format, and so many times a number of the run's own

TABLES = """
CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 1), json BLOB NOT NULL);
CREATE TABLE fence (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL);
CREATE TABLE sessions (epoch INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, durability TEXT NOT NULL);
CREATE TABLE notes (key TEXT PRIMARY KEY, json BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE jobs (
    row INTEGER PRIMARY KEY, flow_id INTEGER NOT NULL, trigger_time_ms INTEGER NOT NULL, extra BLOB
);
CREATE TABLE bad_rows (
    row INTEGER PRIMARY KEY, line INTEGER NOT NULL, field TEXT NOT NULL, reason TEXT NOT NULL,
    message TEXT NOT NULL, cure TEXT NOT NULL, flow_id TEXT NOT NULL, trigger_time TEXT NOT NULL, extra BLOB
);
CREATE TABLE flows (
    rank INTEGER PRIMARY KEY, flow_id INTEGER NOT NULL, rows INTEGER NOT NULL, first_row INTEGER NOT NULL
);
CREATE TABLE duplicates (row INTEGER PRIMARY KEY);
CREATE TABLE intents (
    seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, row INTEGER NOT NULL, attempt INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
);
CREATE TABLE steps (
    seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, row INTEGER NOT NULL, state INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, attempt INTEGER NOT NULL, evidence INTEGER, code TEXT NOT NULL,
    message TEXT NOT NULL, instance_id TEXT, via TEXT NOT NULL, flags TEXT NOT NULL, sent_ms INTEGER,
    latency_ms REAL, status INTEGER, bytes_out INTEGER
);
CREATE TABLE reruns (ending INTEGER PRIMARY KEY);
CREATE TABLE calls (at_ms INTEGER NOT NULL);
"""

#: What was appended stands. `reruns` lists the endings that an operator took back, by their `seq`.
GUARDS = "".join(
    f"""
CREATE TRIGGER {table}_stand_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} are never changed'); END;"""
    for table in ("header", "jobs", "bad_rows", "flows", "intents", "steps", "reruns", "calls", "sessions")
    for verb in ("UPDATE", "DELETE")
)

#: The order of a lane. Both indexes hold all of a job, so that a look-ahead reads nothing else.
LANE_INDEX: Mapping[Order, str] = {
    Order.INPUT: "CREATE INDEX lanes ON jobs (flow_id, row, trigger_time_ms)",
    Order.TIME: "CREATE INDEX lanes ON jobs (flow_id, trigger_time_ms)",
}
LANE_ORDER: Mapping[Order, str] = {Order.INPUT: "row", Order.TIME: "trigger_time_ms, row"}

STATES = tuple(State)
CODE_OF: Mapping[State, int] = {state: code for code, state in enumerate(STATES)}
EVIDENCES = tuple(Evidence)
EVIDENCE_CODE: Mapping[Evidence | None, int | None] = {
    None: None,
    **{evidence: code for code, evidence in enumerate(EVIDENCES)},
}

_AT_ONCE = (64, 16, 4, 1)  #: rows that one statement inserts
_STEP_FIELDS = Step.__struct_fields__
STEP_COLUMNS = ", ".join(_STEP_FIELDS)  #: the table's words are those of the model

_TEXT_MAX = 2000  # a message of a megabyte is not worth its place; the results cut it at 300


def to_step(record: tuple[Any, ...]) -> Step:
    """Read the `STEP_COLUMNS` of one step."""
    fields = dict(zip(_STEP_FIELDS, record, strict=True))
    fields["state"] = STATES[fields["state"]]
    if fields["evidence"] is not None:
        fields["evidence"] = EVIDENCES[fields["evidence"]]
    return Step(**fields)


def codes_of(states: Iterable[State]) -> str:
    """Codes of states, as a list in SQL."""
    return ", ".join(str(CODE_OF[state]) for state in states)


def storable(text: str) -> str:
    """Text as the journal can hold it: SQLite takes no lone surrogates, and a hostile reply may have some."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX]


#: The endings that stand, as a condition on `steps`.
FINAL = f"state IN ({codes_of(sorted(ENDINGS))}) AND seq NOT IN (SELECT ending FROM reruns)"  # noqa: S608 - our words


def append(connection: sqlite3.Connection, table: str, records: Iterable[tuple[Any, ...]]) -> None:
    """Insert records into a table, many with one statement.

    With one statement each, SQLite would let go of the interpreter once for each record, and on a thread
    beside a busy event loop it may take milliseconds to get it back.
    """
    rest = iter(records)
    while batch := list(islice(rest, _AT_ONCE[0])):
        at = 0
        for rows in _AT_ONCE:
            while len(batch) - at >= rows:
                statement = _insert(table, len(batch[0]), rows)
                connection.execute(statement, list(chain.from_iterable(batch[at : at + rows])))
                at += rows


@cache
def _insert(table: str, columns: int, rows: int) -> str:
    record = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {', '.join([record] * rows)}"  # noqa: S608 - our words and question marks
