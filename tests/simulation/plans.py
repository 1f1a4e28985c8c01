"""What is going to happen in a history: job list, settings, gateway, and everything that goes wrong.

Rule 1: all chance of a history comes from its plan, and all of it from one seed: same seed, same history.
Rule 2: a plan keeps to the fault model that the promises state. A late effect and the lag of the look-ups
        together stay within the quarantine, a reply that is certain by the tables is true, lags differ by
        less than the factor that the design allows. Where a plan leaves the model (`is_sane`), the checks
        know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any, Final

from blows import BLOWS

from bulk_trigger.model import State
from bulk_trigger.sandbox import Scenario
from bulk_trigger.sandbox.tokens import ORG_ID, USER_ID
from bulk_trigger.settings import Settings

JobKey = tuple[int, int]  #: flow ID, trigger time in epoch milliseconds

GATEWAY = "https://gateway.simulated"
TARGET = MappingProxyType({"gateway": GATEWAY, "org_id": ORG_ID, "user_id": USER_ID})
EPOCH: Final = 1_700_000_000.0  #: what the wall shows when a history begins
FIRST_MS = 1_689_984_000_000  #: the earliest trigger time; all of them lie before the epoch, as in a replay
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000

#: How a connection fails.
DIALS = ("refused", "unreachable", "unresolved", "black hole", "hung up in the handshake", "no certificate")


@dataclass(frozen=True, slots=True)
class Spell:
    """Bad weather: for a while, calls of a sort go wrong in one way."""

    start_s: float
    end_s: float
    what: str  #: a key of `BLOWS[group]`, or one of `DIALS`
    group: str  #: trigger, lookup, token, all or dial
    share: float = 1.0  #: of the calls


@dataclass(frozen=True, slots=True)
class Crash:
    """When the process dies: at the n-th of some kind of step of its session."""

    step: str  #: turn, statement, send, sent, lookup, heard, end; on a platter also what is asked of the disk
    n: int
    down_s: float  #: until somebody resumes
    #: What becomes of what was not synced: none (a kill), or all, some or torn (a power cut).
    loss: str = "none"


@dataclass(frozen=True, slots=True)
class Breakage:
    """A disk that fails at the n-th of some kind of request of a session."""

    kind: str  #: write, sync, create or rename
    n: int
    error: int  #: an errno
    forever: bool


@dataclass(frozen=True, slots=True)
class Stopping:
    """What the operator does at the n-th of some kind of step: one signal, two of them, or a cancellation."""

    step: str
    n: int
    how: str  #: drain, leave or cancel


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one call."""

    up_s: float  #: until it arrives
    work_s: float  #: until the reply leaves
    down_s: float  #: until the reply arrives
    late_s: float  #: until it arrives, if it is held up on its way
    blow: str  #: a key of `BLOWS`; empty for none
    twin_s: float | None  #: the network delivers it twice, so much later
    cut: float  #: where a reply is cut, as a share of its length
    split: float  #: where a reply is split in two; 0 for not at all
    closes: bool  #: the gateway closes the connection after the reply


@dataclass(frozen=True)
class Plan:
    """One history, before it happens. By default nothing goes wrong in it."""

    seed: int
    jobs: Sequence[JobKey]
    settings: Settings
    scenario: Scenario = field(default_factory=Scenario)

    scale_s: float = 1.0  #: about how long the run takes if all goes well
    latency_s: float = 0.01
    tail: float = 0.0  #: the share of calls with a latency from a heavy tail
    tail_max_s: float = 0.0
    late_max_s: float = 0.0
    stale_s: float = 0.0  #: how much further behind a look-up may be than the instances' lag
    hint_s: float = 1.0  #: what a Retry-After says
    secure: bool = False  #: connections are encrypted, so nobody knows how much of a request has left

    #: By group: blows, and their shares.
    odds: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    cursed: tuple[int, str] = (0, "")  #: a flow whose triggers all meet the same blow, and which
    twins: float = 0.0  #: the share of triggers that the network delivers twice
    spells: Sequence[Spell] = ()
    limits: Sequence[tuple[float, tuple[str, ...]]] = ()  #: when the gateway's limit changes, and to what
    #: When look-ups are allowed, forbidden, down ...
    lookups: Sequence[tuple[float, str]] = ((0.0, "allowed"),)
    falls: Sequence[tuple[float, float]] = ()  #: when the gateway crashes, and for how long it is away
    strangers: Sequence[tuple[float, JobKey]] = ()  #: when somebody else triggers one of our keys

    platter: bool = False  #: on a disk that forgets what was not synced, and fails when it is told to
    crashes: Sequence[Crash | None] = ()  #: by session
    breakages: Sequence[Breakage | None] = ()  #: as above
    stops: Sequence[Stopping | None] = ()  #: as above
    pauses_s: Sequence[float] = (1.0,)  #: how long the operator waits before resuming what stopped, in turn
    overrides: Sequence[Mapping[str, Any]] = ({},)  #: what the operator gives anew when resuming, in turn
    rerun: frozenset[State] = frozenset()  #: what the operator runs again when all has ended
    observed: bool = False
    deaf: int = 0  #: the observer raises when it hears of this many rows; 0 for never

    @property
    def is_sane(self) -> bool:
        """Whether the gateway gives instance IDs that can be understood."""
        return self.scenario.id_digits == 14

    def fate(self, n: int, group: str, now: float) -> Fate:
        """What becomes of the n-th call of the history, which leaves at `now`."""
        dice = Random((self.seed << 24) + n)
        latency_s = self.latency_s * (0.4 + dice.random() * 1.2)
        if dice.random() < self.tail:
            latency_s = min(latency_s * (1 - dice.random()) ** -1.2, self.tail_max_s)
        up, work = sorted((dice.random(), dice.random()))
        twin = group == "trigger" and dice.random() < self.twins
        return Fate(
            up_s=latency_s * up,
            work_s=latency_s * (work - up),
            down_s=latency_s * (1 - work),
            late_s=self.late_max_s * (0.1 + 0.9 * dice.random()),
            blow=self._blow(group, now, dice),
            twin_s=self.late_max_s * dice.random() if twin else None,
            cut=dice.random(),
            split=dice.random() if dice.random() < 0.1 else 0.0,
            closes=dice.random() < 0.02,
        )

    def dial(self, now: float, dice: Random) -> str:
        """How a connection fails that is asked for at `now`; empty if it does not."""
        for spell in self.spells:
            if spell.group == "dial" and spell.start_s <= now < spell.end_s and dice.random() < spell.share:
                return spell.what
        return ""

    def _blow(self, group: str, now: float, dice: Random) -> str:
        for spell in self.spells:
            if spell.start_s <= now < spell.end_s and dice.random() < spell.share:
                if spell.group in {group, "all"} and spell.what in BLOWS[group]:
                    return spell.what
                if spell.group in {"dial", "all"}:
                    return "reset before" if group == "trigger" else "reset"
        chance = dice.random()
        for name, share in self.odds.get(group, ()):
            if chance < share:
                return name
            chance -= share
        return ""
