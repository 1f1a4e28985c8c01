"""When the next calls may start.

Rule 1: every call of a run passes here: triggers, look-ups, probes and tokens.
Rule 2: one task asks (`admit`), for all the calls that it wants to start now; the granted calls start at
        once, and each says so (`started`).
Rule 3: two mechanisms, one for each half of the promise. aiolimiter *paces* the shortest window, so that what
        is asked is reached evenly; the exact `_Window` of every rate makes sure that no window holds more
        than its count, whatever the pacing, a stall or a restart did (P15, P16).

What is subtle here, and was measured:

- aiolimiter's bucket is asked for a whole tick (about 10 ms) of slots at once, by one task, and only when it
  has capacity. Its own waiting is never used: on uvloop, whose timers move in whole milliseconds, that wait
  wakes again and again until the bucket has leaked (70 % of a core at 1,000/s), and on a clock that stands
  still it never ends.
- The bucket holds 50 ms of slots, not one: unused credit is thrown away when the level hits zero, so with a
  bucket of one each late wake-up loses rate for good. What such a burst adds, the exact window takes away.
- A call counts from its *start*, not from its grant. Between the two it is reserved: it counts in every
  window, and does not grow old.
- After a cut the rate comes back along a cubic curve: fast at first, then ever more carefully towards the
  rate that was refused, and faster only when that holds. A straight way back hits the gateway's limit every
  two seconds where that is far below ours: 1 to 9 % of the calls refused, and a third of its rate unused.
- A long window would remember a million starts; starts within 1/4096 of the window share one entry, dated by
  the youngest of them, which errs on the safe side by 0.02 %.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from math import inf

from aiolimiter import AsyncLimiter

from .ports import Clock
from .quantities import Rate

_TICK_S = 0.010
_BURST_S = 0.050
_SHORTEST_SLEEP_S = 0.001
_CUT = 0.8  #: of the rate that is left after a cut
_CAUTION_S = 15.0  #: after a cut, until the rate is back where it was refused
_RECOVERY = 0.02  #: of the ceiling that comes back per second beyond that
_LEAST = 0.5  #: calls per second that no cut goes below
_MEANT = 1.0  #: a rate of less, measured at the start, says nothing about what the gateway can take


class _Entry:
    __slots__ = ("count", "first", "last")

    def __init__(self, now: float, count: int) -> None:
        self.first = self.last = now
        self.count = count


class _Window:
    """The exact count of one rate: how many calls started in the last `per_s` seconds."""

    __slots__ = ("_entries", "_grain", "_held", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._entries: deque[_Entry] = deque()
        self._held = 0
        self._grain = rate.per_s / 4096

    def add(self, now: float, count: int) -> None:
        self._held += count
        if self._entries and now - self._entries[-1].first <= self._grain:
            self._entries[-1].last = now
            self._entries[-1].count += count
        else:
            self._entries.append(_Entry(now, count))

    def room(self, now: float) -> int:
        entries, horizon = self._entries, now - self.rate.per_s
        while entries and entries[0].last <= horizon:
            self._held -= entries.popleft().count
        return self.rate.count - self._held

    def next_room(self) -> float:
        """When the oldest entry leaves the window."""
        return self._entries[0].last + self.rate.per_s if self._entries else -inf


class Limiter:
    """Decides when calls may start: rate windows, pauses, and the cut after a 429."""

    def __init__(self, rates: Sequence[Rate], clock: Clock) -> None:
        self._clock = clock
        self._windows = [_Window(rate) for rate in sorted(rates, key=lambda rate: rate.per_s)]
        self._ceiling = self._windows[0].rate.per_second if self._windows else inf
        self._reserved = 0
        self._paused_until = -inf
        self._cut_at = -inf
        self._refused = self._left = self._ceiling  # the rate at the last cut, and what that left of it
        self._bucket: AsyncLimiter | None = None
        self._bucket_rate = 0.0
        self._next_tick = -inf

    def __repr__(self) -> str:
        return f"<Limiter {self.per_second(self._clock.monotonic()):.4g}/s of {self._ceiling:.4g}/s>"

    # --- what the dispatcher asks

    async def admit(self, wanted: int) -> int:
        """Wait until at least one of `wanted` calls may start; returns how many may start now.

        Each of them must then start at once and say `started`, or be handed back with `give_back`.
        Only one task may wait here at a time.
        """
        while True:
            now = self._clock.monotonic()
            granted = min(wanted, self._room(now))
            if granted > 0 and (granted := await self._pace(granted, now)):
                self._reserved += granted
                return granted
            await asyncio.sleep(max(self.opens_at() - now, _SHORTEST_SLEEP_S))

    def started(self, count: int = 1) -> None:
        """`count` of the granted calls start now."""
        self._reserved -= count
        now = self._clock.monotonic()
        for window in self._windows:
            window.add(now, count)

    def give_back(self, count: int) -> None:
        """`count` of the granted calls will not start."""
        self._reserved -= count

    # --- what the gateway's replies cause

    def pause(self, seconds: float) -> None:
        """Let nothing start for so long. A pause that is under way is never shortened.

        For the way back after a cut, time in which nothing may start does not count: it proves nothing.
        """
        now = self._clock.monotonic()
        until = max(self._paused_until, now + seconds)
        self._cut_at += until - max(self._paused_until, now)
        self._paused_until = until

    def cut(self, measured: float) -> None:
        """Take the rate back after a 429; `measured` is the rate reached so far, in calls per second."""
        now = self._clock.monotonic()
        if self._ceiling == inf:
            if measured < _MEANT:
                return
            self._ceiling = measured
        self._refused = min(self.per_second(now), self._ceiling)
        self._left = max(self._refused * _CUT, min(_LEAST, self._ceiling))
        self._cut_at = now

    def remember(self, calls: Iterable[tuple[float, int]]) -> None:
        """Count calls of an earlier process: pairs of (age in seconds, how many), the oldest first."""
        now = self._clock.monotonic()
        for age, count in calls:
            for window in self._windows:
                if age < window.rate.per_s:
                    window.add(now - age, count)

    # --- what the view asks

    @property
    def is_open(self) -> bool:
        """Whether anything may start now, in any number: no rate, no cut, no pause."""
        return self._ceiling == inf and not self._windows and self._clock.monotonic() >= self._paused_until

    @property
    def is_cut(self) -> bool:
        """Whether less is allowed now than the user allows, because of a 429."""
        return self.per_second(self._clock.monotonic()) < self._ceiling

    @property
    def asked(self) -> float:
        """The rate that the user allows, in calls per second of the shortest window; inf without one."""
        return self._ceiling

    def per_second(self, now: float) -> float:
        """The rate allowed now: what the last cut left, and what came back since."""
        since = max(now - self._cut_at, 0.0)
        if since >= _CAUTION_S:
            return min(self._refused + (since - _CAUTION_S) * _RECOVERY * self._ceiling, self._ceiling)
        return self._refused - (self._refused - self._left) * (1 - since / _CAUTION_S) ** 3

    def paused_for(self) -> float:
        """Seconds that the pause will still last; 0 without one."""
        return max(self._paused_until - self._clock.monotonic(), 0.0)

    def opens_at(self) -> float:
        """When it is worth asking again, in monotonic seconds."""
        now = self._clock.monotonic()
        full = [window.next_room() for window in self._windows if window.room(now) - self._reserved <= 0]
        return max(self._next_tick, self._paused_until, *full)

    # --- inside

    def _room(self, now: float) -> int:
        if now < self._paused_until:
            return 0
        return min((window.room(now) - self._reserved for window in self._windows), default=1 << 30)

    async def _pace(self, wanted: int, now: float) -> int:
        rate = self.per_second(now)
        if rate == inf:
            return wanted
        bucket = self._bucket_for(rate)
        slots = min(wanted, max(1, round(rate * _TICK_S)))
        if not bucket.has_capacity(slots):
            return 0
        await bucket.acquire(slots)  # has capacity: does not wait
        self._next_tick = now + slots / rate
        return slots

    def _bucket_for(self, rate: float) -> AsyncLimiter:
        # While the rate comes back after a cut, a new bucket per 5 % of change is fine enough.
        if (
            self._bucket is None
            or not 0.95 <= self._bucket_rate / rate <= 1
            or rate == self._ceiling != self._bucket_rate
        ):
            burst = max(2.0, rate * _BURST_S)
            self._bucket = AsyncLimiter(burst, burst / rate)
            self._bucket_rate = rate
        return self._bucket
