"""From the recorded history to the numbers of the summary."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..errors import JournalError
from ..model import Flag, State
from ..settings import Durability
from ..totals import Ending, Session, Totals
from .schema import CODE_OF, FINAL, STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..header import Header
    from .database import Database

PERCENTILES = (50, 95, 99)
_SHOWN = 20


def read_totals(
    database: Database, header: Header, counts: Mapping[State, int], notes: Mapping[str, Any]
) -> Totals:
    """Count what a journal holds. Each query reads a table once; none keeps rows in memory."""
    sends, rows_sent, latencies = _sends(database, header, under_way=counts[State.SENDING])
    ((other_calls,),) = database.read("SELECT count(*) FROM calls")
    ((reconciled, dup_risk),) = database.read(
        f"SELECT ifnull(sum(state = ? AND via = 'reconciled'), 0), ifnull(sum(instr(flags, ?) > 0), 0) "  # noqa: S608 - our words
        f"FROM steps WHERE {FINAL}",
        (CODE_OF[State.SUCCEEDED], Flag.DUP_RISK.value),
    )
    return Totals(
        counts=dict(counts),
        sends=sends,
        rows_sent=rows_sent,
        other_calls=other_calls,
        reconciled=reconciled,
        dup_risk=dup_risk,
        endings=_endings(database),
        latency_ms=_percentiles(latencies),
        sessions=_sessions(database),
        notes=notes,
    )


def _sends(database: Database, header: Header, *, under_way: int) -> tuple[int, int, Counter[int]]:
    """Count the sends, the rows that had some, and the replies by latency, in tenths of a millisecond."""
    sent = bytearray(header.rows)
    sends, first = 0, header.first_row
    latencies: Counter[int] = Counter()
    query = "SELECT row, CAST(latency_ms * 10 + 0.5 AS INTEGER) FROM steps WHERE sent_ms IS NOT NULL"
    if under_way:  # rows of which an intent is open
        query += " UNION ALL SELECT DISTINCT row, NULL FROM intents WHERE is_sending(row)"
    for row, tenth in database.read(query):
        sends += 1
        sent[row - first] = 1
        if tenth is not None:
            latencies[tenth] += 1
    return sends, sum(sent), latencies


def _endings(database: Database) -> tuple[Ending, ...]:
    query = (
        f"SELECT state, code, count(*) AS rows, min(seq), message FROM steps WHERE {FINAL} AND state <> ? "  # noqa: S608 - our words
        "GROUP BY state, code ORDER BY rows DESC, state, code LIMIT ?"
    )
    found = database.read(query, (CODE_OF[State.SUCCEEDED], _SHOWN))
    return tuple(Ending(STATES[state], code, rows, message) for state, code, rows, _, message in found)


def _percentiles(latencies: Counter[int]) -> dict[int, float]:
    """Percentiles by nearest rank, to a tenth of a millisecond."""
    tenths = sorted(latencies.items())
    reached = list(accumulate(count for _, count in tenths))
    percentiles = {}
    for percent in PERCENTILES if tenths else ():
        rank = -(-reached[-1] * percent // 100)
        percentiles[percent] = (
            next(tenth for (tenth, _), n in zip(tenths, reached, strict=True) if n >= rank) / 10
        )
    return percentiles


def _sessions(database: Database) -> tuple[Session, ...]:
    query = (
        "SELECT epoch, sessions.at_ms, max(sessions.at_ms, ifnull(max(last_ms), 0)), durability "
        "FROM sessions LEFT JOIN ("
        "SELECT epoch, max(at_ms) AS last_ms FROM steps GROUP BY epoch "
        "UNION ALL SELECT epoch, max(at_ms) FROM intents GROUP BY epoch) USING (epoch) "
        "GROUP BY epoch ORDER BY epoch"
    )
    try:
        return tuple(
            Session(epoch, started_ms, last_ms, Durability(word))
            for epoch, started_ms, last_ms, word in database.read(query)
        )
    except ValueError as error:
        raise JournalError(f"{database.path} is damaged: {error}") from error
