"""What became of many instances, seen with few calls: never a wrong status, whatever the lists do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
import time

from chase import chase, looking, told, truth
from hypothesis import given
from hypothesis import strategies as st
import pytest
from running import HOUR, T0, hourly, rig, single_faults

from bulk_trigger.errors import GatewayError
from bulk_trigger.following.targets import Followed, Target
from bulk_trigger.following.windows import FRONT, Window, plan_windows
from bulk_trigger.quantities import Rate

SHORT = "[durations]\nmedian_s = 0.05\nfail_rate = 0.4\n"
QUICK = '[latency]\nshape = "constant"\nmedian_ms = 1\n'


@pytest.mark.parametrize("fault", ["none", "drop", "repeat", "shuffle"])
@pytest.mark.parametrize("count", ["total", "page"])
@pytest.mark.parametrize("size", [100, 7])
async def test_no_status_is_ever_wrong_or_missing_whatever_the_pages_do(
    fault: str, count: str, size: int, tmp_path: Path
) -> None:
    scenario = f'page_fault = "{fault}"\ncount = "{count}"\nmax_page_size = {size}\n' + SHORT
    jobs = hourly(60, flows=6)

    async with rig(tmp_path, scenario) as ours:
        await ours.trigger(jobs)
        lookout = await chase(ours)

        assert told(lookout.instances) == truth(ours, jobs)


@pytest.mark.parametrize("api", ["v2.0", "v2.1"])
@pytest.mark.parametrize(
    "form",
    [
        "instance_type = 0\n",
        "instance_type = 2\nget_as_list = true\n",
        'page_base = 1\npage_zero = "same"\n',
        'timezone = "GMT-5"\nstart_timezone = "GMT+8"\n',
        'id_timezone = "GMT+8"\n',
        "clock_offset_s = -1000.0\ntimestamp_tolerance_s = 5000.0\n",
        "visible_after_s = 1.5\n",
    ],
)
async def test_all_documented_forms_are_understood(form: str, api: str, tmp_path: Path) -> None:
    jobs = hourly(12, flows=4)

    async with rig(tmp_path, form + SHORT) as ours:
        await ours.trigger(jobs, api=api)
        lookout = await chase(ours, api=api, reconcile_wait_s=10.0)

        assert Counter(told(lookout.instances).values()) == Counter(truth(ours, jobs).values())


async def test_many_instances_take_few_calls(tmp_path: Path) -> None:
    async with rig(tmp_path, SHORT) as ours:
        await ours.trigger([(flow, T0) for flow in range(1, 301)])
        before = len(ours.sandbox.ledger.calls)
        lookout = await chase(ours)

        calls = ours.sandbox.ledger.calls[before:]
        assert len(told(lookout.instances)) == 300
        assert len(calls) < 30
        assert sum(call.api == "get" for call in calls) <= 3


async def test_all_calls_stay_within_the_rate(tmp_path: Path) -> None:
    """P15."""
    async with rig(tmp_path, "max_page_size = 7\n" + SHORT) as ours:
        await ours.trigger(hourly(120, flows=40))
        before = len(ours.sandbox.ledger.calls)
        await chase(ours, rates=(Rate(6, 1.0),))

        at = sorted(call.mono for call in ours.sandbox.ledger.calls[before:])
        assert len(at) > 12
        assert all(later - first > 0.9 for first, later in zip(at, at[6:], strict=False))


@pytest.mark.parametrize("zone", ["GMT+0", "GMT+8", "GMT-5"])
async def test_an_older_instance_with_the_same_id_is_not_taken_for_ours(zone: str, tmp_path: Path) -> None:
    """The list that ran yesterday failed, and is triggered again: what failed then does not fail now."""
    older = "".join(
        f"[[instances]]\nflow = {flow}\ntrigger_time = {T0 + hour * HOUR}\nstatus = -1\n"
        for flow in range(3300, 3303)
        for hour in range(4)
    )
    jobs = hourly(12, flows=3)
    scenario = f'start_timezone = "{zone}"\nvisible_after_s = 1.0\n[durations]\nmedian_s = 0.1\n'

    async with rig(tmp_path, scenario + older) as ours:
        await ours.trigger(jobs)
        lookout = await chase(ours, reconcile_wait_s=10.0)

        assert told(lookout.instances) == dict.fromkeys(truth(ours, jobs), 1)


async def test_rows_that_share_an_id_are_told_apart_or_not_judged(tmp_path: Path) -> None:
    jobs = [(flow, T0 + second * 1000) for second in range(2) for flow in range(3300, 3320)]

    async with rig(tmp_path, SHORT) as ours:
        await ours.trigger(jobs, duplicates="send")
        lookout = await chase(ours)

        ends: dict[str, set[int]] = {}
        for each in ours.sandbox._service._instances.between(T0, T0 + HOUR, time.time()):
            ends.setdefault(each.instance_id, set()).add(each.end_status)
    assert {len(end) for end in ends.values()} == {1, 2}
    for one in lookout.instances:
        end = ends[one.instance_id]
        assert one.lost if len(end) == 2 else {one.status} == end


async def test_what_the_gateway_forgot_is_unknown_and_nothing_waits_for_it(tmp_path: Path) -> None:
    async with rig(tmp_path, SHORT) as ours:
        await ours.trigger(hourly(3, flows=3))
        instances = ours.sandbox._service._instances
        lost = instances._by_id.pop("3301-20240101000000")
        instances._by_hour[T0 // HOUR].remove(lost)
        lookout = await chase(ours)

    assert [each.word for each in lookout.instances] != ["unknown"] * 3
    assert [each.lost for each in lookout.instances] == [False, True, False]


async def test_the_time_is_over_before_the_instances_are(tmp_path: Path) -> None:
    async with rig(tmp_path, "[durations]\nmedian_s = 600.0\n") as ours:
        await ours.trigger(hourly(4, flows=2))
        lookout = await chase(ours, timeout_s=0.0)

    assert [each.word for each in lookout.instances] == ["running", "running", "wait", "wait"]


@pytest.mark.parametrize("lookup", ["forbidden", "403", "404", "down"])
async def test_without_lists_nothing_is_said(lookup: str, tmp_path: Path) -> None:
    async with rig(tmp_path, f'lookup = "{lookup}"\n') as ours:
        await ours.trigger(hourly(2))

        with pytest.raises(GatewayError):
            await chase(ours, patience_s=1.0)


async def test_faults_of_single_calls_cost_time_and_no_status(tmp_path: Path) -> None:
    faults = single_faults(
        "list",
        [
            ("code", ""),
            ("reset", ""),
            ("garbage", ""),
            ("code", "code = 1203"),
            ("status", 'status = 429\nheaders = { "Retry-After" = "1" }'),
            ("empty", ""),
        ],
    )
    jobs = hourly(12, flows=4)

    async with rig(tmp_path, SHORT + faults) as ours:
        await ours.trigger(jobs)
        lookout = await chase(ours, patience_s=30.0)

        assert told(lookout.instances) == truth(ours, jobs)


# --- windows


def followed(flow_id: int, at_ms: int, row: int) -> Followed:
    one = Followed(f"{flow_id}-{row}")
    one.targets.append(Target(row, flow_id, at_ms, at_ms))
    return one


def covers(window: Window, one: Followed) -> bool:
    return window.from_ms <= one.trigger_time_ms < window.to_ms and window.flow_id in {None, one.flow_id}


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 10**10)), max_size=300),
    st.sampled_from([None, 1, FRONT]),
)
def test_every_instance_at_the_front_of_its_flow_is_looked_at_once(
    jobs: list[tuple[int, int]], front: int | None
) -> None:
    waiting = [followed(flow_id, at_ms, row) for row, (flow_id, at_ms) in enumerate(jobs)]
    by_flow = {flow_id: [one for one in waiting if one.flow_id == flow_id] for flow_id, _ in jobs}

    windows = plan_windows(waiting, front)

    wanted = [one for window in windows for one in window.wanted]
    assert len(wanted) == len(set(wanted))
    assert set(wanted) == {one for group in by_flow.values() for one in group[:front]}
    assert all(covers(window, one) for window in windows for one in window.wanted)


def test_one_time_of_many_flows_is_one_list_and_a_month_of_few_flows_is_a_list_for_each() -> None:
    one_time = [followed(flow_id, T0, flow_id) for flow_id in range(1, 1000)]
    month = [followed(flow_id, T0 + hour * HOUR, hour) for flow_id in (1, 2, 3) for hour in range(744)]

    assert [window.flow_id for window in plan_windows(one_time, FRONT)] == [None]
    assert [window.flow_id for window in plan_windows(month, FRONT)] == [1, 2, 3]


async def test_an_instance_that_the_gateway_stumbles_over_does_not_hold_up_the_others(tmp_path: Path) -> None:
    fault = '[[faults]]\non = "get"\nkind = "code"\nflows = [3301]\n'
    hidden = "3301-20240101000000"
    async with rig(tmp_path, SHORT + fault) as ours:
        jobs = hourly(12, flows=4)
        await ours.trigger(jobs)
        by_hour = ours.sandbox._service._instances._by_hour
        by_hour[T0 // HOUR] = [each for each in by_hour[T0 // HOUR] if each.instance_id != hidden]
        lookout = await chase(ours, timeout_s=8.0, patience_s=30.0)

        ends = truth(ours, jobs)
    assert [each.instance_id for each in lookout.waiting] == [hidden]
    assert told(lookout.instances) == {each: end for each, end in ends.items() if each != hidden}


async def test_long_flows_that_have_ended_are_read_without_pauses(tmp_path: Path) -> None:
    async with rig(tmp_path, "[durations]\nmedian_s = 0.0\n") as ours:
        await ours.trigger(hourly(500, flows=2))
        async with looking(ours) as lookout:
            while await lookout.look(FRONT):
                pass

    assert not lookout.waiting
