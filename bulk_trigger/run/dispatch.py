"""What starts next, and when: from the lanes over the intents and the limiter to the calls.

Rule 1: one task decides about every call of the run. Only where there is nothing to decide, because nothing
        limits the sends but the in-flight cap, `go_on` lets the next ones go without waking it.
Rule 2: a send starts only when its intent is on disk (`committed`), the limiter grants it, and the in-flight
        cap has room. At most one cap of intents is ahead of the sends, never two of one lane.
Rule 3: calls that settle something (look-ups, their further pages) go before new sends: they free a lane.
Rule 4: of the calls that settle something, only a few start before they are on disk: that is what a killed
        session has to be charged for by the next one (P16).
Rule 5: an outage is pause, probe, go on (design decision 9): while the gateway does not answer the cheapest
        call, nothing else is sent; when it does, one row at a time goes out until one gets a good reply.
        Neither uses up attempts, so a pause fails no row.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf

from ..errors import IllegalMove
from ..health import Budget
from ..journal import CALLS_AHEAD
from ..lanes import Case, Lanes
from ..limiter import Limiter
from ..model import Intent, Reply, State
from ..ports import Clock, Gateway
from ..settings import Settings
from .bell import Bell
from .calls import Calls
from .outage import TRIAL_S, Outage
from .scribe import Scribe
from .tally import Tally, Wait

NEARLY = 0.8
_RESERVE = 8  #: the disk is asked for more when an eighth of the in-flight cap is left armed, and not before
_LEFT_IN_DOUBT = frozenset({State.SENDING, State.RECONCILING})  #: by an earlier process
LONGEST_EVERY_S = 0.25  #: finding the longest lane looks at all of them


class Dispatcher:
    """Decides what starts next. One task runs `run`."""

    def __init__(
        self,
        *,
        settings: Settings,
        lanes: Lanes,
        limiter: Limiter,
        gateway: Gateway,
        tally: Tally,
        clock: Clock,
        scribe: Scribe,
        calls: Calls,
        probed: Callable[[Reply], bool],
        prepared: Callable[[Reply], bool],
        nudge: Callable[[], None],
        recalled: Callable[[Case], None],
        stalled: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._limiter = limiter
        self._gateway = gateway
        self._tally = tally
        self._clock = clock
        self._probed = probed  #: did the gateway answer the probe?
        self._prepared = prepared  #: did the token service answer?
        self._nudge = nudge  #: looks whether the lanes want to be fed
        self._stalled = stalled  #: nothing at all is under way: can somebody help?
        self._recalled = recalled  #: takes a case that an earlier process left in doubt
        self._scribe = scribe
        self._calls = calls
        self.budget = Budget(clock.monotonic())
        self.bell = Bell()
        self.outage: Outage | None = None
        self._intended: dict[int, Case] = {}  # by row: intents on their way to the disk
        self._armed: deque[Case] = deque()  # intents on disk, waiting for their start; urgent ones in front
        self._urgent = 0  # how many of them are urgent
        self._doubts: list[tuple[float, int, Case]] = []  # (due, row, case): waiting for a look-up
        self._checks: deque[Case] = deque()  # with `--baseline`: to be looked up before their first send
        self._turns: deque[asyncio.Future[None]] = deque()  # calls of look-ups that want a slot
        self._trials = 0
        self._is_running = False
        self._longest_due = 0.0

    def __repr__(self) -> str:
        return f"<Dispatcher {len(self._armed)} armed, {len(self._doubts)} in doubt, {self._calls}>"

    # --- what look-ups and the judge call

    async def turn(self) -> None:
        """Wait until one more call may start, and start it: for look-ups."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        self.bell.ring()
        await turn

    def doubt(self, case: Case, due: float) -> None:
        """The case is to be looked up at `due`; its lane stays busy until then."""
        heappush(self._doubts, (due, case.job.row, case))
        self.bell.ring()

    def committed(self, intents: Sequence[Intent]) -> None:
        """These intents are on disk."""
        for intent in intents:
            case = self._intended.pop(intent.row)
            if case.urgent:
                self._armed.insert(self._urgent, case)
                self._urgent += 1
            else:
                self._armed.append(case)
        self.go_on()

    def go_on(self) -> None:
        """A call has ended, or intents are on disk: send what may be sent at once; wake the task for more."""
        if self._is_unhindered():
            self._send(self._sendable(0.0))
            cap = self._settings.in_flight
            if len(self._armed) * _RESERVE > cap > self._room() * _RESERVE:
                return
        self.bell.ring()

    def _is_unhindered(self) -> bool:
        """Whether nothing but the in-flight cap limits the sends, and nothing else wants to start."""
        return (
            self._is_running
            and not (self.outage or self._turns or self._doubts or self._checks)
            and self._limiter.is_open
            and self._gateway.ready
        )

    def suspend(self, why: str) -> None:
        """Begin an outage, or note that a trial of the current one did not help."""
        now = self._clock.monotonic()
        if self.outage is None:
            self.outage = Outage(why, now)
        else:
            self.outage.why = why
            self.outage.next_at = max(self.outage.next_at, now + TRIAL_S)
        self.bell.ring()

    def recovered(self) -> None:
        """A send got a good reply: whatever the outage was, it is over."""
        self.outage = None

    def trial_ended(self) -> None:
        """A row that was tried during an outage has its reply; the next one waits a little."""
        self._trials -= 1
        if self.outage:
            self.outage.next_at = self._clock.monotonic() + TRIAL_S
        self.bell.ring()

    def withdraw(self) -> list[Case]:
        """Give up everything that has an intent and was not sent; the caller records that if it still can."""
        cases = [*self._intended.values(), *self._armed]
        self._intended.clear()
        self._armed.clear()
        self._urgent = 0
        return cases

    # --- the one task

    async def run(self) -> None:
        """Start what may start, for ever."""
        self._is_running = True
        try:
            await self._run()
        finally:
            self._is_running = False

    async def _run(self) -> None:
        while True:
            if not self._gateway.ready:
                await self._prepare()
            elif self.outage and not self.outage.answering:
                await self._probe(self.outage)
            else:
                self._intend()
                startable = self._startable()
                if startable:
                    await self._start(startable)
                else:
                    await self._wait()

    async def _start(self, wanted: int) -> None:
        before = self._clock.monotonic()
        self._look_at_longest(before)
        paused = self._limiter.paused_for() > 0 or self._limiter.is_cut
        self._tally.waiting_for = Wait.PAUSE.value if paused else Wait.RATE.value
        granted = await self._limiter.admit(wanted)
        now = self._clock.monotonic()
        self._waited(Wait.PAUSE if paused else Wait.RATE, before, now)
        begun = self._call(granted) if self._gateway.ready else 0  # the wait may have outlasted the token
        self._limiter.give_back(granted - begun)

    def _call(self, granted: int) -> int:
        """Begin at most so many calls; returns how many. Look-ups first: they free a lane."""
        lookups = min(self._callable(), granted)
        for _ in range(lookups):
            turn = self._turns.popleft()
            if turn.done():  # its look-up was cancelled
                self._limiter.give_back(1)
            else:
                self._limiter.started()
                self._count_call()
                turn.set_result(None)
        sends = min(self._sendable(self._clock.monotonic()), granted - lookups)
        if sends > 0:
            self._send(sends)
            self._limiter.started(sends)
        return lookups + sends

    def _send(self, count: int) -> None:
        for _ in range(count):
            case = self._armed.popleft()
            if self.outage:
                case.trial = True
                self._trials += 1
            else:
                case.trial = False
            self._calls.send(case)
        self._urgent = max(self._urgent - count, 0)

    def _count_call(self) -> None:
        self._tally.lookups += 1
        self._scribe.count_call(int(self._clock.wall() * 1000))

    def _startable(self) -> int:
        """How many calls could start now, if the limiter allows it."""
        now = self._clock.monotonic()
        while self._doubts and self._doubts[0][0] <= now and self._calls.free > 0:
            self._calls.look_up(heappop(self._doubts)[2])
        while self._checks and self._calls.free > 0:
            self._calls.look_up(self._checks.popleft())
        return self._callable() + self._sendable(now)

    def _sendable(self, now: float) -> int:
        """How many of the armed cases may be sent now; during an outage, one row is tried at a time."""
        sends = min(len(self._armed), self._calls.free)
        if self.outage:
            sends = min(sends, 1) if not self._trials and now >= self.outage.next_at else 0
        return sends

    def _callable(self) -> int:
        """How many of the waiting look-ups may start before more of the started ones are on disk."""
        if not self._turns:
            return 0
        room = max(CALLS_AHEAD - self._scribe.unwritten_calls, 0)
        if len(self._turns) > room:
            self._scribe.hurry()
        return min(len(self._turns), room)

    def _intend(self) -> None:
        """Write intents ahead, for at most one in-flight cap of sends; part of it is kept for urgent ones."""
        room = self._room()
        now = self._clock.monotonic()
        critical_rows = self._critical_rows()
        kept, urgent = self._settings.in_flight // 4, False
        at_ms = int(self._clock.wall() * 1000)
        while room > 0 and (case := self._lanes.take(now, critical_rows, critical_only=room <= kept)):
            if case.state in _LEFT_IN_DOUBT:
                self._recalled(case)
                continue
            if self._settings.baseline and not (case.checked or case.attempts):
                self._checks.append(case)
                room -= 1
                continue
            if case.charged and (wait := self.budget.spend(now)):
                self._lanes.wait(case, now + wait)
                continue
            before = case.state
            case.move(State.SENDING)
            case.attempts += 1
            self._tally.moved(before, State.SENDING)
            self._intended[case.job.row] = case
            self._scribe.intend(Intent(case.job.row, case.attempts, at_ms))
            room -= 1
            urgent |= case.urgent
        few = len(self._armed) * _RESERVE <= self._settings.in_flight
        if urgent or (few and self._scribe.has_intents):
            self._scribe.hurry()
        self._nudge()

    def _room(self) -> int:
        return self._settings.in_flight - len(self._armed) - len(self._intended) - len(self._checks)

    def _critical_rows(self) -> float:
        """How many rows a lane must have left to decide the end of the run (design decision 16).

        A lane needs a latency and, on the average, a slot for each of its rows. One that is nearly as long as
        what is left counts already: where many are, they need more than a slot each at the end.
        """
        latency_s, cap = self._tally.latency_s, self._settings.in_flight
        rate = min(self._limiter.per_second(self._clock.monotonic()), cap / latency_s)
        return max(NEARLY * self._tally.left / rate / (latency_s + 1 / rate), 2.0)

    async def _wait(self) -> None:
        """Nothing can start: wait for a change, and remember what for."""
        before = self._clock.monotonic()
        waits = self._what_for()
        if not waits and self._stalled():
            return
        self._look_at_longest(before)
        self._tally.waiting_for = self._in_words(max(waits, key=lambda wait: waits[wait])) if waits else ""
        await self.bell.wait(self._next_due() - before)
        spent, shares = self._clock.monotonic() - before, sum(waits.values())
        for wait, share in waits.items():
            self._tally.waited(wait, spent * share / shares)

    def _next_due(self) -> float:
        """When something that only waits for its time could start; everything else rings the bell."""
        due = (self._lanes.next_due() or inf) if self._room() > 0 else inf
        free = self._calls.free > 0
        if free and self._doubts:
            due = min(due, self._doubts[0][0])
        if free and self._armed and self.outage and not self._trials:
            due = min(due, self.outage.next_at)
        return due

    def _what_for(self) -> dict[Wait, int]:
        """What the lanes that have rows wait for, and how many of them for each."""
        if self.outage and (self._armed or self._trials or not self.outage.answering):
            return {Wait.OUTAGE: 1}
        if self._armed:
            return {Wait.IN_FLIGHT: 1}
        waits = {
            Wait.ORDER: self._tally.in_flight,
            Wait.JOURNAL: len(self._intended),
            Wait.BACKOFF: self._lanes.waiting,
            Wait.DOUBT: len(self._doubts) + len(self._checks) + self._tally.lookups_under_way,
        }
        return {wait: lanes for wait, lanes in waits.items() if lanes}

    def _look_at_longest(self, now: float) -> None:
        if now >= self._longest_due:
            self._longest_due = now + LONGEST_EVERY_S
            self._tally.longest = self._lanes.longest()

    def _in_words(self, wait: Wait) -> str:
        match wait:
            case Wait.OUTAGE if self.outage:
                return self.outage.why
            case Wait.ORDER if self._tally.longest:
                return f"the order of flow {self._tally.longest[0]}"
            case Wait.DOUBT:
                return f"look-ups of {len(self._doubts) + self._tally.lookups_under_way} rows in doubt"
            case Wait.BACKOFF:
                return f"{self._lanes.waiting} retries that are not due yet"
            case _:
                return f"the {wait}"

    def _waited(self, wait: Wait, before: float, now: float) -> None:
        self._tally.waited(wait, now - before)

    # --- calls that the dispatcher makes itself

    async def _prepare(self) -> None:
        before = self._clock.monotonic()
        if self.outage and self.outage.next_at > before:
            await self._sit_out(self.outage)
            return
        self._tally.waiting_for = "the access token"
        await self._slot()
        reply = await self._gateway.prepare()
        now = self._clock.monotonic()
        if not self._prepared(reply) and not self._gateway.ready:
            if self.outage is None:
                self.outage = Outage(f"no access token ({reply.code or reply.status or reply.fault})", now)
            self.outage.probe_failed(now)
        self._waited(Wait.TOKEN, before, now)

    async def _probe(self, outage: Outage) -> None:
        if outage.next_at > self._clock.monotonic():
            await self._sit_out(outage)
            return
        await self._slot()
        reply = await self._gateway.current_time()
        now = self._clock.monotonic()
        if self._probed(reply):
            outage.answering = True
            outage.next_at = now
        else:
            outage.probe_failed(now)

    async def _sit_out(self, outage: Outage) -> None:
        now = self._clock.monotonic()
        self._tally.waiting_for = outage.why
        await self.bell.wait(outage.next_at - now)
        self._waited(Wait.OUTAGE, now, self._clock.monotonic())

    async def _slot(self) -> None:
        while self._scribe.unwritten_calls >= CALLS_AHEAD:
            await self._scribe.flushed()
        granted = await self._limiter.admit(1)
        if granted != 1:
            raise IllegalMove("the limiter granted more than it was asked for")
        self._limiter.started()
        self._count_call()
