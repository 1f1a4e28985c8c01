"""What may be concluded from look-ups, and when; and look-ups against gateways of several kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
import time
from typing import Any

from clock import LoopClock
from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.instances import Instance
from bulk_trigger.model import Evidence, Fault, Job, Kind, Reply, Verdict
from bulk_trigger.ports import Answered, InstanceQuery
from bulk_trigger.reconcile import (
    Absent,
    Calibration,
    Doubt,
    Found,
    Lookups,
    ReadAgain,
    Reading,
    Undecided,
    Waits,
    conclude,
    first_read,
)
from bulk_trigger.reconcile.calibration import text_to_epoch
from bulk_trigger.reconcile.pages import PAGES

virtually = pytest.mark.asyncio(loop_factories=["virtual"])

JOB = Job(1, 3377, 1574385824000)
ID = "3377-20191122012300"
SENT_S = datetime(2026, 11, 3, 10, 0, tzinfo=UTC).timestamp()
WAITS = Waits(75.0, 900.0, lag_s=0.0)
INSTANCE = Instance(ID, 3377, 1, "", "")


def doubt(*, answered: bool, since: float = 0.0) -> Doubt:
    verdict = Verdict(evidence=Evidence.UNKNOWN, kind=Kind.DOUBTFUL, answered=answered)
    return Doubt(verdict=verdict, since=since, resend_at=since)


def absent(about: Doubt, now: float, waits: Waits = WAITS) -> object:
    return conclude(about, Reading(absent=True), waits, now, ours=None)


# --- when "absent" may be concluded


@pytest.mark.parametrize(
    ("answered", "reads", "expected"),
    [
        (True, [2.0], [Absent()]),
        (True, [1.9], [ReadAgain(2.0)]),
        (True, [0.5, 2.0], [ReadAgain(2.0), Absent()]),
        (False, [1.0, 37.5, 75.0], [ReadAgain(37.5), ReadAgain(75.0), Absent()]),
        (False, [75.0], [ReadAgain(112.5)]),
        (False, [500.0, 537.5], [ReadAgain(537.5), Absent()]),
        (False, [37.4, 75.0], [ReadAgain(37.5), ReadAgain(112.5)]),
        (False, [40.0, 75.0], [ReadAgain(77.5), ReadAgain(77.5)]),
        (False, [40.0, 75.0, 77.5], [ReadAgain(77.5), ReadAgain(77.5), Absent()]),
    ],
)
def test_absent_is_concluded_when_the_table_says(
    answered: bool, reads: list[float], expected: list[object]
) -> None:
    """P6: design decision 2."""
    about = doubt(answered=answered)

    assert [absent(about, now) for now in reads] == expected


@pytest.mark.parametrize(
    ("waits", "first"),
    [
        (WAITS, 2.0),
        (Waits(75.0, 900.0, lag_s=4.0), 12.0),
        (Waits(1.0, 900.0, lag_s=0.0), 1.0),  # the sandbox's quarantine
        (Waits(1.0, 900.0, lag_s=0.5), 1.5),
    ],
)
def test_answered_doubt_waits_for_three_times_the_lag(waits: Waits, first: float) -> None:
    about = doubt(answered=True)

    assert first_read(about, waits, earliest=0.0) == first
    assert first_read(about, waits, earliest=20.0) == 20.0
    assert absent(about, first, waits) == Absent()
    assert absent(doubt(answered=True), first - 0.01, waits) == ReadAgain(first)


def test_before_the_lag_is_known_answered_doubt_waits_for_the_quarantine() -> None:
    """P6, P7: a list that is seconds behind, and 62109 as the first replies of all."""
    about, unknown = doubt(answered=True, since=100.0), Waits(75.0, 900.0, lag_s=None)

    assert first_read(about, unknown, earliest=0.0) == 102.0  # it may be found
    reads = [absent(about, now, unknown) for now in (102.0, 104.0, 160.0)]
    assert reads == [ReadAgain(104.0), ReadAgain(108.0), ReadAgain(175.0)]
    assert absent(about, 108.0, Waits(75.0, 900.0, lag_s=2.0)) == Absent()  # a success has shown it meanwhile
    assert absent(about, 175.0, unknown) == Absent()


@pytest.mark.parametrize(("quarantine_s", "first"), [(75.0, 1.0), (1.0, 0.5)])
def test_unanswered_doubt_is_read_early_because_it_may_be_found(quarantine_s: float, first: float) -> None:
    waits = Waits(quarantine_s, 900.0, lag_s=0.0)

    assert first_read(doubt(answered=False), waits, earliest=0.0) == first


READS = st.lists(
    st.tuples(st.floats(0.0, 80.0), st.sampled_from(["absent", "absent", "unsure"])), max_size=12
)


@given(
    answered=st.booleans(),
    since=st.floats(0.0, 1e6),
    quarantine_s=st.sampled_from([1.0, 10.0, 75.0]),
    lag_s=st.sampled_from([0.0, 0.3, 5.0]),
    reads=READS,
)
def test_absent_is_never_concluded_too_early(
    *, answered: bool, since: float, quarantine_s: float, lag_s: float, reads: list[tuple[float, str]]
) -> None:
    """P6, P7: whenever the reads come, and however many of them conclude nothing."""
    about, waits, now = doubt(answered=answered, since=since), Waits(quarantine_s, 1e9, lag_s), since
    complete: list[float] = []
    for gap, kind in reads:
        now += gap
        if kind == "unsure":
            found = conclude(about, Reading(unsure="503"), waits, now, ours=None)
            assert isinstance(found, ReadAgain)
        else:
            complete.append(now)
            found = absent(about, now, waits)  # type: ignore[assignment]  # one of the conclusions
        if isinstance(found, ReadAgain):
            assert found.at > now
            continue
        assert found == Absent()
        if answered:
            assert now >= since + max(min(2.0, quarantine_s), 3 * lag_s)
        else:
            half, end = since + quarantine_s / 2, since + quarantine_s
            assert complete[-1] >= end
            assert any(half <= at <= now - quarantine_s / 2 for at in complete[:-1])
        return


@given(answered=st.booleans(), failures=st.lists(st.booleans(), max_size=20))
def test_who_reads_when_told_gets_an_answer(answered: bool, failures: list[bool]) -> None:
    """No doubt lasts for ever: once the reads are complete, it ends with the quarantine or soon after."""
    about = doubt(answered=answered)
    now = first_read(about, WAITS, earliest=0.0)
    for fails in failures:
        reading = Reading(unsure="503") if fails else Reading(absent=True)
        found = conclude(about, reading, WAITS, now, ours=None)
        if not isinstance(found, ReadAgain):
            return
        now = found.at
    last = now
    for _ in range(3):
        found_now = absent(about, now)
        if isinstance(found_now, ReadAgain):
            now = found_now.at
    assert found_now == Absent()
    assert now <= max(last, 75.0) + 37.5


@pytest.mark.parametrize("reading", [Reading(unsure="503"), Reading(not_permitted="403")])
@pytest.mark.parametrize("answered", [True, False])
def test_a_read_that_says_nothing_never_becomes_absent(answered: bool, reading: Reading) -> None:
    """P6: it is read again, ever more slowly, and ends as undecided with the patience."""
    about, now, gaps = doubt(answered=answered, since=500.0), 502.0, []

    while isinstance(found := conclude(about, reading, WAITS, now, ours=None), ReadAgain):
        gaps.append(found.at - now)
        now = found.at

    assert isinstance(found, Undecided)
    assert 1400.0 < now <= 1430.0
    assert gaps[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert isinstance(conclude(about, reading, WAITS, 1400.0, ours=None), ReadAgain)


def test_a_new_doubt_has_no_reads() -> None:
    verdict = Verdict(evidence=Evidence.UNKNOWN, kind=Kind.REPEATED)
    about = Doubt(verdict=verdict, since=1.0, resend_at=61.0)

    assert (about.verdict, about.since, about.resend_at) == (verdict, 1.0, 61.0)
    assert (about.absent_at, about.failed_reads) == ([], 0)


@pytest.mark.parametrize("answered", [True, False])
def test_what_is_found_settles_at_once_if_it_is_ours(answered: bool) -> None:
    """P3: an instance of somebody else, or of an earlier run, is no success of this row."""
    about, reading = doubt(answered=answered), Reading(found=INSTANCE)

    assert conclude(about, reading, WAITS, 0.1, ours=True) == Found(ID)
    older = conclude(about, reading, WAITS, 0.1, ours=False)
    unclear = conclude(about, reading, WAITS, 0.1, ours=None)
    assert isinstance(older, Undecided)
    assert "older" in older.reason
    assert isinstance(unclear, Undecided)
    assert "cannot be compared" in unclear.reason


# --- whose instance it is


def shown(epoch_s: float, zone_h: float = 0.0) -> str:
    local = datetime.fromtimestamp(epoch_s, UTC) + timedelta(hours=zone_h)
    return f"{local:%Y-%m-%d %H:%M:%S}"


def instance(start: str, zone_h: float = 0.0, status: int | None = 1) -> Instance:
    return Instance(ID, 3377, status, start, shown(JOB.trigger_time_ms / 1000, zone_h))


@pytest.mark.parametrize(
    ("zone_s", "found", "ours"),
    [
        (None, instance(shown(SENT_S + 5)), True),
        (None, instance(shown(SENT_S - 120)), True),
        (None, instance(shown(SENT_S - 121)), False),
        (None, instance(shown(SENT_S - 86400)), False),
        (None, instance(shown(SENT_S + 60 + 120)), True),  # two minutes after now: clocks differ
        (None, instance(shown(SENT_S + 60 + 121)), None),
        (None, instance(shown(SENT_S + 5, 8), 8), True),
        (None, instance(shown(SENT_S + 5), 8), True),  # the published sample: one text is +8, the other UTC
        (None, instance(shown(SENT_S - 86400, 8), 8), False),
        (None, instance(shown(SENT_S - 3600), -8), None),  # older in UTC, later than now in the other zone
        (None, Instance(ID, 3377, 1, shown(SENT_S + 5), ""), True),
        (None, Instance(ID, 3377, 1, shown(SENT_S - 120), ""), True),
        (None, Instance(ID, 3377, 1, shown(SENT_S + 60 + 120), ""), True),
        (None, Instance(ID, 3377, 1, shown(SENT_S + 5, 8), ""), None),  # later than now in any zone we know
        (None, instance(f"{shown(SENT_S + 5)}.0"), True),
        (0.0, instance(shown(SENT_S + 5)), True),
        (0.0, instance(shown(SENT_S - 120)), True),
        (0.0, instance(shown(SENT_S - 121)), False),
        (28800.0, instance(shown(SENT_S + 5, 8), 8), True),
        (28800.0, instance(shown(SENT_S - 121, 8), 8), False),
        (28800.0, instance(shown(SENT_S + 5), 8), False),
        (-16200.0, instance(shown(SENT_S, -4.5)), True),
        (None, instance("", status=0), True),
        (None, instance("", status=9), True),
        (0.0, instance("", status=1), None),
        (None, instance("", status=8), None),
        (None, instance("", status=None), None),
        (None, instance("yesterday"), None),
        (0.0, instance("2026-02-30 10:00:00"), None),
    ],
)
def test_an_instance_is_ours_by_the_time_of_its_start(
    zone_s: float | None, found: Instance, ours: bool | None
) -> None:
    """P3: design decision 3: not more than two minutes before our first send, in a zone that is known."""
    calibration = Calibration()
    calibration.zone_s = zone_s

    assert calibration.is_ours(found, JOB, SENT_S, SENT_S + 60) is ours


@pytest.mark.parametrize(("ahead_s", "ours"), [(0.0, None), (3600.0, True), (-3600.0, None)])
def test_what_the_gateways_clock_is_ahead_is_not_taken_for_the_future(
    ahead_s: float, ours: bool | None
) -> None:
    """P3: where no zone is known, an instance that starts after now is of a zone that we do not know."""
    calibration = Calibration()
    calibration.clock_ahead_s = ahead_s

    assert calibration.is_ours(instance(shown(SENT_S + 3600)), JOB, SENT_S, SENT_S + 60) is ours


@pytest.mark.parametrize("zone_h", [0, 8, -4.5, 5.75])
def test_the_zone_is_learnt_from_a_success(zone_h: float) -> None:
    calibration = Calibration()

    calibration.learn_zone(instance(shown(SENT_S + 17, zone_h)), SENT_S)

    assert calibration.zone_s == zone_h * 3600
    assert calibration.is_ours(instance(shown(SENT_S, zone_h)), JOB, SENT_S, SENT_S) is True


@pytest.mark.parametrize(("late_s", "older_s"), [(17, 120), (0, 120), (-100, 220)])
def test_how_early_a_success_seemed_to_start_is_allowed_to_others_too(late_s: float, older_s: float) -> None:
    """P3: it is what the clocks differ by, beside the zone; to start late proves nothing about the clocks."""
    calibration = Calibration()

    calibration.learn_zone(instance(shown(SENT_S + late_s, 8)), SENT_S)

    for age_s, ours in ((older_s, True), (older_s + 1, False)):
        assert calibration.is_ours(instance(shown(SENT_S - age_s, 8)), JOB, SENT_S, SENT_S) is ours


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of this process cannot be set")
def test_time_texts_mean_the_same_wherever_this_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = []
    for zone in ("UTC", "Asia/Shanghai"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        calibration = Calibration()
        calibration.learn_id(JOB, ID)
        epochs.append((text_to_epoch("2026-11-03 10:00:00"), calibration.id_shift_s))
    monkeypatch.undo()
    time.tzset()

    assert epochs == [(SENT_S, 0.0)] * 2


def test_no_zone_is_learnt_from_an_instance_that_has_not_started() -> None:
    calibration = Calibration()

    calibration.learn_zone(instance(""), SENT_S)

    assert calibration.zone_s is None


# --- which IDs fit


def accepted(instance_id: str, job: Job = JOB) -> Verdict:
    return Verdict(
        evidence=Evidence.APPLIED,
        kind=Kind.ACCEPTED,
        good=True,
        mismatch=instance_id != job.instance_id,
        instance_id=instance_id,
    )


def test_a_success_with_the_predicted_id_is_one() -> None:
    assert Calibration().check_id(JOB, accepted(ID)) == accepted(ID)


@pytest.mark.parametrize("hours", [8, -3, 5.5, 14, -12])
def test_ids_in_another_zone_are_learnt_from_the_first_success(hours: float) -> None:
    calibration = Calibration()
    later = Job(2, 3377, JOB.trigger_time_ms + 3_600_000)
    shifted = [
        Job(job.row, job.flow_id, job.trigger_time_ms + int(hours * 3_600_000)).instance_id
        for job in (JOB, later)
    ]

    assert calibration.check_id(JOB, accepted(shifted[0])).kind is Kind.ACCEPTED
    assert calibration.check_id(later, accepted(shifted[1], later)).kind is Kind.ACCEPTED
    assert calibration.instance_id(later) == shifted[1]
    assert calibration.check_id(JOB, accepted(ID)).anomaly


@pytest.mark.parametrize(
    "given_id",
    [
        "3377-20191122012400",  # the next minute: another row's
        "3377-20191122012344",  # with seconds
        "3377-201911220123",  # twelve digits: a scheduled instance
        "3377-201911220100",
        "3377-201911220800",  # of 08:00, which must not be read as 00:08, five quarters of an hour earlier
        "3377-20191123012300",  # a day later: no zone
        "3377-20191122153800",  # 14 hours and a quarter later, and earlier
        "3377-20191121110800",
        "3377-20191322012300",
        "3377-7",
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_success_with_an_id_that_does_not_fit_is_doubt(given_id: str, is_first: bool) -> None:
    """P3: two rows never get one ID; P30: the worst that an odd reply does is doubt."""
    calibration = Calibration()
    if not is_first:
        calibration.check_id(JOB, accepted(ID))

    verdict = calibration.check_id(JOB, accepted(given_id))

    assert (verdict.kind, verdict.evidence) == (Kind.DOUBTFUL, Evidence.UNKNOWN)
    assert verdict.anomaly
    assert not verdict.good
    assert verdict.instance_id is None
    assert given_id in verdict.message


def test_what_is_no_success_is_not_looked_at() -> None:
    refused = Verdict(evidence=Evidence.NOT_APPLIED, kind=Kind.REFUSED)

    calibration = Calibration()
    assert calibration.check_id(JOB, refused) is refused
    assert calibration.id_shift_s is None, "it teaches nothing"
    calibration.id_shift_s = 28800.0
    assert calibration.check_id(JOB, refused) is refused


def test_an_id_of_an_earlier_session_teaches_the_zone_or_nothing() -> None:
    calibration = Calibration()

    calibration.learn_id(JOB, "3377-7")
    assert calibration.id_shift_s is None
    calibration.learn_id(JOB, "3377-20191122092300")
    assert calibration.id_shift_s == 28800.0


@pytest.mark.parametrize("second_ms", [0, 59_999])
def test_before_any_success_ids_are_those_of_utc(second_ms: int) -> None:
    job = Job(1, 3377, 1574385780000 + second_ms)

    assert Calibration().instance_id(job) == ID == job.instance_id


@given(
    shifts=st.lists(st.sampled_from([0, 0, 15, 480, -480, 1, 840, 900, 1440]), min_size=2, max_size=6),
    minutes=st.lists(st.integers(0, 3000), min_size=6, max_size=6, unique=True),
)
def test_no_two_rows_succeed_with_one_id(shifts: list[int], minutes: list[int]) -> None:
    """P3: whatever IDs a gateway gives, in minutes off the right one."""
    calibration, ids = Calibration(), []
    for row, (shift, minute) in enumerate(zip(shifts, minutes, strict=False), 1):
        job = Job(row, 3377, JOB.trigger_time_ms + minute * 60_000)
        given_id = Job(0, 3377, job.trigger_time_ms + shift * 60_000).instance_id
        if calibration.check_id(job, accepted(given_id, job)).kind is Kind.ACCEPTED:
            ids.append(given_id)

    assert len(set(ids)) == len(ids)


# --- look-ups


def ok(data: Any) -> Reply:
    return Reply(status=200, code=0, success=True, data=data)


def refused(code: int | None, status: int = 200) -> Reply:
    return Reply(status=status, code=code, message="no")


DOWN = Reply(fault=Fault.TIMEOUT)


def entry(instance_id: str, **facts: Any) -> Mapping[str, Any]:
    return {"instanceId": instance_id, "flowId": int(instance_id.partition("-")[0]), "status": 1, **facts}


class Remote:
    """A gateway with instances, as odd as a test wants it."""

    ready = True

    def __init__(
        self,
        instances: Iterable[Mapping[str, Any]] = (),
        *,
        missing: Reply | None = None,
        get: Reply | None = None,
        page: Callable[[InstanceQuery, list[Mapping[str, Any]]], Reply] | None = None,
        base: int = 0,
        page_0: Reply | None = None,
        visible_at: float = 0.0,
    ) -> None:
        self.instances = list(instances)
        self.missing = missing or ok(None)  #: what Get says of an instance that it does not know
        self.get = get  #: what Get always says
        self.page = page  #: makes a page of what is listed, otherwise cut in pages of two
        self.base = base  #: number of the first page
        self.page_0 = page_0  #: what page 0 gives where they count from 1; as page 1 if not set
        self.visible_at = visible_at
        self.gets: list[str] = []
        self.queries: list[InstanceQuery] = []

    async def get_instance(self, instance_id: str) -> Reply:
        self.gets.append(instance_id)
        if self.get:
            return self.get
        visible = self.instances if asyncio.get_running_loop().time() >= self.visible_at else []
        return next((ok(each) for each in visible if each["instanceId"] == instance_id), self.missing)

    async def list_instances(self, query: InstanceQuery) -> Reply:
        self.queries.append(query)
        listed = [each for each in self.instances if each.get("type", 1) == query.type]
        if self.page:
            return self.page(query, listed)
        if query.page < self.base and self.page_0:
            return self.page_0
        start = 2 * max(query.page - self.base, 0)
        return ok({"flowInsts": listed[start : start + 2], "count": len(listed)})

    async def prepare(self) -> Reply:
        raise NotImplementedError

    def refuse_token(self, token: int) -> None:
        raise NotImplementedError

    def trigger(self, job: Job, answered: Answered) -> None:
        raise NotImplementedError

    async def current_time(self) -> Reply:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError


class Asked:
    """Look-ups of a remote, with the number of turns taken and of replies passed on."""

    def __init__(self, remote: Remote) -> None:
        self.turns = 0
        self.overheard = 0
        self.lookups = Lookups(remote, LoopClock(), self._turn, self._overhear)
        self.calibration = self.lookups.calibration

    async def _turn(self) -> None:
        self.turns += 1

    def _overhear(self, job: Job, reply: Reply) -> None:
        assert (job, type(reply)) == (JOB, Reply)
        self.overheard += 1


async def read(
    remote: Remote, first_sent_s: float | None = SENT_S, id_shift_s: float | None = None
) -> Reading:
    asked = Asked(remote)
    asked.calibration.id_shift_s = id_shift_s
    reading = await asked.lookups.read(JOB, first_sent_s)

    assert asked.turns == asked.overheard == len(remote.gets) + len(remote.queries)
    assert (reading.found is not None) + reading.absent + bool(reading.not_permitted) + bool(
        reading.unsure
    ) == 1
    return reading


OTHERS = [
    entry(f"{flow}-2019112201{minute}00", startTime=shown(SENT_S - 86400))
    for flow, minute in ((33770, 23), (13377, 23), (3377, 24))
]
MISSING = [ok(None), ok([]), ok({}), refused(62102), refused(99404, 404), refused(None, 404), refused(99500)]


async def test_get_finds_an_instance_by_its_predicted_id() -> None:
    remote = Remote([entry(ID, startTime="2026-11-03 10:00:04")])

    reading = await read(remote, id_shift_s=0.0)

    assert reading.found == Instance(ID, 3377, 1, "2026-11-03 10:00:04", "")
    assert remote.gets == [ID]
    assert remote.queries == []


async def test_an_instance_of_the_right_time_under_the_predicted_id_shows_what_ids_look_like() -> None:
    """P8: or that of the minute before could be ours for ever, and the row would end as unknown."""
    asked = Asked(Remote([entry("3377-20191122012200", startTime=shown(SENT_S)), entry(ID)]))
    assert (await asked.lookups.read(JOB, SENT_S)).found

    other = Asked(Remote([entry("3377-20191122012200", startTime=shown(SENT_S))]))
    assert (await other.lookups.read(JOB, SENT_S)).unsure
    other.lookups.calibration = asked.calibration
    assert (await other.lookups.read(JOB, SENT_S)).absent


async def test_before_ids_are_understood_the_list_confirms_what_get_found() -> None:
    """P3, F69: IDs in another zone make the ID predicted for one row that of another, hours away."""

    def of_another_time() -> Remote:
        return Remote([entry(ID)], page=lambda *_: ok({"flowInsts": [], "count": 0}))

    assert (await read(Remote([entry(ID)]))).found
    assert (await read(of_another_time())).absent
    assert (await read(of_another_time(), id_shift_s=0.0)).found


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize(
    ("base", "page_0"),
    [(0, None), (1, None), (1, refused(62102)), (1, refused(99400, 400)), (1, refused(None, 400))],
)
@pytest.mark.parametrize("before", [0, 1, 3])
async def test_the_list_finds_it_on_any_page_and_under_any_type(
    *, missing: Reply, kind: int, base: int, page_0: Reply | None, before: int
) -> None:
    """P7: pages from 0 or 1, page 0 refused or the same as page 1, among others that look alike."""
    wanted = entry(ID, type=kind)
    remote = Remote([*({**each, "type": kind} for each in OTHERS[:before]), wanted], base=base, page_0=page_0)
    remote.get = missing  # Get does not know it

    reading = await read(remote)

    assert reading.found is not None
    assert reading.found.instance_id == ID


@pytest.mark.parametrize("others", [0, 1, 2, 3])
@pytest.mark.parametrize(("base", "page_0"), [(0, None), (1, None), (1, refused(62102)), (1, ok([]))])
async def test_a_complete_list_without_the_id_is_absent(others: int, base: int, page_0: Reply | None) -> None:
    """P6: all three types are read to their end; names that merely look alike are not it."""
    remote = Remote(OTHERS[:others], base=base, page_0=page_0)

    assert await read(remote) == Reading(absent=True)
    assert {query.type for query in remote.queries} == {0, 1, 2}
    assert all(query.from_ms <= JOB.trigger_time_ms < query.to_ms for query in remote.queries)


def lying(query: InstanceQuery, listed: list[Mapping[str, Any]]) -> Reply:
    return ok({"flowInsts": listed[2 * query.page : 2 * query.page + 2], "count": min(1, len(listed))})


def empty_first(query: InstanceQuery, listed: list[Mapping[str, Any]]) -> Reply:
    return ok({"flowInsts": listed if query.page == 1 else [], "count": 0})


@pytest.mark.parametrize("page", [lying, empty_first])
async def test_a_count_that_is_too_small_ends_no_list(
    page: Callable[[InstanceQuery, list[Mapping[str, Any]]], Reply],
) -> None:
    """P6: F65. It is documented in two ways; only an empty page is the end."""
    wanted = Remote([*OTHERS, entry(ID)], page=page)

    assert (await read(wanted)).found is not None
    assert await read(Remote(OTHERS, page=page)) == Reading(absent=True)


@pytest.mark.parametrize(
    "bad",
    [
        DOWN,
        Reply(fault=Fault.CUT, status=200),
        ok(None),
        ok({}),
        ok("[]"),
        ok({"flowInsts": None, "count": 3}),
        ok([{"flowId": 3377}]),
        ok({"flowInsts": [*OTHERS, {"instanceId": None}]}),
        Reply(status=200, code=None, message="<html>"),
        refused(62109),
        refused(99500, 500),
        refused(None, 502),
        refused(None, 429),
        refused(None, 401),
    ],
)
@pytest.mark.parametrize(("type_", "number"), [(0, 0), (0, 1), (1, 0), (2, 1)])
async def test_a_list_that_is_not_complete_is_never_absent(bad: Reply, type_: int, number: int) -> None:
    """P6: one page that cannot be read, and nothing is said to be missing."""

    def page(query: InstanceQuery, listed: list[Mapping[str, Any]]) -> Reply:
        return bad if (query.type, query.page) == (type_, number) else ok(listed if query.page == 0 else [])

    reading = await read(Remote(OTHERS, page=page))

    assert reading.unsure
    assert not reading.absent


@pytest.mark.parametrize("code", [62102, 99400])
async def test_a_list_whose_every_page_is_refused_is_never_absent(code: int) -> None:
    """P6."""
    assert (await read(Remote(page=lambda *_: refused(code)))).unsure == str(code)


async def test_a_list_without_end_is_never_absent() -> None:
    """P6, P30: also not after very many pages."""
    remote = Remote(page=lambda query, _: ok([entry(f"33770-{query.page:014}")]))

    assert (await read(remote)).unsure == "the list has no end"
    assert len(remote.queries) <= PAGES


async def test_a_list_that_ignores_the_page_is_never_absent_and_soon_found_out() -> None:
    """P6, P30."""
    remote = Remote(page=lambda *_: ok(OTHERS))

    assert (await read(remote)).unsure == "the list gives the same again and again"
    assert len(remote.queries) <= 3


@pytest.mark.parametrize(
    "no", [refused(62103), refused(99403), refused(None, 403), refused(None, 404), refused(None, 501)]
)
async def test_look_ups_are_not_permitted_when_both_calls_say_so(no: Reply) -> None:
    """Design decision 7."""
    assert (await read(Remote(get=no, page=lambda *_: no))).not_permitted
    assert (await read(Remote(get=no))).absent
    assert (await read(Remote(get=DOWN, page=lambda *_: no))).unsure
    assert (await read(Remote(get=no, page=lambda *_: DOWN))).unsure
    assert (await read(Remote([entry(ID)], page=lambda *_: no))).found


async def test_a_gateway_that_is_down_says_nothing() -> None:
    """P6."""
    assert (await read(Remote(get=DOWN, page=lambda *_: DOWN))).unsure == "timeout"


@pytest.mark.parametrize("id_shift_s", [None, 0.0, 28800.0])
@pytest.mark.parametrize("strange_id", ["3377-20191122092300", "3377-20191122012344", "3377-7"])
@pytest.mark.parametrize("start_s", [5.0, 0.0, None])
async def test_before_ids_are_understood_a_strange_instance_may_be_ours(
    id_shift_s: float | None, strange_id: str, start_s: float | None
) -> None:
    """P6: the request may have come through, under an ID that we did not predict: so it is not absent."""
    sent_s = LoopClock().wall()
    start = {} if start_s is None else {"startTime": shown(sent_s + start_s)}

    reading = await read(Remote([entry(strange_id, **start)]), sent_s, id_shift_s)

    if id_shift_s is None:
        assert strange_id in reading.unsure
    else:
        assert bool(reading.found) is (Calibration.instance_id(_shifted(id_shift_s), JOB) == strange_id)
        assert not reading.unsure


def _shifted(id_shift_s: float) -> Calibration:
    calibration = Calibration()
    calibration.id_shift_s = id_shift_s
    return calibration


@pytest.mark.parametrize(
    "strange_id", ["3377-20191122092300", "13377-20191122012300", "33770-20191122012300"]
)
async def test_an_instance_that_cannot_be_ours_hides_nothing(strange_id: str) -> None:
    """P7: of another flow, from before our first send, or before there was one."""
    sent_s = LoopClock().wall()
    older = entry(strange_id, startTime=shown(sent_s - 3600))
    newer = entry(strange_id, startTime=shown(sent_s))

    assert (await read(Remote([older]), sent_s)).absent
    assert (await read(Remote([newer]), None)).absent
    assert (await read(Remote([newer]), sent_s)).absent is not strange_id.startswith("3377-")


# --- calibration


@virtually
@pytest.mark.parametrize("zone_h", [0, 8])  # UTC, and the zone of triggerTime
async def test_the_first_success_teaches_zone_and_what_get_says_of_a_missing_one(zone_h: float) -> None:
    clock = LoopClock()
    trigger_time = shown(JOB.trigger_time_ms / 1000, 8)
    remote = Remote([entry(ID, startTime=shown(clock.wall() + 4, zone_h), triggerTime=trigger_time)])
    asked = Asked(remote)

    await asked.lookups.calibrate(JOB, ID, clock.wall(), clock.monotonic())

    assert asked.calibration.get_is_enough
    assert asked.calibration.zone_s == zone_h * 3600
    assert asked.calibration.lag_s is not None
    assert asked.calibration.lag_s < 0.001
    assert asked.turns == asked.overheard == 2
    other = Job(2, 3377, JOB.trigger_time_ms + 60_000)
    assert other.instance_id not in remote.gets


@virtually
@pytest.mark.parametrize(("after_s", "zone_h"), [(4, 9), (-2, 9), (-154, None), (100, None)])
async def test_a_zone_that_nothing_else_is_shown_in_is_learnt_first_and_the_lag_from_another_success(
    after_s: float, zone_h: float | None
) -> None:
    """P6, F69: an instance from before would fit into some zone too, but hardly to the second."""
    clock = LoopClock()
    asked = Asked(Remote([entry(ID, startTime=shown(clock.wall() + after_s, zone_h or 9))]))
    asked.lookups.calibrating = True

    await asked.lookups.calibrate(JOB, ID, clock.wall(), clock.monotonic())

    assert asked.calibration.lag_s is None
    assert asked.calibration.zone_s == (None if zone_h is None else zone_h * 3600)
    assert not asked.lookups.calibrating
    if zone_h is not None:
        await asked.lookups.calibrate(JOB, ID, clock.wall(), clock.monotonic())
        assert asked.calibration.lag_s is not None


@virtually
async def test_an_instance_that_has_not_started_may_be_of_anybody_until_it_has() -> None:
    """P6: one that was there before shows at once, and would hide how far behind the look-ups are."""
    clock = LoopClock()
    remote = Remote([entry(ID, status=5)])
    asked = Asked(remote)
    calibrating = asyncio.ensure_future(asked.lookups.calibrate(JOB, ID, clock.wall(), clock.monotonic()))

    await asyncio.sleep(5.0)
    assert asked.calibration.lag_s is None
    remote.instances = [entry(ID, startTime=shown(clock.wall()))]
    await calibrating

    assert asked.calibration.lag_s == pytest.approx(0.0, abs=0.001)


@virtually
async def test_once_calibrated_get_alone_is_the_look_up() -> None:
    """Design decision 7: but only in exactly the form in which a missing instance was answered."""
    remote = Remote([entry(ID, startTime=shown(LoopClock().wall()))], missing=refused(62102))
    asked = Asked(remote)
    asked.calibration.learn_id(JOB, ID)
    await asked.lookups.calibrate(JOB, ID, LoopClock().wall(), 0.0)

    assert (await asked.lookups.read(JOB, SENT_S)).found
    remote.instances.clear()
    assert (await asked.lookups.read(JOB, SENT_S)).absent
    assert remote.queries == []
    remote.missing = DOWN
    assert (await asked.lookups.read(JOB, SENT_S)).unsure
    assert remote.queries == []
    remote.missing = ok(None)  # another form: the list has the word
    assert (await asked.lookups.read(JOB, SENT_S)).absent
    assert remote.queries


@virtually
async def test_the_lag_of_the_read_side_is_measured() -> None:
    """P7: "absent" is not believed before three times the lag."""
    asked = Asked(Remote([entry(ID, startTime=shown(LoopClock().wall()))], visible_at=5.0))

    await asked.lookups.calibrate(JOB, ID, LoopClock().wall(), 0.0)

    assert asked.calibration.lag_s is not None
    assert 5.0 <= asked.calibration.lag_s <= 7.0
    assert asked.calibration.get_finds


@virtually
@pytest.mark.parametrize("missing", [refused(62102), refused(None, 404)])
async def test_while_the_first_success_does_not_show_the_lag_is_not_known(missing: Reply) -> None:
    """P6: or a 62109 of these seconds would be found absent too early, and sent again."""
    asked = Asked(Remote([entry(ID, startTime=shown(LoopClock().wall()))], visible_at=40.0, missing=missing))
    calibrating = asyncio.ensure_future(asked.lookups.calibrate(JOB, ID, LoopClock().wall(), 0.0))

    await asyncio.sleep(39.0)
    assert asked.calibration.lag_s is None
    await calibrating

    assert asked.calibration.lag_s is not None
    assert asked.calibration.lag_s > 40.0


@virtually
async def test_a_success_that_never_shows_teaches_nothing_and_leaves_it_to_another() -> None:
    """P6: as long as the lag is not known, only the quarantine says "absent"."""
    asked = Asked(Remote([entry(ID)], visible_at=1e9))
    asked.lookups.calibrating = True

    await asked.lookups.calibrate(JOB, ID, 0.0, 0.0)

    assert asked.calibration.lag_s is None
    assert not asked.calibration.get_is_enough
    assert not asked.lookups.calibrating


@virtually
async def test_a_success_that_names_an_instance_from_before_teaches_nothing() -> None:
    """P3, P6: F66. It shows at once however far behind the look-ups are, and its start is of another day."""
    clock = LoopClock()
    asked = Asked(Remote([entry(ID, startTime=shown(clock.wall() - 86_400))]))

    for others_may_tell in (True, True, True, True, False):  # but not for ever
        asked.lookups.calibrating = True
        await asked.lookups.calibrate(JOB, ID, clock.wall(), clock.monotonic())
        assert asked.lookups.calibrating is not others_may_tell

    assert (asked.calibration.lag_s, asked.calibration.zone_s) == (None, None)
    assert not asked.calibration.get_is_enough


@virtually
async def test_a_gateway_that_does_not_answer_has_no_lag() -> None:
    asked = Asked(Remote(get=DOWN))

    await asked.lookups.calibrate(JOB, ID, 0.0, 0.0)

    assert asked.calibration.lag_s is None
    assert not asked.calibration.get_finds


@virtually
async def test_calibration_ends_at_once_where_get_is_not_permitted() -> None:
    remote = Remote(get=refused(None, 403))
    asked = Asked(remote)

    await asked.lookups.calibrate(JOB, ID, 0.0, 0.0)

    assert len(remote.gets) == 1
    assert not asked.calibration.get_is_enough


@virtually
@pytest.mark.parametrize("missing", [DOWN, refused(None, 502), refused(62103), refused(None, 403)])
async def test_what_is_not_said_by_the_service_teaches_nothing_about_missing_ones(missing: Reply) -> None:
    """P6: or every outage, and every lost permission, would be taken for "absent"."""
    asked = Asked(Remote([entry(ID)], missing=missing))

    await asked.lookups.calibrate(JOB, ID, 0.0, 0.0)

    assert asked.calibration.get_finds
    assert not asked.calibration.get_is_enough
