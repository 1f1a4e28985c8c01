"""When calls may start: never more than asked in any window, and not noticeably less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
import time

from clock import LoopClock
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
import pytest

from bulk_trigger.limiter import Limiter
from bulk_trigger.ports import SystemClock
from bulk_trigger.quantities import Rate

pytestmark = pytest.mark.asyncio(loop_factories=["virtual"])

MINUTE, DAY = 60.0, 86400.0


def worst_excess(starts: Sequence[float], rate: Rate) -> int:
    """By brute force: how many starts too many the worst window [s, s + per_s) of that rate holds."""
    worst, last = 0, 0
    for first, start in enumerate(starts):
        while last < len(starts) and starts[last] - rate.per_s < start:
            last += 1
        worst = max(worst, last - first)
    return max(worst - rate.count, 0)


def limiter_of(*rates: Rate) -> Limiter:
    return Limiter(rates, LoopClock())


def now() -> float:
    return asyncio.get_running_loop().time()


async def start_calls(
    limiter: Limiter, seconds: float, wanted: int = 64, late: Callable[[int], float] = lambda _: 0.0
) -> list[float]:
    """Start what the limiter allows until `seconds` from now; `late` is a wait after each grant."""
    starts: list[float] = []
    grants = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                granted = await limiter.admit(wanted)
                limiter.started(granted)
                starts += [now()] * granted
                grants += 1
                if delay := late(grants):
                    await asyncio.sleep(delay)
    return starts


@pytest.mark.parametrize(
    ("rates", "seconds"),
    [
        ([Rate(1, 1.0)], 300.0),
        ([Rate(5, 1.0)], 200.0),
        ([Rate(20, 1.0)], 200.0),
        ([Rate(50, 1.0)], 100.0),
        ([Rate(150, 1.0)], 60.0),
        ([Rate(1000, 1.0)], 20.0),
        ([Rate(30_000, 1.0)], 4.0),
        ([Rate(10, 0.01)], 5.0),
        ([Rate(7, MINUTE)], 3600.0),
        ([Rate(20_000, DAY)], 2 * DAY),
        ([Rate(50, 1.0), Rate(100, MINUTE)], 1800.0),
        ([Rate(100, MINUTE), Rate(50, 1.0), Rate(1500, 3600.0)], 7200.0),
        ([Rate(1000, 1.0), Rate(20_000, MINUTE)], 120.0),
        ([Rate(20, 1.0), Rate(1200, MINUTE)], 300.0),
    ],
    ids=str,
)
async def test_no_window_holds_too_many_and_the_rate_is_reached(rates: list[Rate], seconds: float) -> None:
    """P15: exactly, for every rate at once; and what is asked is reached within one percent."""
    limiter = limiter_of(*rates)

    starts = await start_calls(limiter, seconds)

    assert [worst_excess(starts, rate) for rate in rates] == [0] * len(rates)
    assert len(starts) >= 0.99 * min(rate.per_second for rate in rates) * seconds


@pytest.mark.parametrize("wanted", [1, 3, 64, 10_000])
async def test_it_does_not_matter_how_many_are_asked_for_at_once(wanted: int) -> None:
    """P15."""
    rate = Rate(100, 1.0)

    starts = await start_calls(limiter_of(rate), 30.0, wanted)

    assert worst_excess(starts, rate) == 0
    assert len(starts) >= 0.99 * 3000


async def test_the_pace_is_even() -> None:
    """The shortest window is paced: no second of calls in one moment."""
    starts = await start_calls(limiter_of(Rate(1000, 1.0)), 5.0)

    tenths = [sum(start // 0.1 == tenth for start in starts) for tenth in range(1, 49)]
    assert max(tenths) <= 0.1 * 1000 + 60
    assert min(tenths) >= 0.1 * 1000 - 60


@pytest.mark.parametrize("rate", [Rate(20, 1.0), Rate(1000, 1.0), Rate(100, MINUTE)], ids=str)
async def test_who_asks_late_gets_no_burst(rate: Rate) -> None:
    """P15: after a stall of the caller no window holds more than its count."""
    limiter = limiter_of(rate, Rate(3 * rate.count, 4 * rate.per_s))

    starts = await start_calls(
        limiter, 30 * rate.per_s, late=lambda grants: 0.0 if grants % 20 else 2.5 * rate.per_s
    )

    assert worst_excess(starts, rate) == 0
    assert worst_excess(starts, Rate(3 * rate.count, 4 * rate.per_s)) == 0


async def test_a_caller_that_is_always_a_little_late_loses_no_rate() -> None:
    """Late wake-ups, as on a busy machine: the bucket makes up for them."""
    rate = Rate(1000, 1.0)

    starts = await start_calls(limiter_of(rate), 20.0, late=lambda grants: 0.003 * (grants % 2))

    assert worst_excess(starts, rate) == 0
    assert len(starts) >= 0.99 * 20_000


@budget(max_examples=60, deadline=None)
@given(data=st.data())
async def test_no_history_of_asking_breaks_a_window(data: st.DataObject) -> None:
    """P15, P16, P18: any rates, waits, pauses, cuts, grants handed back, calls of an earlier process."""
    windows = st.tuples(st.integers(1, 60), st.sampled_from([0.05, 1.0, 7.0, MINUTE]))
    rates = [
        Rate(count, per_s)
        for count, per_s in data.draw(
            st.lists(windows, min_size=1, max_size=3, unique_by=lambda window: window[1])
        )
    ]
    earlier = sorted(
        data.draw(st.lists(st.tuples(st.floats(0.0, 70.0), st.integers(1, 5)), max_size=5)), reverse=True
    )

    limiter, paused_until = limiter_of(*rates), -inf
    before = [(now() - age, count) for age, count in earlier]
    limiter.remember(earlier)
    starts: list[float] = []
    for _ in range(data.draw(st.integers(1, 25))):
        granted = await limiter.admit(data.draw(st.integers(1, 80)))
        assert now() >= paused_until
        returned = data.draw(st.integers(0, granted))
        limiter.give_back(returned)
        limiter.started(granted - returned)
        starts += [now()] * (granted - returned)
        match data.draw(st.sampled_from(["ask", "wait", "pause", "cut"])):
            case "wait":
                await asyncio.sleep(data.draw(st.sampled_from([0.0, 0.004, 0.3, 1.0, 9.0])))
            case "pause":
                seconds = data.draw(st.sampled_from([0.1, 2.0, 30.0]))
                limiter.pause(seconds)
                paused_until = max(paused_until, now() + seconds - 1e-6)
            case "cut":
                limiter.cut(data.draw(st.sampled_from([0.0, 3.0, 50.0])))
            case _:
                pass
    for rate in rates:  # what an earlier process sent too much is not ours, but nothing is added
        old = [at for at, count in before for _ in range(count)]
        assert worst_excess([*old, *starts], rate) <= worst_excess(old, rate)


@pytest.mark.parametrize("rate", [Rate(5, 1.0), Rate(50, 1.0), Rate(10, 0.01), Rate(3, 0.7)], ids=str)
async def test_waiting_never_spins(rate: Rate) -> None:
    """aiolimiter alone does at these rates, when a float residue makes it wake at the instant it sleeps."""
    waits: list[float] = []

    class Counting(LoopClock):
        def monotonic(self) -> float:
            waits.append(super().monotonic())
            return waits[-1]

    starts = await start_calls(Limiter([rate], Counting()), 100 * rate.per_s)

    assert len(starts) >= 90 * rate.count
    assert len(waits) < 20 * len(starts)


async def test_a_pause_holds_everything_back_and_is_never_shortened() -> None:
    """P18: nothing is sent before the stated time."""
    limiter = limiter_of(Rate(100, 1.0))
    limiter.pause(10.0)
    limiter.pause(1.0)

    assert limiter.paused_for() == pytest.approx(10.0)
    starts = await start_calls(limiter, 12.0)
    assert 10.0 <= min(starts) < 10.01
    assert limiter.paused_for() == 0.0


async def test_a_pause_reaches_who_is_waiting_already() -> None:
    """P18."""
    limiter = limiter_of(Rate(1, 1.0))
    await start_calls(limiter, 0.5)
    asyncio.get_running_loop().call_later(0.1, limiter.pause, 20.0)

    assert await limiter.admit(5) == 1
    assert now() >= 20.0


async def test_a_pause_holds_without_any_rate() -> None:
    """P18."""
    limiter = limiter_of()

    assert await limiter.admit(500) == 500
    limiter.pause(3.0)
    await limiter.admit(1)
    assert now() >= 3.0


async def test_a_cut_takes_a_fifth_and_the_way_back_is_slow_only_near_the_rate_that_was_refused() -> None:
    """F58, F59: to where it was cut in 15 s, along a cubic curve; beyond that 2 % of the ceiling a second."""
    limiter = limiter_of(Rate(100, 1.0))

    limiter.cut(measured=40.0)

    assert limiter.per_second(now()) == pytest.approx(80)
    assert limiter.per_second(now() + 5) == pytest.approx(100 - 20 * (2 / 3) ** 3)
    assert limiter.per_second(now() + 15) == pytest.approx(100)
    assert limiter.per_second(now() + 100) == 100
    await asyncio.sleep(5)
    refused = limiter.per_second(now())
    limiter.cut(measured=40.0)
    assert limiter.per_second(now()) == pytest.approx(0.8 * refused)
    assert limiter.per_second(now() + 10) == pytest.approx(refused * (1 - 0.2 / 27))
    assert limiter.per_second(now() + 15) == pytest.approx(refused)
    assert limiter.per_second(now() + 17) == pytest.approx(refused + 4)
    assert limiter.per_second(now() + 20) == 100


async def test_what_pauses_last_does_not_count_for_the_way_back_after_a_cut() -> None:
    """F58: or a pause longer than the way back undoes each cut, and the rate never comes down."""
    limiter = limiter_of(Rate(100, 1.0))

    limiter.cut(measured=40.0)
    limiter.pause(30.0)
    limiter.pause(20.0)  # within the first: it adds nothing
    await asyncio.sleep(30.0)
    assert limiter.per_second(now()) == pytest.approx(80)
    await asyncio.sleep(5.0)
    recovered = limiter.per_second(now())
    limiter.pause(10.0)
    await asyncio.sleep(10.0)

    assert limiter.per_second(now()) == pytest.approx(recovered) == pytest.approx(100 - 20 * (2 / 3) ** 3)


async def test_cuts_have_an_end() -> None:
    limiter = limiter_of(Rate(100, 1.0))
    slow = limiter_of(Rate(6, MINUTE))

    for _ in range(100):
        limiter.cut(measured=40.0)
        slow.cut(measured=0.0)

    assert limiter.per_second(now()) == pytest.approx(0.5)
    assert slow.per_second(now()) == pytest.approx(0.1)


async def test_after_a_cut_the_calls_really_start_more_slowly() -> None:
    limiter = limiter_of(Rate(100, 1.0))
    await start_calls(limiter, 3.0)
    limiter.cut(measured=100.0)

    starts = await start_calls(limiter, 10.0)

    assert len([start for start in starts if start < 4.0]) <= 90
    assert len(starts) == pytest.approx(1000 - 20 * 15 / 4 * (1 - (1 / 3) ** 4), rel=0.01)
    assert len(await start_calls(limiter, 10.0)) == pytest.approx(1000, rel=0.01)


async def test_without_a_rate_a_cut_starts_from_what_was_measured() -> None:
    limiter = limiter_of()
    assert limiter.asked == inf

    limiter.cut(measured=500.0)

    assert limiter.per_second(now()) == pytest.approx(400)
    assert limiter.per_second(now() + 60) == pytest.approx(500)
    assert len(await start_calls(limiter, 1.0)) < 450


async def test_without_a_rate_what_was_measured_over_hardly_any_calls_cuts_nothing() -> None:
    """Less than one call per second, at the start, says nothing about what the gateway can take."""
    limiter = limiter_of()

    limiter.cut(measured=0.99)
    assert limiter.asked == inf
    limiter.cut(measured=1.0)
    assert limiter.asked == 1.0


async def test_what_is_asked_is_the_rate_of_the_shortest_window_in_whatever_order_they_come() -> None:
    assert limiter_of(Rate(100, MINUTE), Rate(50, 1.0)).asked == 50.0
    assert limiter_of(Rate(50, 1.0), Rate(100, MINUTE)).asked == 50.0


async def test_without_a_rate_it_is_open_until_the_gateway_says_otherwise() -> None:
    assert limiter_of().is_open
    assert not limiter_of(Rate(1, 1.0)).is_open
    paused, cut = limiter_of(), limiter_of()
    paused.pause(5.0)
    assert not paused.is_open
    await asyncio.sleep(5.0)
    assert paused.is_open
    cut.cut(measured=100.0)
    assert not cut.is_open


async def test_calls_of_an_earlier_process_count() -> None:
    """P16: a restart does not refill a window."""
    rates = Rate(10, 1.0), Rate(100, MINUTE)
    limiter = limiter_of(*rates)
    limiter.remember([(70.0, 1000), (30.0, 80), (0.5, 4)])

    starts = await start_calls(limiter, MINUTE)

    assert len([start for start in starts if start < 30.0]) == 16
    assert len(starts) == 16 + 80 + 4  # they leave the window when they are a minute old
    assert worst_excess([*[-30.0] * 80, *[-0.5] * 4, *starts], rates[0]) == 70  # theirs, and only theirs
    assert worst_excess([*[-30.0] * 80, *[-0.5] * 4, *starts], rates[1]) == 0


async def test_more_than_the_window_holds_may_have_been_sent_before() -> None:
    """P16: the rate may be lower than it was."""
    limiter = limiter_of(Rate(10, MINUTE))
    limiter.remember([(40.0, 25), (20.0, 8)])

    assert await limiter.admit(10) <= 2
    assert now() >= 20.0


async def test_what_is_granted_counts_until_it_is_handed_back() -> None:
    """P15: between the grant and the start it is reserved, and does not grow old."""
    limiter, granted = limiter_of(Rate(5, 1.0)), 0
    while granted < 5:
        granted += await limiter.admit(5)
    waiting = asyncio.ensure_future(limiter.admit(5))

    await asyncio.sleep(30.0)
    assert not waiting.done()
    limiter.give_back(2)
    assert await waiting <= 2


async def test_a_reserved_call_counts_from_its_start() -> None:
    """P15."""
    limiter = limiter_of(Rate(1, 10.0))
    await limiter.admit(1)
    await asyncio.sleep(100.0)
    limiter.started()

    await limiter.admit(1)

    assert now() >= 110.0


async def test_starts_that_share_an_entry_leave_the_window_with_the_youngest() -> None:
    """P15: the window remembers starts in grains, and errs on the safe side."""
    limiter = limiter_of(Rate(2, MINUTE))
    await limiter.admit(1)
    limiter.started()
    await asyncio.sleep(0.004)
    await limiter.admit(1)
    limiter.started()
    youngest = now()
    await asyncio.sleep(MINUTE - 0.002)

    await limiter.admit(2)

    assert now() >= youngest + MINUTE


async def test_many_starts_take_little_memory() -> None:
    """P26: a window of a day does not remember every start of it."""
    limiter = limiter_of(Rate(10_000_000, DAY / 4))

    starts = await start_calls(limiter, 200.0, wanted=1000)

    assert len(starts) > 20_000
    assert len(limiter._windows[0]._entries) < 200.0 / (DAY / 4 / 4096) + 2


async def test_it_says_when_it_is_worth_asking_again() -> None:
    limiter = limiter_of(Rate(2, 10.0))
    await start_calls(limiter, 6.0)

    assert limiter.opens_at() == pytest.approx(10.0, abs=0.01)
    assert repr(limiter) == "<Limiter 0.2/s of 0.2/s>"


@pytest.mark.asyncio(loop_factories=["real", "uvloop"])
@pytest.mark.parametrize("rate", [Rate(20, 1.0), Rate(1000, 1.0)], ids=str)
async def test_waiting_costs_hardly_any_processor_time(rate: Rate) -> None:
    """On a real clock; on uvloop, whose timers move in milliseconds, aiolimiter's own waits take a core."""
    limiter = Limiter([rate], SystemClock())
    began, used = time.monotonic(), time.process_time()

    starts = 0
    while time.monotonic() - began < 0.5:
        granted = await limiter.admit(64)
        limiter.started(granted)
        starts += granted

    share = (time.process_time() - used) / (time.monotonic() - began)
    assert share < 0.3
    assert starts >= 0.5 * 0.5 * rate.count
