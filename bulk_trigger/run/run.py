"""A run: the only place that knows all the stages, and the only one that opens a task group.

  jobs ─► reader ─► journal ─► lanes ─► [intent] ─► limiter ─► gateway ─► verdicts ─► retry ─► [outcome] ─►
                                 ▲                                                      │            results
                                 └───────────── waiting / reconciling, through here ────┘

One task dispatches, one feeds the lanes, one tells how it goes; replies come as callbacks.
The first reason to stop ends the sending: unsent intents are recorded as such, what is in flight may still
answer for `--drain` seconds, and what has not answered then is settled by `resume`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

import anyio
from anyio.abc import TaskGroup

from ..errors import BulkTriggerError, JournalError
from ..files import write_progress
from ..health import Patience
from ..journal import ENDED, Journal
from ..lanes import Case, Lanes
from ..limiter import Limiter
from ..model import ENDINGS, Intent, Job, Reply, Scope, State, Step
from ..ports import Clock, Gateway, Observer, SystemClock
from ..quantities import format_duration
from ..reconcile import Lookups
from ..retry import STOPPED_BEHIND
from ..settings import Settings
from ..verdicts import judge_probe, judge_token
from .alarm import Alarm
from .calls import Calls
from .collector import rarely_collecting
from .dispatch import Dispatcher
from .doubts import Doubts
from .feed import Feed
from .herald import Herald
from .judge import Judge
from .moves import Moves, Stop
from .outputs import Ending, exit_code_of, write_outputs
from .recall import CLOCKS, Recall, clocks_of, earlier_calls, goes_on_after_unknown, halting_states
from .scribe import Scribe
from .tally import Tally

PROOF_REFUSED = "1003"  #: the token service's word for a secret or a timestamp that it does not accept
SAME_CLOCK_S = 60.0  #: two measurements that differ by less are of one clock
TICK_S = 1.0
STILL_S = 3.0  #: a tick that is so late is told


class Shared(TypedDict):
    """What most parts of a run work on."""

    settings: Settings
    lanes: Lanes
    tally: Tally
    clock: Clock


NO_JOB = Job(0, 0, 0)  #: for calls that concern none


class Run:
    """One execution of one job list, in its run directory. The journal must be open; `execute` closes it."""

    def __init__(
        self,
        directory: Path,
        journal: Journal,
        settings: Settings,
        gateway: Gateway,
        *,
        outputs: Sequence[Path] = (),
        observer: Observer | None = None,
        notice: Callable[[str], None] = lambda _: None,
        clock: Clock | None = None,
        threaded: bool = True,
    ) -> None:
        self.directory = directory
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._journal = journal
        self._gateway = gateway
        self._outputs = outputs
        self._observer = observer
        self._herald: Herald | None = None
        self._notice = notice
        self._threaded = threaded
        self._clocks = clocks_of(journal)
        self._recall = Recall(journal.unfinished(), tuple(self._clocks))
        self.tally = Tally(
            journal.header.rows, journal.counts(), journal.benign_skips(), self.clock.monotonic()
        )
        self.limiter = Limiter(settings.rates, self.clock)
        self.lanes = Lanes(self._recall.case)
        self._stop: Stop | None = None
        self._over = anyio.Event()
        self._leave = anyio.Event()
        self._alarm = Alarm()

    # --- what the caller does

    def stop(self, stop: Stop) -> None:
        """Stop sending and drain; the first reason counts."""
        if self._stop is None:
            self._stop = stop
            self._over.set()

    def leave(self) -> None:
        """Stop, and do not wait for what is in flight."""
        self._leave.set()
        self.stop(Stop(7, "left"))

    @property
    def is_draining(self) -> bool:
        """Whether the run is ending before every row has."""
        return self._stop is not None

    async def execute(self) -> Ending:
        """Trigger everything that is left to do; returns when every row has ended, or the run has stopped.

        Raises only what is no `BulkTriggerError`: a bug of ours, or the caller's cancellation. What is known
        is recorded before.
        """
        self._scribe = Scribe(self._journal, self._committed, threaded=self._threaded)
        self._wire()
        self._remember()
        if not self.tally.left:
            self._over.set()
        with self._alarm, rarely_collecting():
            try:
                try:
                    await self._work_through()
                except* BulkTriggerError as group:
                    self.stop(_as_stop(group))
            except BaseException:
                await self._finish()  # what is known is still recorded
                raise
            ending = await self._finish()
        self._alarm.check()
        return ending

    def _remember(self) -> None:
        """Take from earlier sessions what still counts: their calls (P16), and how instance IDs look."""
        now_s, rates = self.clock.wall(), self.settings.rates
        longest_s = max((rate.per_s for rate in rates), default=0.0)
        self.limiter.remember(earlier_calls(self._journal, now_s, longest_s))
        if success := self._journal.first_success():
            job, instance_id, _ = success
            self._lookups.calibration.learn_id(job, instance_id)

    # --- the tasks

    def _wire(self) -> None:
        settings, lanes, tally, clock = self.settings, self.lanes, self.tally, self.clock
        shared: Shared = {"settings": settings, "lanes": lanes, "tally": tally, "clock": clock}
        self._lookups = Lookups(self._gateway, clock, self._turn, self._overhear)
        self._calls = Calls(
            settings=settings,
            gateway=self._gateway,
            scribe=self._scribe,
            calibration=self._lookups.calibration,
            tally=tally,
            clock=clock,
            replied=self._replied,
            look_up=self._look_up,
            start=self._start,
            freed=self._freed,
        )
        self.dispatcher = Dispatcher(
            **shared,
            limiter=self.limiter,
            gateway=self._gateway,
            scribe=self._scribe,
            calls=self._calls,
            probed=self._probed,
            prepared=self._prepared,
            nudge=self._nudge,
            stalled=self._stalled,
            recalled=self._recalled,
        )
        tainted = self._journal.flows_with(State.UNKNOWN) if goes_on_after_unknown(settings) else set()
        bell, low = self.dispatcher.bell, 2 * settings.in_flight
        self._feed = Feed(self._journal, self._scribe, lanes, low=low, tainted=tainted, fed=bell)
        patience = Patience(settings.patience_s)
        moves = self._moves = Moves(**shared, scribe=self._scribe, stop=self.stop, stop_flow=self._stop_flow)
        self._doubts = Doubts(
            **shared,
            dispatcher=self.dispatcher,
            lookups=self._lookups,
            moves=moves,
            patience=patience,
            stop=self.stop,
            notice=self._notice,
        )
        self._judge = Judge(
            **shared,
            limiter=self.limiter,
            gateway=self._gateway,
            dispatcher=self.dispatcher,
            lookups=self._lookups,
            moves=moves,
            doubts=self._doubts,
            patience=patience,
            stop=self.stop,
            other_clock=self._other_clock,
        )
        if self._observer:
            self._herald = Herald(self._journal, self._scribe, self._observer, self._observer_failed)

    async def _work_through(self) -> None:
        try:
            await self._work()
        finally:
            self._calls.hang_up()

    async def _work(self) -> None:
        async with anyio.create_task_group() as tasks:
            self._tasks: TaskGroup = tasks
            if self._herald:
                tasks.start_soon(self._herald.run)
            tasks.start_soon(self._tell)
            tasks.start_soon(self._alarm.ring)
            await self._stop_halted_flows()
            async with anyio.create_task_group() as senders:
                senders.start_soon(self._feed.run)
                senders.start_soon(self.dispatcher.run)
                await self._over.wait()
                senders.cancel_scope.cancel()
            await self._drain()
            tasks.cancel_scope.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.start_soon(lambda: work)

    def _freed(self) -> None:
        self.dispatcher.bell.ring()

    def _replied(self, case: Case, reply: Reply) -> None:
        self._judge.reply(case, reply)
        if case.state is State.SUCCEEDED and not self._lookups.calibrating:
            self._calibrate(case)
        self._look_whether_over()
        if not self._stop:
            self.dispatcher.go_on()

    async def _look_up(self, case: Case) -> None:
        began, sent_ms = self.clock.monotonic(), case.first_sent_ms
        reading = await self._lookups.read(case.job, sent_ms / 1000 if sent_ms else None)
        self._doubts.reading(case, reading, began)
        self._look_whether_over()

    def _calibrate(self, case: Case) -> None:
        """Learn from the first success how look-ups behave; the run does not wait for it."""
        calibration = self._lookups.calibration
        self._lookups.calibrating = True
        self._tasks.start_soon(
            self._lookups.calibrate,
            case.job,
            calibration.instance_id(case.job),
            (case.sent_ms or 0) / 1000 + calibration.clock_ahead_s,
            self.clock.monotonic(),
        )

    def _look_whether_over(self) -> None:
        tally = self.tally
        if (held := self._judge.held) and held == tally.left and not self._stop:
            self._judge.release_held(self.clock.monotonic())
        if tally.ended == tally.rows:
            self._over.set()

    async def _tell(self) -> None:
        """Let other processes see how it goes, about once a second, and say when that was not possible."""
        now = self.clock.monotonic()
        while True:
            before, now = now, self.clock.monotonic()
            if (still_s := now - before - TICK_S) >= STILL_S:
                self._notice(
                    f"this process stood still for {still_s:.0f} s (stopped, without a processor, or its "
                    "event loop was blocked); replies of that time may count as lost, and are looked up"
                )
            with suppress(OSError):  # the view is no reason to stop; the journal notices a broken disk itself
                facts = self.tally.snapshot(self.clock.monotonic())
                write_progress(self.directory / "progress.json", facts)
            await anyio.sleep(TICK_S)

    # --- what the stages report

    def _committed(self, intents: Sequence[Intent], steps: Sequence[Step]) -> None:
        if self._scribe.broken:
            self.dispatcher.withdraw()
            self.stop(Stop(JournalError.exit_code, str(self._scribe.broken)))
            return
        self.dispatcher.committed(intents)
        if self._herald:
            self._herald.tell(step for step in steps if step.state in ENDINGS)

    async def _turn(self) -> None:
        await self.dispatcher.turn()

    def _nudge(self) -> None:
        self._feed.nudge()

    def _overhear(self, job: Job, reply: Reply) -> None:
        self._judge.overhear(job, reply)

    def _recalled(self, case: Case) -> None:
        self._doubts.recall(case)
        self._look_whether_over()

    def _stalled(self) -> bool:
        """Nothing is under way or about to be: believe the refusals, if that is what the lanes wait for."""
        if self._stop or not (self._feed.is_idle and self._judge.held):
            return False
        self._judge.release_held(self.clock.monotonic())
        self._look_whether_over()
        return True

    def _observer_failed(self, error: Exception) -> None:
        self.stop(Stop(7, f"the observer failed: {error!r}"))

    def _probed(self, reply: Reply) -> bool:
        answered = judge_probe(reply)
        self._judge.overhear(NO_JOB, reply)
        if not answered:
            self._judge.silence(reply)
        return answered

    def _prepared(self, reply: Reply) -> bool:
        verdict = judge_token(reply)
        if verdict.good:
            return True
        another_clock = self._judge.sees_other_clock(reply)  # then the next request may be accepted
        self._judge.overhear(NO_JOB, reply)
        if verdict.scope is Scope.EVERYONE and not self._gateway.ready and not another_clock:
            hint = " (a wrong secret, or a wrong clock)" if verdict.code == PROOF_REFUSED else ""
            self.stop(Stop(4, f"no access token: {verdict.code} {verdict.message}".strip() + hint))
        self._judge.silence(reply)
        return False

    def _other_clock(self, ahead_s: float) -> None:
        side = "behind" if ahead_s > 0 else "ahead of"
        self._notice(
            f"this machine's clock is {format_duration(abs(ahead_s))} {side} the gateway's, which is "
            "used to sign; times in the results are this machine's"
        )
        if not self._clocks and self.tally.sends:
            self._clocks.append(0.0)
        if not self._clocks or abs(self._clocks[-1] - ahead_s) > SAME_CLOCK_S:
            self._clocks.append(ahead_s)
            self._tasks.start_soon(self._scribe.ask, self._journal.note, CLOCKS, list(self._clocks))

    def _stop_flow(self, job: Job, reason: str) -> None:
        self._tasks.start_soon(self._skip_rest, job, reason)

    async def _skip_rest(self, job: Job, reason: str) -> None:
        at_ms = int(self.clock.wall() * 1000)
        for step in self._recall.never_looked_up(job.flow_id, at_ms):
            self._scribe.record(step)
            self.tally.moved(State.RECONCILING, step.state)
        await self._scribe.flushed()
        skipped = await self._scribe.ask(self._journal.skip_rest, job, at_ms, "flow-stopped", reason)
        self.tally.moved(State.PENDING, State.SKIPPED, skipped)
        self._look_whether_over()

    async def _stop_halted_flows(self) -> None:
        """Finish what a crash interrupted: flows whose stop was recorded, but not the end of their rows."""
        for halt in await self._scribe.ask(self._journal.halted_flows, halting_states(self.settings)):
            await self._skip_rest(halt.job, STOPPED_BEHIND.get(halt.state, halt.message))

    # --- the end

    async def _drain(self) -> None:
        """Record what was not sent, and let what is in flight answer."""
        await self._withdraw()
        with anyio.move_on_after(self.settings.drain_s):
            while self.tally.in_flight and not self._leave.is_set():  # noqa: ASYNC110 - two reasons to go on
                await anyio.sleep(0.02)

    async def _withdraw(self) -> None:
        """Record what has an intent and was not sent. If that fails, `resume` will look it up."""
        with suppress(JournalError):
            await self._scribe.flushed()
            for case in self.dispatcher.withdraw():
                self._moves.withdraw(case)

    async def _finish(self) -> Ending:
        """Write what there is to write, and close the journal. No cancellation reaches this."""
        with anyio.CancelScope(shield=True):
            try:
                ending = await self._close()
            finally:
                with suppress(JournalError):
                    await self._scribe.aclose()
                await self._gateway.aclose()
        return ending

    async def _close(self) -> Ending:
        await self._withdraw()  # after a cancellation; a drain has done it already
        with suppress(JournalError):
            await self._take_back_refusals()
            await self._scribe.flushed()
        self.tally.waiting_for = ""
        took_s = self.clock.monotonic() - self.tally.started_at
        exit_code = self.exit_code()
        reason = self._stop.reason if self._stop and self.tally.left else ""
        bottleneck = self.tally.bottleneck(took_s)
        if self._scribe.broken:
            return Ending(exit_code, reason or str(self._scribe.broken), bottleneck, {})
        ask, journal = self._scribe.ask, self._journal
        with suppress(OSError):
            write_progress(self.directory / "progress.json", self.tally.snapshot(self.clock.monotonic()))
        if self._herald:
            await self._herald.finish(everything=not self.tally.left)
        waits = {wait.value: round(s, 3) for wait, s in self.tally.waits.items()}
        try:
            await ask(journal.note, ENDED, journal.epoch)
            await ask(journal.note, "exitCode", exit_code)
            await ask(journal.note, "reason", reason)
            await ask(journal.note, "bottleneck", bottleneck)
            await ask(journal.note, "waits", waits)
            await self._gateway.aclose()  # the results may need the descriptors of its connections
            summary = await ask(write_outputs, self.directory, journal, self._outputs)
        except JournalError as error:
            return Ending(error.exit_code, str(error), bottleneck, {})
        except OSError as error:
            reason = f"the results could not be written ({error}); make room, and `resume` writes them"
            return Ending(JournalError.exit_code, reason, bottleneck, {})
        return Ending(exit_code, reason, bottleneck, summary)

    async def _take_back_refusals(self) -> None:
        failed = self._judge.give_back_held()
        if failed:
            await self._scribe.flushed()
            taken_back = await self._scribe.ask(
                self._journal.take_back, failed, int(self.clock.wall() * 1000)
            )
            self.tally.moved(State.FAILED, State.PENDING, taken_back)

    def exit_code(self) -> int:
        """The exit code that the rows, or else the reason to stop, call for (design section 4)."""
        if self._scribe.broken:
            return JournalError.exit_code
        if self.tally.left:
            return self._stop.exit_code if self._stop else 7
        return exit_code_of(self.tally.counts, self.tally.benign_skips)


def _as_stop(group: BaseExceptionGroup[BulkTriggerError]) -> Stop:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    code = error.exit_code if isinstance(error, BulkTriggerError) else BulkTriggerError.exit_code
    return Stop(code, str(error))
