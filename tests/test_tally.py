"""The numbers of a run while it runs."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.model import ENDINGS, NEXT, State
from bulk_trigger.run.tally import Tally, Wait


def tally(rows: int = 10, now: float = 100.0, **counts: int) -> Tally:
    found = {State[name.upper()]: count for name, count in counts.items()}
    return Tally(rows, found or {State.PENDING: rows}, 0, now)


@given(moves=st.lists(st.tuples(st.integers(0, 7), st.sampled_from(State)), max_size=80))
def test_every_row_is_counted_exactly_once(moves: list[tuple[int, State]]) -> None:
    """P1: whatever moves the rows make, the sums agree."""
    rows, counted = dict.fromkeys(range(8), State.PENDING), tally(8)

    for row, state in moves:
        if state in NEXT[rows[row]]:
            counted.moved(rows[row], state)
            rows[row] = state

    assert all(counted.counts[state] == list(rows.values()).count(state) for state in State)
    assert counted.ended == sum(state in ENDINGS for state in rows.values())
    assert counted.left == 8 - counted.ended


def test_many_rows_can_move_at_once() -> None:
    counted = tally(10)

    counted.moved(State.PENDING, State.SKIPPED, 7)

    assert (counted.left, counted.counts[State.SKIPPED]) == (3, 7)


def test_sends_are_in_flight_until_their_reply() -> None:
    counted = tally()
    counted.sent(retry=False)
    counted.sent(retry=True)
    counted.replied(0.05)

    assert (counted.sends, counted.retries, counted.in_flight) == (2, 1, 1)


def test_the_latency_follows_the_replies() -> None:
    counted = tally()
    for _ in range(500):
        counted.replied(2.0)

    assert counted.latency_s == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("ask_every", [1, 10, 100])
def test_the_rate_is_that_of_the_last_ten_seconds(ask_every: int) -> None:
    counted = tally(now=0.0)
    for n in range(1, 3001):  # a minute at 10/s, then a minute at 40/s
        counted.sends += 1
        now = n / 10 if n <= 600 else 60 + (n - 600) / 40
        if n % ask_every == 0:
            rate = counted.rate(now)
        if n == 600:
            assert rate == pytest.approx(10, rel=0.05)

    assert rate == pytest.approx(40, rel=0.05)
    assert len(counted._recent) < 30


def test_the_rate_falls_when_nothing_is_sent() -> None:
    counted = tally(now=0.0)
    assert counted.rate(0.0) == 0.0
    counted.sends = 100
    assert counted.rate(5.0) == pytest.approx(20)
    counted.rate(15.0)
    assert counted.rate(30.0) == 0.0


def test_the_time_left_follows_the_pace_of_this_session() -> None:
    counted = tally(100, now=1000.0, pending=60, succeeded=40)
    assert counted.eta_s(1010.0) is None

    counted.moved(State.PENDING, State.SUCCEEDED, 20)

    assert counted.eta_s(1010.0) == pytest.approx(20.0)
    assert counted.eta_s(1000.0) is None


def test_what_took_most_of_the_time_is_said_in_a_sentence() -> None:
    counted = tally()
    counted.waited(Wait.JOURNAL, 1.0)
    counted.waited(Wait.RATE, 6.0)
    counted.waited(Wait.RATE, 1.5)

    assert counted.bottleneck(10.0) == (
        "75% of the time went to the rate that you allowed; a higher --rate would make it faster"
    )


def test_one_flow_that_held_everything_up_is_named() -> None:
    counted = tally()
    for flow_id, seconds in ((7, 2.0), (9, 5.0), (7, 1.0)):
        counted.longest = (flow_id, 100)
        counted.waited(Wait.ORDER, seconds)

    assert counted.bottleneck(10.0) == (
        "80% of the time went to the order of flow 9; a higher --rate would not help"
    )


def test_no_flow_is_named_when_many_held_it_up() -> None:
    counted = tally()
    for flow_id in range(10):
        counted.longest = (flow_id, 100)
        counted.waited(Wait.ORDER, 1.0)

    assert counted.bottleneck(10.0) == (
        "100% of the time went to the order of the flows; a higher --rate would not help"
    )


def test_nothing_is_said_when_nothing_stands_out() -> None:
    counted = tally()
    assert counted.bottleneck(10.0) is None
    counted.waited(Wait.RATE, 1.9)
    assert counted.bottleneck(10.0) is None
    assert counted.bottleneck(0.0) is None


@pytest.mark.parametrize("wait", Wait)
def test_every_wait_has_its_sentence(wait: Wait) -> None:
    counted = tally()
    counted.waited(wait, 5.0)

    assert (counted.bottleneck(10.0) or "").startswith("50% of the time went to ")


def test_the_snapshot_is_plain_data_and_agrees_with_itself() -> None:
    """P1, P5."""
    counted = tally(10, pending=9, invalid=1)
    counted.sent(retry=False)
    counted.moved(State.PENDING, State.SENDING)
    counted.waiting_for = "the access token"

    found = json.loads(json.dumps(counted.snapshot(102.0)))

    assert found == {
        "rows": 10,
        "counts": {"pending": 8, "sending": 1, "invalid": 1},
        "left": 9,
        "sends": 1,
        "retries": 0,
        "lookups": 0,
        "inFlight": 1,
        "ratePerSecond": 0.5,
        "etaSeconds": None,
        "elapsedSeconds": 2.0,
        "waitingFor": "the access token",
    }
    assert sum(found["counts"].values()) == found["rows"]
