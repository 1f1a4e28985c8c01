"""The numbers of a run while it runs: what the live view, progress.json and the summary read.

Also the account of waiting: at any moment the next send waits for exactly one thing (`Wait`), and the time
goes to that. What it waited for most is the bottleneck, in one sentence.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from ..model import ENDINGS, State

_RECENT_S = 10.0


class Wait(StrEnum):
    """What the next send waits for."""

    RATE = "rate"
    ORDER = "order"
    IN_FLIGHT = "in-flight"
    PAUSE = "pause"
    OUTAGE = "outage"
    BACKOFF = "backoff"
    DOUBT = "doubt"
    JOURNAL = "journal"
    TOKEN = "token"  # noqa: S105 - a word, not a secret


class Tally:
    """Counts of rows by state, sends, retries, waits. Changed by the run only."""

    def __init__(self, rows: int, counts: Mapping[State, int], benign_skips: int, now: float) -> None:
        self.rows = rows
        self.counts: Counter[State] = Counter(counts)
        self.benign_skips = benign_skips
        self.sends = 0
        self.retries = 0
        self.lookups = 0
        self.in_flight = 0  #: triggers under way
        self.lookups_under_way = 0  #: the same for look-ups
        self.waits: Counter[Wait] = Counter()
        self.order_waits: Counter[int] = Counter()  # seconds by flow
        self.longest: tuple[int, int] | None = (
            None  #: the longest open lane: its flow and the rows it has left
        )
        self.latency_s = 0.05  #: moving mean of the replies' latency
        self.waiting_for = ""  #: in words, for the view
        self.started_at = now
        self.ended = sum(self.counts[state] for state in ENDINGS)  #: rows that have ended
        self.ended_before = self.ended
        self.skipped_here = 0  #: rows skipped since then: they say nothing about the pace
        self._recent: deque[tuple[float, int]] = deque([(now, 0)])

    @property
    def left(self) -> int:
        """Rows that have not ended."""
        return self.rows - self.ended

    def moved(self, before: State, after: State, rows: int = 1) -> None:
        """`rows` jobs went from one state to another."""
        self.counts[before] -= rows
        self.counts[after] += rows
        self.ended += rows * ((after in ENDINGS) - (before in ENDINGS))
        if after is State.SKIPPED:
            self.skipped_here += rows

    def sent(self, *, retry: bool) -> None:
        """A trigger call was made."""
        self.sends += 1
        self.retries += retry
        self.in_flight += 1

    def replied(self, latency_s: float | None) -> None:
        """A trigger call has ended; None if no reply came, which says nothing about how long replies take."""
        self.in_flight -= 1
        if latency_s is not None:
            self.latency_s += 0.02 * (latency_s - self.latency_s)

    def waited(self, wait: Wait, seconds: float) -> None:
        """The next send waited so long for that."""
        self.waits[wait] += seconds  # type: ignore[assignment]  # a Counter adds floats as well
        if wait is Wait.ORDER and self.longest:
            self.order_waits[self.longest[0]] += seconds  # type: ignore[assignment]  # as above

    def rate(self, now: float) -> float:
        """Sends per second, lately."""
        recent = self._recent
        if now - recent[-1][0] >= _RECENT_S / 20:
            recent.append((now, self.sends))
        while len(recent) > 2 and recent[1][0] <= now - _RECENT_S:
            recent.popleft()
        at, sends = recent[0]
        return (self.sends - sends) / (now - at) if now > at else 0.0

    def eta_s(self, now: float) -> float | None:
        """Seconds until every row has ended, at the pace so far; None before there is one."""
        done, took = self.ended - self.ended_before - self.skipped_here, now - self.started_at
        return self.left * took / done if done and took > 0 else None

    def bottleneck(self, took_s: float) -> str | None:
        """What most of the time went to, in a sentence; None if nothing stands out."""
        if not self.waits or took_s <= 0:
            return None
        wait, seconds = max(self.waits.items(), key=lambda item: item[1])
        share = seconds / took_s
        if share < 0.2:
            return None
        cause, cure = _SENTENCES[wait]
        if wait is Wait.ORDER and self.order_waits:
            flow_id = max(self.order_waits, key=lambda flow: self.order_waits[flow])
            if 2 * self.order_waits[flow_id] > seconds:
                cause = f"the order of flow {flow_id}"
        return f"{share:.0%} of the time went to {cause}; {cure}"

    def snapshot(self, now: float) -> dict[str, Any]:
        """The numbers as plain data, for progress.json."""
        eta = self.eta_s(now)
        return {
            "rows": self.rows,
            "counts": {state.value: self.counts[state] for state in State if self.counts[state]},
            "left": self.left,
            "sends": self.sends,
            "retries": self.retries,
            "lookups": self.lookups,
            "inFlight": self.in_flight,
            "ratePerSecond": round(self.rate(now), 2),
            "etaSeconds": None if eta is None else round(eta),
            "elapsedSeconds": round(now - self.started_at, 1),
            "waitingFor": self.waiting_for,
        }


_SENTENCES: Mapping[Wait, tuple[str, str]] = {
    Wait.RATE: ("the rate that you allowed", "a higher --rate would make it faster"),
    Wait.ORDER: ("the order of the flows", "a higher --rate would not help"),
    Wait.IN_FLIGHT: ("the in-flight cap", "a higher --in-flight would help, if the gateway can take it"),
    Wait.PAUSE: ("pauses and a lower rate after 429 replies", "a lower --rate may be faster"),
    Wait.OUTAGE: ("waiting for the gateway to come back", "it was not reachable or gave no good reply"),
    Wait.BACKOFF: ("waiting before retries", "the gateway refused too many attempts"),
    Wait.DOUBT: ("rows in doubt that had to be looked up", "replies were lost or gave no certainty"),
    Wait.JOURNAL: ("the disk of the run directory", "a faster disk would help"),
    Wait.TOKEN: ("the access token", "the token service is slow"),
}
