"""The gateway's rate limit. Pure: the caller says what time it is.

All windows have to admit a call. A refused call counts in none of them.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from .scenario import Scenario

_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Window(Protocol):
    """At most so many calls in so many seconds, counted in some way."""

    def admits(self, now: float) -> bool:
        """Whether a call at *now* is within the limit."""

    def count(self, now: float) -> None:
        """Count a call that was admitted."""


class Sliding:
    """No stretch of time of the window's length holds more."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._recent: deque[float] = deque(maxlen=calls)
        self._seconds = seconds

    def admits(self, now: float) -> bool:
        """Whether a call at *now* is within the limit."""
        return len(self._recent) < (self._recent.maxlen or 0) or self._recent[0] + self._seconds <= now

    def count(self, now: float) -> None:
        """Count a call that was admitted; the oldest one makes room by itself."""
        self._recent.append(now)


class Fixed:
    """No tick of a clock that ticks once per window holds more, so twice as many may come around a tick."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._calls, self._seconds = calls, seconds
        self._tick, self._counted = -1, 0

    def admits(self, now: float) -> bool:
        """Whether a call at *now* is within the limit."""
        return int(now // self._seconds) != self._tick or self._counted < self._calls

    def count(self, now: float) -> None:
        """Count a call that was admitted."""
        tick = int(now // self._seconds)
        self._counted = self._counted + 1 if tick == self._tick else 1
        self._tick = tick


class Bucket:
    """A bucket as large as the window's calls, which fills evenly."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._size, self._per_second = float(calls), calls / seconds
        self._level, self._at = self._size, 0.0

    def admits(self, now: float) -> bool:
        """Whether a call at *now* is within the limit."""
        return self._filled(now) >= 1

    def count(self, now: float) -> None:
        """Count a call that was admitted."""
        self._level, self._at = self._filled(now) - 1, now

    def _filled(self, now: float) -> float:
        return min(self._size, self._level + (now - self._at) * self._per_second)


_KINDS: Mapping[str, Callable[[int, float], Window]] = {"sliding": Sliding, "fixed": Fixed, "bucket": Bucket}


class Limit:
    """All the windows of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        rates = (scenario.rate_limit,) if isinstance(scenario.rate_limit, str) else scenario.rate_limit
        kind = _KINDS[scenario.rate_kind]
        self._windows = [kind(*_parse(rate)) for rate in rates]

    def admit(self, now: float) -> bool:
        """Count a call at *now* if all windows admit it, and say whether they do."""
        admitted = all(window.admits(now) for window in self._windows)
        if admitted:
            for window in self._windows:
                window.count(now)
        return admitted


def _parse(rate: str) -> tuple[int, float]:
    """`100/s` is 100 calls in 1 second."""
    calls, _, unit = rate.partition("/")
    return int(calls), _UNIT_S[unit]
