"""From a seed to a plan: which of all the things that can happen do happen in this history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
import errno
from random import Random
from typing import Any

from blows import BLOWS
import msgspec
from plans import (
    DAY_MS,
    DIALS,
    FIRST_MS,
    HOUR_MS,
    MINUTE_MS,
    TARGET,
    Breakage,
    Crash,
    JobKey,
    Plan,
    Spell,
    Stopping,
)

from bulk_trigger.model import State
from bulk_trigger.quantities import Rate
from bulk_trigger.sandbox import Scenario
from bulk_trigger.sandbox import scenario as parts
from bulk_trigger.settings import (
    Duplicates,
    Durability,
    Limit,
    On62109,
    OnFailure,
    OnUnknown,
    Order,
    Settings,
)

SESSIONS = 12  #: for which something is drawn
#: Flows whose IDs are parts of one another: look-ups are fuzzy.
FLOWS = (
    337,
    3377,
    33770,
    13377,
    3378,
    7,
    77,
    777,
    4001,
    4002,
    4003,
    4004,
    4005,
    5000001,
    9007199254740993,
    42,
)
CURSES = (
    "62109 before",
    "62109 after",
    "69999 before",
    "silence before",
    "504 after",
    "404",
    "62104",
    "1001",
    "id of another day",
)
STORMS = ("62109 before", "1001", "425")
NO_LOOKUPS = ("forbidden", "forbidden-99403", "403", "404", "501", "down")


def draw(seed: int) -> Plan:
    """Everything that follows from a seed."""
    return _Draw(seed).plan()


class _Draw:
    """Draws the parts of a plan, in a fixed order."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = Random(seed)
        self.calm = self.chance(0.12)  #: nothing goes wrong but crashes
        self.storm = not self.calm and self.chance(0.06)  #: most triggers of many flows are refused
        self.platter = self.chance(0.12)

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def among(self, *values: Any) -> Any:
        return self.dice.choice(values)

    def between(self, low: float, high: float) -> float:
        """Evenly on a logarithmic scale: short and long times alike."""
        return float(low * (high / low) ** self.dice.random())

    # --- the input

    def jobs(self) -> list[JobKey]:
        dice = self.dice
        rows = self.dice.randrange(40, 65) if self.storm else int(self.between(1, 64))
        flows = dice.sample(FLOWS, min(len(FLOWS), max(1, int(self.between(1, max(rows, 2))))))
        if self.storm or self.chance(0.1):
            flows += range(6000, 6000 + rows)
        giant = flows[0] if self.chance(0.3) and not self.storm else None
        step_ms = self.among(MINUTE_MS, HOUR_MS, HOUR_MS, DAY_MS)
        next_ms = dict.fromkeys(flows, FIRST_MS)
        jobs = []
        for _ in range(rows):
            flow = giant if giant is not None and self.chance(0.5) else dice.choice(flows)
            jobs.append((flow, next_ms[flow] + dice.randrange(15_000)))
            next_ms[flow] += step_ms
        if self.chance(0.1):
            dice.shuffle(jobs)
        return jobs

    def with_duplicates(self, jobs: list[JobKey]) -> list[JobKey]:
        """Some rows again: the same key, or another second of the same minute."""
        some = self.dice.choices(jobs, k=len(jobs) // 4 + 1)
        more = [(flow, time + self.among(0, 1, 30_000)) for flow, time in some]
        return self.dice.sample([*jobs, *more], len(jobs) + len(more))

    def with_bad_rows(self, jobs: list[JobKey]) -> list[JobKey]:
        bad = [(self.among(0, -5), FIRST_MS), (3377, 5)]
        for row in bad[: self.among(1, 2)]:
            jobs.insert(self.dice.randrange(len(jobs) + 1), row)
        return jobs

    # --- the settings

    def rates(self) -> tuple[Rate, ...]:
        if self.storm or self.chance(0.35):
            return ()
        shortest = Rate(self.among(1, 2, 3, 5, 10, 20, 50), self.among(1.0, 1.0, 1.0, 0.5))
        rates = [shortest]
        if self.chance(0.3):
            rates.append(Rate(max(1, int(shortest.per_second * self.among(3, 6, 9))), 10.0))
        if self.chance(0.15):
            rates.append(Rate(max(2, int(shortest.per_second * 30)), 60.0))
        return tuple(rates)

    def settings(self, **changes: Any) -> Settings:
        facts: dict[str, Any] = {
            **TARGET,
            "api": self.among("v2.0", "v2.1"),
            "rates": self.rates(),
            "in_flight": self.among(4, 8) if self.storm else self.among(1, 2, 3, 4, 8, 8, 16, 32),
            "order": self.among(Order.INPUT, Order.INPUT, Order.TIME),
            "retries": self.among(3, 5) if self.storm else self.among(0, 1, 3, 5, 5, 5),
            "on_62109": self.among(*[On62109.RECONCILE] * 8, On62109.RETRY, On62109.FAIL),
            "on_unknown": self.among(*[OnUnknown.STOP_FLOW] * 3, OnUnknown.CONTINUE),
            "on_failure": self.among(*[OnFailure.CONTINUE] * 6, OnFailure.STOP_FLOW, OnFailure.ABORT),
            "max_failures": self.among(*[None] * 8, Limit(1), Limit(10, percent=True)),
            "timeout_s": self.between(1, 30),
            "connect_timeout_s": self.between(1, 10),
            "drain_s": self.among(0.0, 1.0, 8.0),
            "reconcile_wait_s": self.among(4.0, 10.0, 30.0, 75.0, 75.0),
            "patience_s": self.between(20, 900),
            "durability": self.among(Durability.POWER, Durability.POWER, Durability.PROCESS),
            "baseline": self.chance(0.1),
        }
        return Settings(**{**facts, **changes})

    # --- the gateway

    def scenario(self, jobs: Sequence[JobKey], lag_s: float) -> Scenario:
        flows = sorted({flow for flow, _ in jobs if flow > 0})
        odd = self.dice.sample(flows, min(len(flows), 1)) if self.chance(0.15) else []
        refusal = self.among("missing", "foreign", "locked", "no_task", "no_task")
        return Scenario(
            token_lifetime_s=self.among(7200.0, 7200.0, 7200.0, self.between(5, 600)),
            expired_token=self.among("1203", "401"),
            clock_offset_s=self.dice.uniform(-60, 60) if self.chance(0.1) else 0.0,
            rate_limit=(f"{self.among(2, 10, 40)}/s",) if self.chance(0.15) else (),
            rate_kind=self.among("sliding", "fixed", "bucket"),
            limit_tokens=self.chance(0.3),
            retry_after_s=self.among(None, 1, 5),
            timezone=self.among("GMT+8", "GMT+0", "GMT-5"),
            start_timezone=self.among("GMT+0", "GMT+0", "GMT+8"),
            id_timezone=self.among(*["GMT+0"] * 9, "GMT+8"),
            id_digits=14 if self.chance(0.985) else self.among(12, 10),
            same_minute=self.among(*["second-instance"] * 7, "return-existing", "62109", "62102"),
            visible_after_s=lag_s,
            missing_instance=self.among("null-data", "62102", "99404", "404"),
            get_as_list=self.chance(0.3),
            instance_type=self.among(0, 1, 2),
            page_base=self.among(None, 0, 1),
            page_zero=self.among("error", "same"),
            page_fault=self.among(*["none"] * 5, "repeat", "shuffle"),
            max_page_size=self.among(100, 100, 100, 1, 2),
            count=self.among("total", "page"),
            flows=msgspec.structs.replace(parts.Flows(), **{refusal: tuple(odd)}),
            instances=self.instances(jobs),
            durations=parts.Durations(median_s=self.between(0.1, 30)),
        )

    def instances(self, jobs: Sequence[JobKey]) -> tuple[parts.Instance, ...]:
        """Some that were there before."""
        if not self.chance(0.12):
            return ()
        keys = self.dice.sample(list(jobs), min(len(jobs), self.among(1, 2, 5)))
        return tuple(parts.Instance(flow=flow, trigger_time=time) for flow, time in keys if flow > 0)

    def lookups(self, scale_s: float) -> tuple[tuple[float, str], ...]:
        """When look-ups are what; mostly they are allowed all the time."""
        if not self.chance(0.2):
            return ((0.0, "allowed"),)
        if self.chance(0.5):
            return ((0.0, self.dice.choice(NO_LOOKUPS)),)
        at = sorted(self.dice.uniform(0, 2 * scale_s) for _ in range(self.among(1, 2)))
        return ((0.0, "allowed"), *((s, self.among("allowed", *NO_LOOKUPS)) for s in at))

    def limits(self, scale_s: float, scenario: Scenario) -> tuple[tuple[float, tuple[str, ...]], ...]:
        """Tenfold down, and up again."""
        if not scenario.rate_limit or not self.chance(0.6):
            return ()
        down_s = self.dice.uniform(0, scale_s)
        return ((down_s, ("1/s",)), (down_s + self.between(5, 120), ("100/s",)))

    # --- what goes wrong

    def odds(self) -> dict[str, tuple[tuple[str, float], ...]]:
        if self.calm:
            return {}
        if self.storm:
            return {"trigger": ((self.among(*STORMS), self.dice.uniform(0.6, 0.9)),)}
        most = {
            "trigger": self.among(0, 1, 2, 3, 5, 9),
            "lookup": self.among(0, 0, 1, 2, 4),
            "token": self.among(0, 0, 0, 1, 2),
        }
        found = {}
        for group, count in most.items():
            names = self.dice.sample(sorted(BLOWS[group]), count)
            if group == "trigger" and self.chance(0.4):  # what the mission is about
                names += self.dice.sample(["62109 before", "62109 after"], self.among(1, 2))
            strength = self.among(0.3, 1.0, 1.0, 3.0) / max(len(names), 1) ** 0.5
            found[group] = tuple((name, strength * self.share(name)) for name in dict.fromkeys(names))
        return found

    def share(self, name: str) -> float:
        """How many of the calls: fewer of what stops a run or a flow."""
        if name in {"403", "62101", "1003", "62104"}:
            return self.between(0.005, 0.03)
        if "Retry-After" in name:
            return self.between(0.01, 0.05)
        if "id" in name.split():
            return self.between(0.02, 0.1)
        return self.between(0.03, 0.3)

    def spells(self, scale_s: float, patience_s: float) -> tuple[Spell, ...]:
        if self.calm or self.storm:
            return ()
        return tuple(self.spell(scale_s, patience_s) for _ in range(self.among(0, 0, 0, 1, 1, 2)))

    def spell(self, scale_s: float, patience_s: float) -> Spell:
        start_s = scale_s * self.dice.uniform(-0.2, 1.2)
        around_patience_s = patience_s * self.dice.uniform(0.5, 1.5)
        lasts_s = self.among(self.between(0.1, 10), self.between(10, 300), around_patience_s, 7200.0)
        group = self.among("trigger", "trigger", "lookup", "lookup", "token", "all", "dial", "dial", "dial")
        if group == "dial":
            what = self.dice.choice(DIALS[: 5 if self.chance(0.9) else 6])
        else:
            what = self.dice.choice(sorted(BLOWS["lookup" if group == "all" else group]))
        return Spell(start_s, start_s + lasts_s, what, group, self.among(1.0, 1.0, 0.7))

    def times(self, scale_s: float, *counts: int) -> list[float]:
        """Some moments of the history; how many is drawn from `counts`."""
        return [scale_s * self.dice.uniform(0, 1.2) for _ in range(0 if self.calm else self.among(*counts))]

    # --- who dies, and what people do

    def crashes(self, rows: int) -> tuple[Crash | None, ...]:
        count = self.among(0, 0, 0, 0, 1, 1, 1, 2, 3, 6)
        return tuple(self.crash(rows) if self.chance(0.85) else None for _ in range(count))

    def crash(self, rows: int) -> Crash:
        steps, loss = ["turn", "turn", "turn", "statement", "send", "sent", "lookup", "heard", "end"], "none"
        if self.platter:
            steps = [*steps[3:], "sync", "sync", "write", "write", "rename", "delete"]
            loss = self.among("none", "all", "some", "torn")
        step = self.among(*steps)
        most = {"turn": 60, "statement": 8, "write": 6, "sync": 2}.get(step, 1) * rows + 10
        n = self.among(int(self.between(1, 12)), int(self.between(1, most)), self.dice.randrange(1, most))
        if step == "end":
            n = self.dice.randrange(1, 40)
        down_s = self.among(0.001, self.between(0.001, 1), self.between(1, 60), self.between(60, 36_000))
        return Crash(step, n, down_s, loss)

    def breakage(self, rows: int) -> Breakage | None:
        if not (self.platter and self.chance(0.3)):
            return None
        kind = self.among("write", "write", "sync", "sync", "create", "rename")
        n = int(self.between(1, 4 * rows + 4)) if kind in {"write", "sync"} else self.among(1, 2, 3)
        return Breakage(kind, n, self.among(errno.EIO, errno.ENOSPC), self.chance(0.3))

    def stopping(self, rows: int) -> Stopping | None:
        if not self.chance(0.12):
            return None
        step = self.among("turn", "send", "heard", "lookup")
        n = self.dice.randrange(1, {"turn": 60}.get(step, 1) * rows + 5)
        return Stopping(step, n, self.among("drain", "drain", "leave", "cancel"))

    def override(self) -> dict[str, Any]:
        if not self.chance(0.2):
            return {}
        return dict(
            self.among(
                {"rates": self.rates()},
                {"in_flight": self.among(1, 4, 16)},
                {"patience_s": self.between(20, 900)},
                {"timeout_s": self.between(1, 30)},
            )
        )

    # --- all of it

    def plan(self) -> Plan:
        duplicates = self.among(*[Duplicates.REFUSE] * 8, Duplicates.SKIP, Duplicates.SEND)
        if self.platter:  # whose stand-in for a connection cannot import them
            duplicates = Duplicates.REFUSE
        jobs = self.jobs()
        if duplicates is not Duplicates.REFUSE:
            jobs = self.with_duplicates(jobs)
        skip_invalid = self.chance(0.08)
        if skip_invalid:
            jobs = self.with_bad_rows(jobs)
        settings = self.settings(duplicates=duplicates, skip_invalid=skip_invalid)
        quarantine_s = settings.reconcile_wait_s
        lag_s = self.among(0.0, 0.0, self.between(0.01, 1.2), *[self.dice.uniform(0, 0.3) * quarantine_s] * 3)
        most_stale_s = min(max(lag_s, 0.5), 0.1 * quarantine_s) if lag_s and self.chance(0.5) else 0.0
        latency_s = self.between(0.001, 0.3)
        rate = min((each.per_second for each in settings.rates), default=1e9)
        longest = Counter(flow for flow, _ in jobs).most_common(1)[0][1]
        scale_s = max(longest * latency_s, len(jobs) * latency_s / settings.in_flight, len(jobs) / rate, 0.05)
        scenario = self.scenario(jobs, lag_s)
        states = (State.FAILED, State.SKIPPED, State.UNKNOWN)
        cursed = not (self.calm or self.storm) and self.chance(0.12)
        return Plan(
            seed=self.seed,
            jobs=jobs,
            settings=settings,
            scenario=scenario,
            scale_s=scale_s,
            latency_s=latency_s,
            tail=0.0 if self.calm else self.among(0.0, 0.0, 0.05, 0.3),
            tail_max_s=self.dice.uniform(0.05, 0.4) * quarantine_s,
            late_max_s=self.dice.uniform(0.02, 0.4) * quarantine_s,
            stale_s=self.dice.uniform(0, most_stale_s),
            hint_s=self.among(1.0, 1.0, 2.0, 2.0, 30.0, 120.0, 3600.0),
            secure=self.chance(0.5),
            odds=self.odds(),
            cursed=(self.dice.choice(jobs)[0], self.among(*CURSES)) if cursed else (0, ""),
            twins=0.0 if self.calm else self.among(*[0.0] * 5, 0.1),
            spells=self.spells(scale_s, settings.patience_s),
            limits=self.limits(scale_s, scenario),
            lookups=self.lookups(scale_s),
            falls=[(at, self.between(0.01, 30)) for at in self.times(scale_s, 0, 0, 0, 0, 0, 1, 2)],
            strangers=[(at, self.dice.choice(jobs)) for at in self.times(scale_s, 0, 0, 0, 0, 0, 0, 1, 3)],
            platter=self.platter,
            crashes=self.crashes(len(jobs)),
            breakages=[self.breakage(len(jobs)) for _ in range(3)],
            stops=[self.stopping(len(jobs)) for _ in range(SESSIONS)],
            pauses_s=[
                self.among(1.0, self.between(1, 600), self.between(600, 36_000)) for _ in range(SESSIONS)
            ],
            overrides=[self.override() for _ in range(SESSIONS)],
            rerun=frozenset(self.dice.sample(states, self.among(1, 2, 3)))
            if self.chance(0.25)
            else frozenset(),
            observed=self.chance(0.3),
            deaf=self.dice.randrange(1, len(jobs) + 1) if self.chance(0.03) else 0,
        )
