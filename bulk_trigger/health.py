"""How the gateway as a whole is doing: when to stop sending for a while, and how much to retry.

Pure: callers pass `now` (monotonic seconds). Three questions, three small answers:

    Breaker   is the gateway gone? (design decisions 9 and 10)   -> a reason to pause
    Budget    may a retry be sent now? (decision 11)                -> yes, or when to ask again
    Patience  has it been silent for too long? (decision 9)          -> stop the run
"""

from __future__ import annotations

from collections import deque

from .model import Kind, Verdict

_SPAN_S = 10.0  #: what "lately" means
_BIN_S = 0.5
LATENCIES = 3.0


class Breaker:
    """Counts what went wrong in a row; any good reply clears it all."""

    sends = 10  #: so many sends ...
    flows = 2  #: ... over so many flows without a good reply open it
    least_s = 1.0  #: ... that went on for so long, or for three times a reply's latency
    streak = 3  #: unreachable, or nonsense, so often in a row
    anomalies = 2  #: instance IDs that make no sense

    def __init__(self) -> None:
        self._bad: deque[tuple[float, int]] = deque()  # (time, flow) of the sends since the last good reply
        self._since: float | None = None  # when the first of them failed, however long ago
        self._unreachable = 0
        self._nonsense = 0
        self._anomalies = 0

    def observe(
        self, verdict: Verdict, flow_id: int, now: float, *, lanes_left: int, latency_s: float
    ) -> str | None:
        """Take note of a reply to a send; returns why everything should pause, or None.

        `latency_s`: how long a reply takes. Where failures answer faster than successes, a burst begins with
        nothing but failures; so they have to go on for a while before they mean anything.
        """
        if verdict.good:
            self.clear()
            return None
        if verdict.kind in {Kind.THROTTLED, Kind.TOKEN}:  # these have pauses of their own
            return None
        self._unreachable = self._unreachable + 1 if verdict.kind is Kind.UNREACHABLE else 0
        self._nonsense = self._nonsense + 1 if verdict.nonsense else 0
        self._anomalies += verdict.anomaly
        if self._since is None:
            self._since = now
        self._bad.append((now, flow_id))
        while self._bad[0][0] < now - _SPAN_S:
            self._bad.popleft()
        return self._why(verdict, now - self._since, lanes_left, latency_s)

    def clear(self) -> None:
        """Forget what went wrong."""
        if self._since is None:
            return
        self._bad.clear()
        self._since = None
        self._unreachable = self._nonsense = self._anomalies = 0

    def _why(self, verdict: Verdict, lasting_s: float, lanes_left: int, latency_s: float) -> str | None:
        if self._unreachable >= self.streak:
            return f"the gateway cannot be reached ({verdict.code})"
        if self._nonsense >= self.streak:
            return "the gateway's replies make no sense"
        if self._anomalies >= self.anomalies:
            return "the gateway's instance IDs make no sense"
        if (
            lanes_left > 1
            and len(self._bad) >= self.sends
            and lasting_s >= max(self.least_s, LATENCIES * latency_s)
            and len({flow for _, flow in self._bad}) >= self.flows
        ):
            return f"no good reply to the last {len(self._bad)} sends ({verdict.code})"
        return None


class Budget:
    """Retries are free while at least half of the recent sends had a good reply.

    Below that they are 10 % of the sends plus one per second, so that a dead gateway gets hardly more load.
    """

    share = 0.1
    per_second = 1.0
    most = 10.0  #: retries that can be saved up

    def __init__(self, now: float) -> None:
        self._bins: deque[list[float]] = deque()  # [start of the bin, sends, good replies]
        self._sends = self._good = 0.0
        self._saved = self.per_second
        self._at = now

    def observe(self, *, good: bool, retry: bool, now: float) -> None:
        """Take note of a reply to a send; `retry`: the send was not the first of its job."""
        self._forget(now)
        if not self._bins or now - self._bins[-1][0] >= _BIN_S:
            self._bins.append([now, 0, 0])
        self._bins[-1][1] += 1
        self._bins[-1][2] += good
        self._sends += 1
        self._good += good
        if not retry:
            self._saved = min(self._saved + self.share, self.most)

    def spend(self, now: float) -> float:
        """Ask for one retry; returns 0 if it may be sent now, else the seconds to wait before asking."""
        self._forget(now)
        self._saved = min(self._saved + (now - self._at) * self.per_second, self.most)
        self._at = now
        if 0 < self._sends <= 2 * self._good:  # after a silence nobody knows: it is not free
            return 0.0
        if self._saved < 1:
            return (1 - self._saved) / self.per_second
        self._saved -= 1
        return 0.0

    def _forget(self, now: float) -> None:
        while self._bins and now - self._bins[0][0] > _SPAN_S:
            _, sends, good = self._bins.popleft()
            self._sends -= sends
            self._good -= good


class Patience:
    """How long the run goes on while no reply is good; pauses that the gateway asked for do not count."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: float | None = None  # the first reply that was not good after the last one that was

    def good(self) -> None:
        """A good reply came."""
        self._since = None

    def bad(self, now: float) -> bool:
        """A reply was not good, or none came; returns whether the run should stop waiting."""
        if self._since is None:
            self._since = now
        return now - self._since > self._patience_s

    def excuse(self, seconds: float) -> None:
        """The gateway asked for a pause of so many seconds."""
        if self._since is not None:
            self._since += seconds
