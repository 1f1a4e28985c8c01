"""What may be concluded about an attempt in doubt, and when (design decision 2). Pure.

- A look-up that *finds* our instance settles the row at once.
- "Absent" has to wait, because a request that nobody answered may still arrive. **Answered** doubt (62109,
  500: a complete reply came) ends with one complete read, some seconds after the reply, as soon as a success
  has shown how far look-ups are behind. **Unanswered** doubt (timeout, reset, 502, a crash) needs two, the
  first at half the quarantine and the last at its end.
- A read that is partial, refused or nonsense concludes nothing. It is repeated for as long as the run is
  patient; then the row ends as unknown. It never becomes "absent", and never a blind retry.
"""

from __future__ import annotations

import msgspec

from ..instances import Instance
from ..model import Verdict

ANSWERED_S = 2.0  #: not before this may a single read conclude "absent" from answered doubt
LAG_FACTOR = 3.0
EARLY_S = 1.0  #: the first look after an unanswered send: it can only find
REREAD_S = 1.0  #: after a read that concluded nothing; doubled up to ...
REREAD_MAX_S = 30.0


class Doubt:
    """What is known about an attempt in doubt. Times are monotonic seconds."""

    __slots__ = ("absent_at", "failed_reads", "resend_at", "since", "verdict")

    def __init__(self, *, verdict: Verdict, since: float, resend_at: float) -> None:
        self.verdict = verdict  #: what put it in doubt
        self.since = since  #: when the reply came; unanswered: when it was sent (after a crash: the resume)
        self.resend_at = resend_at  #: if it is absent, send again not before this
        self.absent_at: list[float] = []  #: times of complete reads that did not find it
        self.failed_reads = 0


class Found(msgspec.Struct, frozen=True):
    """The instance exists, and it is ours."""

    instance_id: str


class Absent(msgspec.Struct, frozen=True):
    """The attempt provably did not take effect."""


class ReadAgain(msgspec.Struct, frozen=True):
    """Nothing to conclude yet; read again at `at`."""

    at: float


class Undecided(msgspec.Struct, frozen=True):
    """It cannot be decided."""

    reason: str


Conclusion = Found | Absent | ReadAgain | Undecided


class Reading(msgspec.Struct, frozen=True):
    """What one read of the gateway's instances gave: exactly one of the first four."""

    found: Instance | None = None
    absent: bool = False
    not_permitted: str = ""
    unsure: str = ""  #: partial, refused for now, or nonsense: why
    stranger: str = ""  #: an instance that may be ours, under an ID that we do not understand


class Waits(msgspec.Struct, frozen=True):
    """The waiting times of a run, in seconds."""

    quarantine_s: float
    patience_s: float
    lag_s: float | None  #: how long the first success took to show up in a look-up; None: not known yet

    @property
    def answered_s(self) -> float:
        """How long after a complete reply one read may conclude "absent".

        As long as nobody has seen how far behind the look-ups are, no sooner than after silence.
        """
        if self.lag_s is None:
            return self.quarantine_s
        return max(min(ANSWERED_S, self.quarantine_s), LAG_FACTOR * self.lag_s)

    @property
    def unanswered_s(self) -> float:
        """The same for silence, which proves less than an answer: never sooner."""
        return max(self.quarantine_s, self.answered_s)


def first_read(doubt: Doubt, waits: Waits, earliest: float) -> float:
    """When to read for the first time."""
    if doubt.verdict.answered:
        unmeasured_s = min(ANSWERED_S, waits.quarantine_s)  # it may be found, or the lag be known by then
        return max(earliest, doubt.since + (unmeasured_s if waits.lag_s is None else waits.answered_s))
    return doubt.since + min(EARLY_S, waits.quarantine_s / 2)


def reread_after(failed_reads: int) -> float:
    """How long to wait before a read, after so many in a row that concluded nothing."""
    return min(REREAD_S * 2.0 ** min(failed_reads - 1, 30), REREAD_MAX_S)


def conclude(doubt: Doubt, reading: Reading, waits: Waits, now: float, *, ours: bool | None) -> Conclusion:
    """What follows from one more read. `ours`: whether the found instance is ours; None = undecidable."""
    if reading.found:
        if ours:
            return Found(reading.found.instance_id)
        which = "older than this run's first send" if ours is False else "of a time that cannot be compared"
        return Undecided(f"an instance {reading.found.instance_id} exists, but it is {which}")
    if not reading.absent:
        doubt.failed_reads += 1
        if now - doubt.since > waits.patience_s:
            return Undecided(f"no look-up could tell: {reading.unsure}")
        return ReadAgain(now + reread_after(doubt.failed_reads))
    doubt.absent_at.append(now)
    return _absent(doubt, waits, now)


def _absent(doubt: Doubt, waits: Waits, now: float) -> Absent | ReadAgain:
    if doubt.verdict.answered:
        due = doubt.since + waits.answered_s
        return Absent() if now >= due else ReadAgain(min(due, now + max(ANSWERED_S, now - doubt.since)))
    half_s = waits.unanswered_s / 2
    half = doubt.since + half_s
    first = next((at for at in doubt.absent_at if at >= half), None)
    if first is None:
        return ReadAgain(half)
    return Absent() if now >= first + half_s else ReadAgain(first + half_s)
