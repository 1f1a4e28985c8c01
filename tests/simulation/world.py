"""The world of one simulated history: its time, its gateway, and the only true record of what happened.

The service behind the gateway is the sandbox's, which shares no code with the engine. The world goes on while
no process of ours lives: what is on its way arrives, and takes effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random

from blows import BLOWS, Blow
import msgspec
import orjson
from plans import EPOCH, Fate, JobKey, Plan

from bulk_trigger.sandbox import Ledger, Scenario
from bulk_trigger.sandbox.calls import Call, read_call
from bulk_trigger.sandbox.ledger import Cancelled, Effect, Event
from bulk_trigger.sandbox.limits import Limit
from bulk_trigger.sandbox.replies import Reply, failure, refusal
from bulk_trigger.sandbox.service import Service
from bulk_trigger.sandbox.tokens import ORG_ID, USER_ID, Tokens

_NO_CALL = Call(api="unknown", action="")
_GROUPS = {"trigger": "trigger", "token": "token"}  #: every other call is a look-up


@dataclass(slots=True)
class Sent:
    """One call of ours, as the world saw it. Times are seconds of the history."""

    n: int
    session: int
    api: str
    job: JobKey | None  #: of a trigger
    about: str | None
    began: float  #: the engine began it: this is what a rate counts
    left: float  #: its bytes left
    arrived: float | None = None
    heard: float | None = None  #: its whole reply reached us
    ended: float | None = None  #: it was over for us: heard, lost, or given up
    blow: str = ""
    status: int | None = None  #: of the reply that was heard
    code: int | None = None
    hint_s: float | None = None  #: the Retry-After of the reply that was heard
    succeeded: bool = False  #: the reply that was heard is a success

    @property
    def group(self) -> str:
        """Which table of blows it falls under."""
        return _GROUPS.get(self.api, "lookup")


@dataclass(slots=True)
class Made:
    """One instance that came into being."""

    at: float
    actor: str  #: ours, network (a call of ours, delivered twice) or stranger
    n: int  #: of the call
    job: JobKey
    instance_id: str
    durable_at: float = inf  #: before that, a crash of the gateway may forget it
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What is written: nothing of it is interpreted before it arrives."""

    method: str
    target: str  #: path and query
    headers: Mapping[str, str]  #: names in lower case
    body: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What comes back to the client: a reply, or how the connection ends instead."""

    end: str  #: reply, reset, close or cut
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    code: int | None = None
    cut: float = 0.0
    split: float = 0.0
    closes: bool = False


Listener = Callable[[Heard], None]


class _Underway(msgspec.Struct, eq=False):
    """A call that has arrived, and whose reply has not left."""

    sent: Sent
    made: int  #: how many instances there were before
    hear: Listener | None
    broken: bool = False


class _Book(Ledger):
    """What the service writes its effects into."""

    def __init__(self, note: Callable[[Event], None]) -> None:
        super().__init__()
        self._note = note

    def append(self, event: Event) -> None:
        self._note(event)


class World:
    """Everything outside the process under test."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.now = 0.0
        self.calls: list[Sent] = []
        self.made: list[Made] = []
        self.hits: Counter[str] = Counter()  #: what really happened, by name
        self.session = 0
        self.calm = False  #: nothing new goes wrong any more
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._scenario = plan.scenario
        self._underway: dict[int, _Underway] = {}
        self._down_until = -inf
        self._births = self._drawn = 0
        self._actor = "ours"
        self._events: list[Event] = []
        self._read: dict[int, float] = {}  # flow -> when it was last looked up
        self._start_gateway()
        self._set_limit(plan.scenario.rate_limit if isinstance(plan.scenario.rate_limit, tuple) else ())
        self._announce()

    # --- time

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Let something happen at a time."""
        heappush(self._later, (when, next(self._order), act))

    @property
    def next_at(self) -> float:
        """When the next thing happens by itself."""
        return self._later[0][0] if self._later else inf

    def happen(self) -> None:
        """Let everything happen that is due."""
        while self._later and self._later[0][0] <= self.now:
            heappop(self._later)[2]()

    def pass_time(self, seconds: float) -> None:
        """Let time pass while no process of ours lives."""
        end = self.now + seconds
        while self._later and self._later[0][0] <= end:
            self.now = max(self.now, self._later[0][0])
            self.happen()
        self.now = end

    @property
    def wall(self) -> float:
        """What our wall clock shows."""
        return EPOCH + self.now

    @property
    def _their_wall(self) -> float:
        return EPOCH + self.now + self._scenario.clock_offset_s

    # --- calls

    def call(self, request: Request, began: float, hear: Listener) -> Sent | None:
        """Take a request that leaves now; None if the kernel refuses its first byte.

        `hear` is told what comes back, if anything does.
        """
        self._drawn += 1
        n = self._drawn
        call = read_call(request.method, request.target, request.body) or _NO_CALL
        job = None
        if call.api == "trigger" and call.flow_id is not None and call.trigger_time is not None:
            job = (call.flow_id, call.trigger_time)
        sent = Sent(n, self.session, call.api, job, call.about, began, self.now)
        fate = self.plan.fate(n, sent.group, self.now)
        name = "" if self.calm else fate.blow
        if job and job[0] == self.plan.cursed[0] and not (name or self.calm):
            name = self.plan.cursed[1]
        blow = BLOWS[sent.group].get(name)
        sent.blow = name if blow else ""
        if blow and blow.unwritten:
            self._hit(sent)
            return None
        self.calls.append(sent)
        self._carry(sent, request, call, fate, blow, hear)
        return sent

    def _carry(  # noqa: PLR0917 - what a call is made of
        self, sent: Sent, request: Request, call: Call, fate: Fate, blow: Blow | None, hear: Listener
    ) -> None:
        up_s = fate.up_s
        if blow and blow.late:
            self._hit(sent)
            up_s = fate.late_s
            if blow.end != "silence":  # somebody on the way speaks in the gateway's place
                told = _spoken(blow, call, None, self.plan.hint_s)
                self.at(self.now + fate.up_s, lambda: self._tell(told, fate, hear, blow.end))
        elif blow and not blow.effect and blow.end != "reply":
            self._hit(sent)
            if blow.end != "silence":
                self.at(self.now + fate.up_s, lambda: hear(Heard(blow.end if blow.end != "cut" else "close")))
            return
        listener = None if blow and blow.late else hear
        self.at(self.now + up_s, lambda: self._arrive(sent, request, call, fate, blow, listener, "ours"))
        if fate.twin_s is not None and not self.calm:
            at = self.now + up_s + fate.twin_s
            self.at(at, lambda: self._arrive(sent, request, call, fate, None, None, "network"))

    def _arrive(  # noqa: PLR0917 - as above
        self,
        sent: Sent,
        request: Request,
        call: Call,
        fate: Fate,
        blow: Blow | None,
        hear: Listener | None,
        actor: str,
    ) -> None:
        if self.now < self._down_until:
            self.hits["gateway down"] += 1
            if hear:
                hear(Heard("reset"))
            return
        if actor == "ours":
            sent.arrived = self.now
        else:
            self.hits["the network delivered it twice"] += 1
        underway = _Underway(sent, len(self.made), hear)
        key = next(self._order)
        self._underway[key] = underway
        self._actor = actor
        try:
            reply = self._turn_away(call, request)
            if reply is None:
                reply = self._serve(sent, call, blow)
        finally:
            self._actor = "ours"
        end = blow.end if blow else "reply"
        self.at(self.now + fate.work_s, lambda: self._leave(key, reply, fate, end))

    def _turn_away(self, call: Call, request: Request) -> Reply | None:
        """Refuse at the door: over the limit, no such place, or not signed."""
        if (call.api != "token" or self._scenario.limit_tokens) and not self._limit.admit(self.now):
            self.hits["over the gateway's limit"] += 1
            after_s = self._scenario.retry_after_s
            return refusal(
                429, "API rate limit exceeded", **({} if after_s is None else {"Retry-After": str(after_s)})
            )
        if call is _NO_CALL:
            return refusal(404, "no Route matched with those values")
        if call.api == "token":
            return None
        refused = self._tokens.refuse(call, request.headers, self._scenario, self._their_wall)
        if refused is not None:
            self.hits["token refused" if refused.status == 401 else "token expired"] += 1
        return refused

    def _serve(self, sent: Sent, call: Call, blow: Blow | None) -> Reply:
        honest = None
        if blow is None or blow.effect:
            honest = self._perform(sent.n, call)
        if blow is None or blow.late:
            return honest or Reply()
        self._hit(sent)
        if blow.end != "reply":
            return honest or Reply()
        return _spoken(blow, call, honest, self.plan.hint_s)

    def _perform(self, n: int, call: Call) -> Reply:
        now = self._their_wall
        if call.api == "token":
            return self._tokens.serve(call, self._scenario, now)
        if call.api in {"get", "list"}:
            now -= self._staleness(n, call)
        return self._service.answer(call, n, now)

    def _staleness(self, n: int, call: Call) -> float:
        if call.flow_id is not None:
            self._read[call.flow_id] = self.now
        if self._scenario.lookup != "allowed":
            self.hits[f"look-up: {self._scenario.lookup}"] += 1
            return 0.0
        stale_s = self.plan.stale_s * Random((self.plan.seed << 24) - n).random()
        seen_until = self.now - self._scenario.visible_after_s - stale_s
        if any(
            made.instance_id == call.about and seen_until < made.at and not made.forgotten
            for made in self.made
        ):
            self.hits["look-up: behind the effects"] += 1
        return stale_s

    def _leave(self, key: int, reply: Reply, fate: Fate, end: str) -> None:
        """The reply of a call leaves the gateway, unless that has crashed meanwhile."""
        underway = self._underway.pop(key)
        if underway.broken:
            return
        for made in self.made[underway.made :]:
            if made.n == underway.sent.n:
                made.durable_at = self.now
        if underway.hear:
            self._tell(reply, fate, underway.hear, end)

    def _tell(self, reply: Reply, fate: Fate, hear: Listener, end: str) -> None:
        if end == "silence":
            return
        headers = {"Content-Type": reply.content_type, **reply.headers}
        if reply.status == 401:
            headers["Date"] = _http_date(self._their_wall)
        heard = Heard(
            end,
            reply.status,
            headers,
            reply.body,
            reply.code,
            cut=fate.cut,
            split=fate.split,
            closes=fate.closes,
        )
        self.at(self.now + fate.down_s, lambda: hear(heard))

    def listened(self, sent: Sent, heard: Heard) -> None:
        """A whole reply has reached the process that sent the call."""
        sent.heard = sent.ended = self.now
        sent.status, sent.code = heard.status, heard.code
        sent.succeeded = heard.status == 200 and heard.code == 0
        if (hint := heard.headers.get("Retry-After")) is not None:
            sent.hint_s = float(hint)

    def gone(self, sent: Sent) -> None:
        """A call is over without a whole reply."""
        if sent.ended is None:
            sent.ended = self.now

    def _hit(self, sent: Sent) -> None:
        self.hits[f"{sent.group}: {sent.blow}"] += 1

    # --- the gateway

    def _start_gateway(self) -> None:
        self._births += 1
        self._tokens = Tokens(self.plan.seed + self._births)
        self._open_service()

    def _open_service(self) -> None:
        self._service = Service(self._scenario, self.plan.seed, _Book(self._note))
        for event in self._events:
            self._service.replay(event)

    def _become(self, **changes: object) -> None:
        self._scenario = msgspec.structs.replace(self._scenario, **changes)
        self._open_service()

    def _set_limit(self, limits: tuple[str, ...]) -> None:
        self._limit = Limit(msgspec.structs.replace(self._scenario, rate_limit=limits))

    def _note(self, event: Event) -> None:
        if isinstance(event, Effect):
            job = (event.flow_id, event.trigger_time)
            self._events.append(event)
            self.made.append(Made(self.now, self._actor, event.n, job, event.instance_id))
        elif isinstance(event, Cancelled):  # nobody cancels here
            raise TypeError(event)

    def _fall(self, away_s: float) -> None:
        """The gateway crashes: what it was answering is cut off, and of that some effects are forgotten."""
        if self.calm:
            return
        self.hits["gateway crashed"] += 1
        self._down_until = self.now + away_s
        dice = Random((self.plan.seed << 24) + len(self.calls))
        for underway in self._underway.values():
            underway.broken = True
            if underway.hear:
                hear = underway.hear
                self.at(self.now, lambda hear=hear: hear(Heard("reset")))  # type: ignore[misc]
        lost = [
            index
            for index, made in enumerate(self.made)
            if made.durable_at > self.now
            and not made.forgotten
            and self._read.get(made.job[0], -inf) < made.at
            and dice.random() < 0.7
        ]
        for index in lost:
            self.made[index].forgotten = True
            self.hits["gateway forgot an accept"] += 1
        for made in self.made:
            made.durable_at = min(made.durable_at, self.now)
        self._events = [
            event for event, made in zip(self._events, self.made, strict=True) if not made.forgotten
        ]
        self.made = [made for made in self.made if not made.forgotten]
        self._start_gateway()

    def _meddle(self, job: JobKey) -> None:
        """Somebody else triggers one of our jobs."""
        if self.calm or self.now < self._down_until or job[0] <= 0:
            return
        self._actor = "stranger"
        call = Call(
            api="trigger",
            action="trigger",
            params={"userId": USER_ID, "orgId": ORG_ID},
            flow_id=job[0],
            trigger_time=job[1],
        )
        before = len(self.made)
        self._service.answer(call, 0, self._their_wall)
        for made in self.made[before:]:
            made.durable_at = self.now
            self.hits["somebody else triggered it"] += 1
        self._actor = "ours"

    def _announce(self) -> None:
        """Everything that is going to happen by itself."""
        plan = self.plan
        for at, limits in plan.limits:
            self.at(at, lambda limits=limits: self._change_limit(limits))  # type: ignore[misc]
        for at, word in plan.lookups:
            if at == 0.0:
                self._become(lookup=word)
            else:
                self.at(at, lambda word=word: self._become(lookup=word))  # type: ignore[misc]
        for at, away_s in plan.falls:
            self.at(at, lambda away_s=away_s: self._fall(away_s))  # type: ignore[misc]
        for at, job in plan.strangers:
            self.at(at, lambda job=job: self._meddle(job))  # type: ignore[misc]

    def _change_limit(self, limits: tuple[str, ...]) -> None:
        self.hits["the gateway's limit changed"] += 1
        self._set_limit(limits)

    def settle_down(self) -> None:
        """Whatever was going to go wrong later does not: the end of a history has to come."""
        self.calm = True
        self._become(lookup="allowed", page_fault="none", max_page_size=100)
        self._set_limit(())

    @property
    def scenario(self) -> Scenario:
        """How the gateway is now."""
        return self._scenario


def _spoken(blow: Blow, call: Call, honest: Reply | None, hint_s: float) -> Reply:
    """The reply that the blow makes of an honest one, or gives in its place."""
    if blow.instance_id is not None:
        if honest is None or honest.code != 0:
            return honest or Reply()
        data = {"flowInstanceId": blow.instance_id.format(flow=call.flow_id)} if blow.instance_id else {}
        body = orjson.dumps({**orjson.loads(honest.body), "data": data})
        return Reply(body=body, code=0)
    if blow.body is not None:
        return Reply(blow.status, blow.body, content_type="text/html")
    if blow.code is not None:
        return failure(call.version, blow.code, blow.text, status=blow.status)
    headers = {"Retry-After": str(int(hint_s))} if blow.hint else {}
    return refusal(blow.status, f"Blow {blow.status}", **headers)


def _http_date(wall: float) -> str:
    from email.utils import formatdate  # noqa: PLC0415 - seldom needed

    return formatdate(wall, usegmt=True)
