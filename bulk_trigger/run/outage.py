"""A time without good replies: pause, probe, go on (design decision 9)."""

from __future__ import annotations

PROBE_S = 1.0
PROBE_MAX_S = 30.0
TRIAL_S = 1.0  #: between two rows that are tried


class Outage:
    """The gateway does not answer well; nothing but probes and trials is sent."""

    def __init__(self, why: str, now: float) -> None:
        self.why = why
        self.since = now
        self.answering = False  #: a probe was answered: rows may be tried, one at a time
        self.next_at = now + PROBE_S
        self.probes = 0

    def probe_failed(self, now: float) -> None:
        """Wait longer before the next probe."""
        self.probes += 1
        self.answering = False
        self.next_at = now + min(PROBE_S * 2.0 ** min(self.probes, 10), PROBE_MAX_S)
