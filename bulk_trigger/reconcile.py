"""Did it start? Asking the gateway what it did with an attempt that was not answered for certain.

What may be concluded, and when (design decisions 2, 3 and 7):

- A look-up that *finds* our instance settles the row at once.
- "Absent" has to wait, because a request that nobody answered may still arrive. **Answered** doubt (62109,
  500: a complete reply came) ends with one complete read, some seconds after the reply. **Unanswered** doubt
  (timeout, reset, 502, a crash) needs two, the first at half the quarantine and the last at its end.
- A read that is partial, refused or nonsense concludes nothing. It is repeated for as long as the run is
  patient; then the row ends as unknown. It never becomes "absent", and never a blind retry.
- Whose instance is it? Ours, if it started no earlier than two minutes before the row's first send.

`Doubt` and `conclude` are pure; `Lookups` makes the calls, each after a turn at the limiter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio
import msgspec

from .instances import Instance, Lookup, found_instance, instances_in, judge_lookup
from .model import MINUTE_MS, Evidence, Job, Kind, Reply, Verdict, predict_instance_id
from .ports import Clock, Gateway, InstanceQuery

OLDER_S = 120.0  #: an instance that started so much before our first send is not ours
ANSWERED_S = 2.0  #: not before this may a single read conclude "absent" from answered doubt
LAG_FACTOR = 3.0
EARLY_S = 1.0  #: the first look after an unanswered send: it can only find
REREAD_S = 1.0  #: after a read that concluded nothing; doubled up to ...
REREAD_MAX_S = 30.0
PAGES = 1000  #: a list that is longer than this cannot be read completely
MOST_SHIFT_S = 14 * 3600.0  #: no zone is further from UTC
NEVER = 253_402_214_400_000  #: the last day of the year 9999: no instance can have this minute


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
    lag_s: float = 0.0  #: how long the first successes took to show up in a look-up

    @property
    def answered_s(self) -> float:
        """How long after a complete reply one read may conclude "absent"."""
        return max(min(ANSWERED_S, self.quarantine_s), LAG_FACTOR * self.lag_s)


def first_read(doubt: Doubt, waits: Waits, earliest: float) -> float:
    """When to read for the first time."""
    if doubt.verdict.answered:
        return max(earliest, doubt.since + waits.answered_s)
    return doubt.since + min(EARLY_S, waits.quarantine_s / 2)


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
        return ReadAgain(now + min(REREAD_S * 2.0 ** (doubt.failed_reads - 1), REREAD_MAX_S))
    doubt.absent_at.append(now)
    return _absent(doubt, waits, now)


def _absent(doubt: Doubt, waits: Waits, now: float) -> Absent | ReadAgain:
    if doubt.verdict.answered:
        due = doubt.since + waits.answered_s
        return Absent() if now >= due else ReadAgain(due)
    half, end = doubt.since + waits.quarantine_s / 2, doubt.since + waits.quarantine_s
    counted = [at for at in doubt.absent_at if at >= half]
    if not counted:
        return ReadAgain(half)
    if counted[-1] >= end and counted[-1] - counted[0] >= waits.quarantine_s / 2:
        return Absent()
    return ReadAgain(max(end, counted[0] + waits.quarantine_s / 2))


def text_to_epoch(text: str) -> float | None:
    """Read an instance's time text ("2019-07-26 20:39:00", without a zone) as if it were UTC."""
    try:
        return datetime.fromisoformat(text.strip()[:19]).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


class Calibration:
    """What the first successes of a run taught about the look-ups."""

    def __init__(self) -> None:
        self.lag_s = 0.0
        self.zone_s: float | None = None  #: seconds that startTime texts are ahead of UTC
        self.id_shift_s: float | None = None  #: seconds that the minute in instance IDs is ahead of UTC
        self.get_finds = False  #: Get found an instance that we know to exist
        self.get_missing: tuple[int | None, int | None, bool] | None = None  #: its answer for one that cannot

    @property
    def get_is_enough(self) -> bool:
        """Whether Get alone can say "absent"."""
        return self.get_finds and self.get_missing is not None

    def check_id(self, job: Job, verdict: Verdict) -> Verdict:
        """Doubt a success whose instance ID does not fit the job and what the first success taught.

        IDs are predicted in UTC. A gateway that writes them in another zone shifts all of them alike, so no
        two rows can get one ID; any other shift makes no sense.
        """
        if verdict.kind is not Kind.ACCEPTED:
            return verdict
        shift_s = 0.0
        if verdict.mismatch:
            shown = _id_epoch(verdict.instance_id or "")
            minute = job.trigger_time_ms // MINUTE_MS * MINUTE_MS / 1000
            shift_s = shown - minute if shown is not None else 1.0
        if self.id_shift_s is None and shift_s % 900 == 0 and abs(shift_s) <= MOST_SHIFT_S:
            self.id_shift_s = shift_s
        if shift_s == self.id_shift_s:
            return verdict
        return msgspec.structs.replace(
            verdict,
            evidence=Evidence.UNKNOWN,
            kind=Kind.DOUBTFUL,
            good=False,
            anomaly=True,
            message=f"the instance ID {verdict.instance_id} does not belong to this flow and minute",
            instance_id=None,
        )

    def learn_id(self, job: Job, instance_id: str) -> None:
        """Take note of the ID that an earlier session's success had."""
        shown = _id_epoch(instance_id)
        if shown is not None:
            self.id_shift_s = shown - job.trigger_time_ms // MINUTE_MS * MINUTE_MS / 1000

    def instance_id(self, job: Job) -> str:
        """The ID that the instance of a job has, as far as the first success taught."""
        shift_ms = int((self.id_shift_s or 0.0) * 1000)
        return predict_instance_id(job.flow_id, job.trigger_time_ms + shift_ms)

    def is_ours(self, instance: Instance, job: Job, first_sent_s: float, now_s: float) -> bool | None:
        """Whether a found instance can be the doing of this row's first send or later; None = undecidable.

        `first_sent_s` and `now_s` are epoch seconds. Before the zone of startTime is known, it is taken
        to be UTC or the zone of triggerTime (whose true value we know) if exactly that makes it ours.
        """
        if not instance.start_time:
            return True if instance.is_live else None
        if (shown := text_to_epoch(instance.start_time)) is None:
            return None
        if self.zone_s is not None:
            return shown - self.zone_s >= first_sent_s - OLDER_S
        candidates = {0.0}
        if (trigger_shown := text_to_epoch(instance.trigger_time)) is not None:
            candidates.add(_whole_zone(trigger_shown - job.trigger_time_ms / 1000))
        if any(first_sent_s - OLDER_S <= shown - zone <= now_s + OLDER_S for zone in candidates):
            return True
        return False if max(shown - zone for zone in candidates) < first_sent_s - OLDER_S else None

    def learn_zone(self, instance: Instance, sent_s: float) -> None:
        """Compare the start of an instance that is known to be ours with the time of its send."""
        if (shown := text_to_epoch(instance.start_time)) is not None:
            self.zone_s = _whole_zone(shown - sent_s)


def _id_epoch(instance_id: str) -> float | None:
    """The minute in the ID of a triggered instance, read as UTC; scheduled ones have fewer digits."""
    digits = instance_id.rpartition("-")[2]
    try:
        minute = datetime.strptime(digits, "%Y%m%d%H%M00").replace(tzinfo=UTC)
    except ValueError:
        return None
    return minute.timestamp() if len(digits) == len("yyyymmddHHMM00") else None


def _whole_zone(seconds: float) -> float:
    return round(seconds / 900) * 900.0


class Lookups:
    """Makes the calls that a look-up needs. One per run."""

    def __init__(
        self,
        gateway: Gateway,
        clock: Clock,
        turn: Callable[[], Awaitable[None]],
        overhear: Callable[[Job, Reply], None],
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._turn = turn  #: waits for a slot of the limiter
        self._overhear = overhear  #: is told every reply: a refused token or a 429 concerns all calls
        self.calibration = Calibration()
        self.available = True
        self.calibrating = False  #: set by the run when it lets the first success calibrate

    async def read(self, job: Job, first_sent_s: float | None) -> Reading:
        """Look for the instance of a job: Get by its predicted ID; until that is proven enough, List too.

        `first_sent_s`: epoch seconds of the row's first send; None if there was none yet.
        """
        wanted = self.calibration.instance_id(job)
        reply = await self._get(job, wanted)
        if found := found_instance(reply, wanted):
            return Reading(found=found)
        verdict = judge_lookup(reply)
        if self.calibration.get_is_enough:
            if _signature(reply) == self.calibration.get_missing:
                return Reading(absent=True)
            if verdict is Lookup.TRANSIENT:
                return Reading(unsure=reply.message or str(reply.status))
        listed = await self._list(job, first_sent_s)
        if listed.not_permitted and verdict is not Lookup.NOT_PERMITTED:
            return Reading(unsure=f"the list is not permitted ({listed.not_permitted})")
        return listed

    async def calibrate(self, job: Job, instance_id: str, sent_s: float, settled_at: float) -> None:
        """Learn from a success: how fast it shows up, in which zone, and what a missing one looks like."""
        delay, missed = 0.1, False
        while True:
            reply = await self._get(job, instance_id)
            seen_after_s = self._clock.monotonic() - settled_at
            found = found_instance(reply, instance_id)
            if found:
                self.calibration.get_finds = True
                if missed:
                    self.calibration.lag_s = seen_after_s
                self.calibration.learn_zone(found, sent_s)
                break
            verdict = judge_lookup(reply)
            if verdict is not Lookup.NOT_PERMITTED and verdict is not Lookup.TRANSIENT:
                # It exists and does not show: until it does, the lag is known to be at least so long.
                self.calibration.lag_s, missed = seen_after_s, True
            if verdict is Lookup.NOT_PERMITTED or delay > REREAD_MAX_S:
                return
            await anyio.sleep(delay)
            delay *= 2
        reply = await self._get(job, predict_instance_id(job.flow_id, NEVER))
        if judge_lookup(reply) in {Lookup.EMPTY, Lookup.UNDECIDED}:  # said by the service, not by a proxy
            self.calibration.get_missing = _signature(reply)

    async def _get(self, job: Job, instance_id: str) -> Reply:
        await self._turn()
        reply = await self._gateway.get_instance(instance_id)
        self._overhear(job, reply)
        return reply

    async def _list(self, job: Job, first_sent_s: float | None) -> Reading:
        """Read all pages of all types. Until a success showed what IDs look like here, look at the whole flow.

        An instance that could be ours but has another ID than predicted may be just that: ours, under an ID
        that we do not understand yet. Then nothing is absent.
        """
        known = self.calibration.id_shift_s is not None
        wanted = self.calibration.instance_id(job)
        stranger = ""
        start = job.trigger_time_ms // MINUTE_MS * MINUTE_MS
        for kind in (0, 1, 2):
            before: list[str] = []
            for page in range(PAGES):
                await self._turn()
                reply = await self._gateway.list_instances(
                    InstanceQuery(
                        expression=wanted if known else f"{job.flow_id}-",
                        type=kind,
                        from_ms=start - MINUTE_MS,
                        to_ms=start + 2 * MINUTE_MS,
                        page=page,
                    )
                )
                self._overhear(job, reply)
                instances = instances_in(reply)
                if instances is None:
                    if page == 0 and _is_no_page(reply):
                        continue  # where pages count from 1, page 0 may be refused
                    return _refused(reply)
                for instance in instances:
                    if instance.instance_id == wanted:
                        return Reading(found=instance)
                    if not known and self._may_be_ours(instance, job, first_sent_s):
                        stranger = instance.instance_id
                ids = [instance.instance_id for instance in instances]
                if page >= 2 and ids and ids == before:
                    return Reading(unsure="the list gives the same page again and again")
                before = ids
                if not instances and page >= 1:
                    break
            else:
                return Reading(unsure="the list has no end")
        if stranger:
            return Reading(unsure=f"there is an instance {stranger} that may be it", stranger=stranger)
        return Reading(absent=True)

    def _may_be_ours(self, instance: Instance, job: Job, first_sent_s: float | None) -> bool:
        if not instance.instance_id.startswith(f"{job.flow_id}-") or first_sent_s is None:
            return False
        return self.calibration.is_ours(instance, job, first_sent_s, self._clock.wall()) is not False


def _is_no_page(reply: Reply) -> bool:
    return judge_lookup(reply) is Lookup.UNDECIDED or (reply.fault is None and reply.status in {400, 422})


def _refused(reply: Reply) -> Reading:
    why = str(reply.code or reply.status or reply.fault or "no sense")
    if judge_lookup(reply) is Lookup.NOT_PERMITTED:
        return Reading(not_permitted=why)
    return Reading(unsure=why)


def _signature(reply: Reply) -> tuple[int | None, int | None, bool]:
    """What tells one kind of answer from another: HTTP status, service code, and whether data came."""
    return reply.status, reply.code, not reply.data
