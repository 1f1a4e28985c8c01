"""Calls that may be made again: within the rate, with a good token, and patiently.

A run has its own way to call (`run.dispatch`): it keeps hundreds under way and must know what each one did.
Here a call that got no usable answer is simply made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import TypeVar

import anyio

from .errors import GatewayError
from .health import Patience
from .limiter import Limiter
from .model import Job, Kind, Reply, Scope, Verdict
from .ports import Clock, Gateway, SystemClock
from .quantities import format_duration
from .retry import pause_length
from .settings import Settings
from .verdicts import judge, judge_token

_NOBODY = Job(0, 0, 0)  #: `judge` speaks of the reply to a job; a call that reads has none
_ANSWERS = {Kind.REFUSED, Kind.REPEATED}  #: to what was asked for
AT_ONCE = 8  #: subjects that are asked about at the same time
_TOKENS = 2  #: refused one after the other; then it is not the token

_S = TypeVar("_S")
_T = TypeVar("_T")


class NoAnswer(GatewayError):  # noqa: N818 - named after what happened
    """A call was given up: what the gateway says concerns every call, or it says nothing for too long."""

    def __init__(self, text: str, reply: Reply) -> None:
        super().__init__(text)
        self.reply = reply  #: the last one


class Calls:
    """Asks a gateway."""

    def __init__(
        self,
        gateway: Gateway,
        settings: Settings,
        *,
        notice: Callable[[str], None] = lambda _: None,
        clock: Clock | None = None,
        earlier: Iterable[tuple[float, int]] = (),
    ) -> None:
        """`notice` is told, in a sentence, when there is something to wait for.

        `earlier`: calls of earlier processes, which the rate counts as well, as (age in seconds, how many).
        """
        self._gateway = gateway
        self._notice = notice
        self._clock = clock or SystemClock()
        self._limiter = Limiter(settings.rates, self._clock)
        self._limiter.remember(earlier)
        self.made = 0  #: calls so far
        self._patience = Patience(settings.patience_s)
        self._patience_s = settings.patience_s
        self._bad = 0  #: replies in a row that were no use
        self._refused_tokens: set[int] = set()  #: since the last good reply
        self._ahead_s = 0.0  #: how far the gateway's clock is ahead of ours, as far as it mattered
        self._turn = anyio.Lock()  #: the limiter and the token are asked by one at a time

    def paused_for(self) -> float:
        """Seconds that a pause of the gateway's will still last; 0 without one."""
        return self._limiter.paused_for()

    async def get_ready(self) -> None:
        """Fetch an access token, if there is none. Raises `NoAnswer`."""
        async with self._turn:
            await self._prepare()

    async def ask(self, call: Callable[[], Awaitable[Reply]], *, most: int | None = None) -> Reply:
        """Make the call until it is answered: with a success, or with a refusal of what was asked for.

        After `most` tries it gives what came of the last. Raises `NoAnswer` when it concerns every call
        (credentials, address), or patience ends.
        """
        for number in count(1):
            async with self._turn:
                await self._prepare()
                await self._slot()
            reply = await call()
            if reply.success and reply.status == 200 and reply.fault is None:
                self._good()
                return reply
            verdict = judge(_NOBODY, reply)
            if verdict.kind in _ANSWERS and verdict.scope is not Scope.EVERYONE:
                self._good()
                return reply
            if verdict.kind is Kind.TOKEN:
                self._gateway.refuse_token(reply.token)
                self._refused_tokens |= {reply.token} - {0}
            await self._bear(reply, verdict, fatal=len(self._refused_tokens) >= _TOKENS)
            if number == most:
                break
        return reply

    async def ask_all(self, subjects: Iterable[_S], ask: Callable[[_S], Awaitable[_T]]) -> list[_T]:
        """Ask about many subjects, several at a time; gives the answers in their order.

        Raises what `ask` raises; nothing more is asked then.
        """
        answers: dict[int, _T] = {}
        room = anyio.Semaphore(AT_ONCE)

        async def ask_one(number: int, subject: _S) -> None:
            try:
                answers[number] = await ask(subject)
            finally:
                room.release()

        try:
            async with anyio.create_task_group() as tasks:
                for number, subject in enumerate(subjects):
                    await room.acquire()
                    tasks.start_soon(ask_one, number, subject)
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return [answers[number] for number in sorted(answers)]

    async def _prepare(self) -> None:
        while not self._gateway.ready:
            await self._slot()
            reply = await self._gateway.prepare()
            verdict = judge_token(reply)
            if not verdict.good and not self._sees_other_clock(reply):
                await self._bear(reply, verdict)

    def _sees_other_clock(self, reply: Reply) -> bool:
        """Whether the gateway's clock is another than was thought; then it may accept us now."""
        known, self._ahead_s = self._ahead_s, reply.clock_ahead_s
        return self._ahead_s != known

    async def _slot(self) -> None:
        await self._limiter.admit(1)
        self._limiter.started()
        self.made += 1

    def _good(self) -> None:
        self._patience.good()
        self._bad = 0
        self._refused_tokens.clear()

    async def _bear(self, reply: Reply, verdict: Verdict, *, fatal: bool = False) -> None:
        """Wait before the next try. Raises `NoAnswer` if there is no use in one."""
        why = f"{verdict.code} {verdict.message}".strip()
        if fatal or verdict.scope is Scope.EVERYONE:
            raise NoAnswer(f"the gateway refuses us: {why}", reply)
        if self._patience.bad(self._clock.monotonic()):
            raise NoAnswer(f"no good reply for {format_duration(self._patience_s)}: {why}", reply)
        if verdict.kind is Kind.TOKEN:
            return
        if not self._bad:
            self._notice(f"no good reply ({why}); trying again for up to {format_duration(self._patience_s)}")
        seconds = pause_length(reply.retry_after_s, self._bad)
        self._bad += 1
        if verdict.kind is Kind.THROTTLED:
            self._patience.excuse(min(reply.retry_after_s or 0.0, seconds))
            self._limiter.pause(seconds)
        else:
            await anyio.sleep(seconds)
