"""The trigger time of an instance, from what the gateway shows of it; what is missing, and what failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st
import pytest

from bulk_trigger.errors import SettingsError
from bulk_trigger.instances import BAD, Instance, Status
from bulk_trigger.planning.failed import KNOWN, find_failed, read_statuses
from bulk_trigger.planning.missing import SETTLING_MS, find_missing
from bulk_trigger.planning.moments import Past, learn_zone, trigger_ms

MINUTE_MS = 60_000
DIGITS = {14: "%Y%m%d%H%M00", 12: "%Y%m%d%H%M", 10: "%Y%m%d%H"}


def instance(at: datetime, digits: int, zone: timedelta, status: int = 1) -> Instance:
    return Instance(
        instance_id=f"3377-{at.strftime(DIGITS[digits])}",
        flow_id=3377,
        status=status,
        start_time="",
        trigger_time=(at + zone).strftime("%Y-%m-%d %H:%M:%S"),
    )


seconds = st.integers(10**9, 3 * 10**9).map(lambda s: datetime.fromtimestamp(s, UTC))
zones = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))


@given(seconds, st.sampled_from([14, 12]), zones)
def test_an_id_with_minutes_and_a_text_with_seconds_give_the_second(
    at: datetime, digits: int, zone: timedelta
) -> None:
    shown = instance(at, digits, zone)

    assert trigger_ms(shown, None) == int(at.timestamp()) * 1000
    assert learn_zone([shown]) == zone // timedelta(seconds=1)


@given(seconds, seconds, zones)
def test_an_hourly_id_takes_its_minute_from_the_text_in_the_zone_that_others_taught(
    at: datetime, other: datetime, zone: timedelta
) -> None:
    zone_s = learn_zone([instance(other, 14, zone), instance(at, 10, zone)])

    assert trigger_ms(instance(at, 10, zone), zone_s) == int(at.timestamp()) * 1000


@given(seconds, st.integers(-12, 14))
def test_without_a_teacher_a_zone_is_of_whole_hours_or_what_the_gateway_says(
    at: datetime, hours: int
) -> None:
    whole = timedelta(hours=hours)
    half = whole + timedelta(minutes=30)

    assert trigger_ms(instance(at, 10, whole), None) == int(at.timestamp()) * 1000
    assert trigger_ms(instance(at, 10, half), None, int(half.total_seconds())) == int(at.timestamp()) * 1000


@given(seconds, zones, zones)
def test_two_zones_teach_nothing(at: datetime, one: timedelta, other: timedelta) -> None:
    assume(one != other)

    assert learn_zone([instance(at, 14, one), instance(at, 12, other)]) is None


@pytest.mark.parametrize("instance_id", ["3377-20240311", "3377-2024W11", "3377-20241399000000", "daily"])
def test_an_id_of_another_form_needs_a_zone_that_was_learned(instance_id: str) -> None:
    strange = Instance(instance_id, 3377, 1, "", "2024-03-11 08:00:00")

    assert trigger_ms(strange, None, 8 * 3600) is None
    assert trigger_ms(strange, 8 * 3600) == 1_710_115_200_000
    assert trigger_ms(Instance(instance_id, 3377, 1, "", "soon"), 0) is None
    assert trigger_ms(Instance("3377-2024031108", 3377, 1, "", ""), 0) is None


def past(minute: int, status: int, *, flow: int = 1, digits: int = 10, start: str = "") -> Past:
    text = f"{flow}-{minute:0{digits}}"
    return Past(flow, minute * MINUTE_MS, Instance(text, flow, status, start, ""))


def test_what_has_any_instance_is_not_missing() -> None:
    due = {1: [0, 60_000, 120_000], 2: [0], 3: [30_000]}
    history = [past(0, 1), past(1, -1), past(7, 5), past(0, 8, flow=3)]

    missing = find_missing(due, history, 10**9)

    assert missing.times_ms == {1: [120_000], 2: [0], 3: []}
    assert (missing.due, missing.not_yet, missing.strangers) == (5, 0, [])


def test_what_is_not_due_yet_is_not_missing() -> None:
    missing = find_missing({1: [0, 60_000, 120_000]}, [], SETTLING_MS + 60_000)

    assert missing.times_ms == {1: [0, 60_000]}
    assert missing.not_yet == 1


def test_a_flow_whose_instances_are_at_other_times_is_named() -> None:
    """A wrong zone would make everything look missing, and trigger it all a second time."""
    due = {1: [0, 3_600_000], 2: [0]}

    assert find_missing(due, [past(30, 1), past(0, 1, flow=2)], 10**9).strangers == [1]


def test_a_time_that_failed_is_one_job_however_often_it_failed() -> None:
    history = [past(0, -1, start="2024-01-01 00:00:01"), past(0, 7, digits=14, start="2024-01-01 05:00:00")]

    failed = find_failed(history, BAD)

    assert [(job.flow_id, job.trigger_time_ms, job.more[1]) for job in failed.jobs] == [(1, 0, "timeout")]
    assert failed.triggered == 1


@pytest.mark.parametrize("better", [0, 1, 2, 3, 5, 6, 9])
def test_what_succeeded_since_or_has_not_ended_is_left_alone(better: int) -> None:
    """A list of failures that counts what was made good would trigger it twice."""
    failed = find_failed([past(0, -1), past(0, better, digits=14), past(1, -1)], BAD)

    assert [job.trigger_time_ms for job in failed.jobs] == [60_000]
    assert (failed.made_good, failed.live) == (1, int(better != 1))


@pytest.mark.parametrize("status", KNOWN)
def test_only_the_wanted_statuses_count(status: Status) -> None:
    history = [past(minute, each) for minute, each in enumerate((-1, 4, 7, 8, 10, 1, 0))]

    failed = find_failed(history, {status})

    assert [job.more for job in failed.jobs] == [
        (f"1-{KNOWN.index(status):010}", status.name.lower().replace("_", "-"))
    ]
    assert len(find_failed(history, BAD).jobs) == 4


def test_statuses_are_named_or_numbered() -> None:
    assert read_statuses("fail, internal-error,7") == {Status.FAIL, Status.INTERNAL_ERROR, Status.TIMEOUT}
    with pytest.raises(SettingsError, match="use fail, internal-error, timeout, cancel, skip"):
        read_statuses("success")
