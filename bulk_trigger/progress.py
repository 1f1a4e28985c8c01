"""How far a run is: numbers taken a few times per second, and what there is to say about them.

    Run ─► Watch ─► Glance ─► LiveView (a terminal) | LineView (a log, text or JSON)

Nothing here is done per row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Protocol

import msgspec

from .cells import clean
from .model import State
from .quantities import format_duration
from .recap import counted
from .run import Run

LINE_EVERY_S = 10.0
_STILL_S = 1.0  #: without a send for so long, people want to know why
_DOUBT = (State.RECONCILING,)
_SHOWN = (State.SUCCEEDED, State.FAILED, State.SKIPPED, State.INVALID, State.UNKNOWN)


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """A run at one moment. Durations are in seconds, rates in sends per second."""

    rows: int
    ended: int
    counts: Mapping[str, int]  #: rows by state; those that have ended, without the states that have none
    in_doubt: int  #: rows that wait for a look-up, or are being looked up
    in_flight: int
    sends: int
    retries: int
    lookups: int
    rate: float
    asked: float | None  #: the rate allowed now; None without a limit
    elapsed_s: float
    eta_s: float | None
    longest: tuple[int, int] | None  #: the flow with the most rows left, as (flow, rows left)
    paused_s: float  #: how long the gateway's pause still lasts
    held_up: str  #: what nothing goes on for, in words; "" while it goes on
    held_up_s: float  #: and for how long already
    draining: bool
    unread: bool = False  #: sending pauses until somebody reads the results on standard output

    @property
    def left(self) -> int:
        """Rows that have not ended."""
        return self.rows - self.ended

    @property
    def share(self) -> float:
        """Of the rows that have ended, from 0 to 1."""
        return self.ended / self.rows if self.rows else 1.0

    @property
    def percent(self) -> str:
        """The same for people; never 100 before the end."""
        return f"{int(self.share * 100)}%"

    @property
    def speed(self) -> str:
        """The rate, and the one that is allowed."""
        asked = "" if self.asked is None else f" of {_number(self.asked)}/s"
        return f"{_number(self.rate)}/s{asked}"

    @property
    def eta(self) -> str:
        """When it ends, at this pace; "" before that is known."""
        if self.eta_s is None or not self.left or self.draining:
            return ""
        return f"ETA {format_duration(self.eta_s)}"

    @property
    def waits(self) -> str:
        """What it waits for and for how long; "" while it goes on."""
        if self.draining:
            return f"stops: {counted(self.in_flight, 'call')} may still be answered"
        if self.unread:
            return "waits for the reader of standard output"
        if self.paused_s:
            return f"paused by the gateway, for another {format_duration(self.paused_s)}"
        return f"waits for {self.held_up}, {format_duration(self.held_up_s)}" if self.held_up else ""

    @property
    def line(self) -> str:
        """The run in one line of plain text."""
        return progress_line(self)

    def facts(self) -> dict[str, Any]:
        """The numbers for a program, under the names of progress.json."""
        return {
            "rows": self.rows,
            "left": self.left,
            "counts": dict(self.counts),
            "inDoubt": self.in_doubt,
            "inFlight": self.in_flight,
            "sends": self.sends,
            "retries": self.retries,
            "lookups": self.lookups,
            "ratePerSecond": round(self.rate, 2),
            "allowedPerSecond": None if self.asked is None else round(self.asked, 2),
            "elapsedSeconds": round(self.elapsed_s, 1),
            "etaSeconds": None if self.eta_s is None else round(self.eta_s),
            "pausedSeconds": round(self.paused_s, 1),
            "waitingFor": self.held_up,
        }


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How far a command is that works on many instances, at one moment."""

    total: int
    ended: int
    counts: Mapping[str, int]  #: instances by what is shown of them, in that order
    calls: int
    elapsed_s: float
    paused_s: float  #: how long the gateway's pause still lasts

    @property
    def share(self) -> float:
        """Of what has ended, from 0 to 1."""
        return self.ended / self.total if self.total else 1.0

    @property
    def percent(self) -> str:
        """The same for people; never 100 before the end."""
        return f"{int(self.share * 100)}%"

    @property
    def waits(self) -> str:
        """What it waits for; "" while it goes on."""
        return f"paused by the gateway, for another {format_duration(self.paused_s)}" if self.paused_s else ""

    @property
    def line(self) -> str:
        """All of it in one line of plain text."""
        parts = [
            f"{format_duration(self.elapsed_s)}: {self.percent} ({self.ended:,} of {self.total:,} instances)",
            *(f"{word} {count:,}" for word, count in self.counts.items()),
            self.waits,
        ]
        return ", ".join(part for part in parts if part)

    def facts(self) -> dict[str, Any]:
        """The numbers for a program."""
        return {
            "instances": self.total,
            "ended": self.ended,
            "counts": dict(self.counts),
            "calls": self.calls,
            "elapsedSeconds": round(self.elapsed_s, 1),
            "pausedSeconds": round(self.paused_s, 1),
        }


class Watch:
    """Looks at a run from outside; remembers since when it stands still."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._calls = -1
        self._moved_at = run.clock.monotonic()

    def look(self, *, unread: bool = False) -> Glance:
        """Take the numbers of this moment; `unread`: the sending is paused for a slow reader of ours."""
        run, tally = self._run, self._run.tally
        now = run.clock.monotonic()
        allowed = run.limiter.per_second(now)
        still_s = self._still_s(now)
        return Glance(
            rows=tally.rows,
            ended=tally.ended,
            counts={state.value: tally.counts[state] for state in _SHOWN if tally.counts[state]},
            in_doubt=sum(tally.counts[state] for state in _DOUBT),
            in_flight=tally.in_flight,
            sends=tally.sends,
            retries=tally.retries,
            lookups=tally.lookups,
            rate=tally.rate(now),
            asked=allowed if isfinite(allowed) else None,
            elapsed_s=now - tally.started_at,
            eta_s=tally.eta_s(now),
            longest=tally.longest,
            paused_s=run.limiter.paused_for(),
            held_up=self._held_up(now) if still_s >= _STILL_S else "",
            held_up_s=still_s,
            draining=run.is_draining,
            unread=unread,
        )

    def _still_s(self, now: float) -> float:
        calls = self._run.tally.sends + self._run.tally.lookups + self._run.tally.ended
        if calls != self._calls:
            self._calls, self._moved_at = calls, now
        return now - self._moved_at

    def _held_up(self, now: float) -> str:
        opens_in = self._run.limiter.opens_at() - now
        if opens_in > _STILL_S:
            return f"the rate that you allowed (next call in {format_duration(opens_in)})"
        return clean(self._run.tally.waiting_for)


class View(Protocol):
    """Shows a run to somebody. `show` is called a few times per second."""

    def show(self, glance: Glance | Count) -> None:
        """Show the numbers of this moment."""

    def close(self) -> None:
        """Leave the place to the last words."""


class NoView:
    """For `--quiet` and `--no-progress`."""

    def show(self, glance: Glance | Count) -> None:
        """Show nothing."""

    def close(self) -> None:
        """There is nothing to leave."""


class LineView:
    """A line now and then: for logs. `tell` is given event, text and facts."""

    def __init__(self, tell: Callable[[str, str, Mapping[str, Any]], None]) -> None:
        self._tell = tell
        self._next_s = LINE_EVERY_S
        self._paused = False

    def show(self, glance: Glance | Count) -> None:
        """Say a line when it is time, and when a pause begins or ends."""
        if bool(glance.paused_s) != self._paused:
            self._paused = bool(glance.paused_s)
            event, text = ("paused", glance.waits) if self._paused else ("resumed", "the pause is over")
            self._tell(event, text, glance.facts())
        elif glance.elapsed_s >= self._next_s:
            self._next_s = glance.elapsed_s + LINE_EVERY_S
            self._tell("progress", glance.line, glance.facts())

    def close(self) -> None:
        """Lines stay where they are."""


def progress_line(glance: Glance) -> str:
    """The run in one line of plain text."""
    parts = [
        f"{format_duration(glance.elapsed_s)}: {glance.percent} ({glance.ended:,} of {glance.rows:,} rows)",
        glance.speed,
        *(f"{state} {count:,}" for state, count in glance.counts.items() if state != State.SUCCEEDED),
        f"in doubt {glance.in_doubt:,}" if glance.in_doubt else "",
        glance.eta,
        glance.waits,
    ]
    return ", ".join(part for part in parts if part)


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
