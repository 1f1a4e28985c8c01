"""How the gateway as a whole is doing: when to pause, how much to retry, when to give up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
import pytest

from bulk_trigger.health import Breaker, Budget, Patience
from bulk_trigger.model import Evidence, Kind, Verdict

GOOD = Verdict(evidence=Evidence.APPLIED, kind=Kind.ACCEPTED, good=True)
REFUSED = Verdict(evidence=Evidence.NOT_APPLIED, kind=Kind.REFUSED, good=True)
INTERNAL = Verdict(evidence=Evidence.UNKNOWN, kind=Kind.INTERNAL, code="62109")
TIMEOUT = Verdict(evidence=Evidence.UNKNOWN, kind=Kind.DOUBTFUL, answered=False, code="timeout")
UNREACHABLE = Verdict(evidence=Evidence.NOT_APPLIED, kind=Kind.UNREACHABLE, code="connection-refused")
NONSENSE = Verdict(evidence=Evidence.UNKNOWN, kind=Kind.DOUBTFUL, nonsense=True)
ANOMALY = Verdict(evidence=Evidence.UNKNOWN, kind=Kind.DOUBTFUL, anomaly=True)
THROTTLED = Verdict(evidence=Evidence.NOT_APPLIED, kind=Kind.THROTTLED, pause=True)
TOKEN = Verdict(evidence=Evidence.NOT_APPLIED, kind=Kind.TOKEN)


def opened_at(
    verdicts: list[Verdict], *, flows: int = 2, every_s: float = 0.2, lanes: int = 5, latency_s: float = 0.02
) -> int | None:
    """Which of these replies, counted from 1, opens a new breaker."""
    breaker = Breaker()
    for n, verdict in enumerate(verdicts, 1):
        if breaker.observe(verdict, n % flows, n * every_s, lanes_left=lanes, latency_s=latency_s):
            return n
    return None


@pytest.mark.parametrize(
    ("verdicts", "opens"),
    [
        ([TIMEOUT] * 9, None),
        ([TIMEOUT] * 12, 10),
        ([INTERNAL] * 12, 10),
        ([*[TIMEOUT] * 9, GOOD, *[TIMEOUT] * 9], None),
        ([*[TIMEOUT] * 9, REFUSED, *[TIMEOUT] * 12], 20),  # a business code is a good reply
        ([UNREACHABLE] * 2, None),
        ([UNREACHABLE] * 3, 3),
        ([TIMEOUT, *[UNREACHABLE] * 3], 4),
        ([NONSENSE] * 3, 3),
        ([TIMEOUT, *[NONSENSE] * 3], 4),
        ([UNREACHABLE, UNREACHABLE, TIMEOUT] * 3, None),
        ([UNREACHABLE, UNREACHABLE, GOOD] * 20, None),
        ([GOOD, *[UNREACHABLE] * 3], 4),
        ([NONSENSE, NONSENSE, TIMEOUT, NONSENSE, NONSENSE, NONSENSE], 6),
        ([ANOMALY, TIMEOUT, ANOMALY], 3),
        ([ANOMALY, GOOD, ANOMALY, GOOD], None),
        ([THROTTLED] * 50, None),  # these have pauses of their own
        ([TOKEN] * 50, None),
        ([UNREACHABLE, THROTTLED, UNREACHABLE, THROTTLED, UNREACHABLE], 5),
    ],
)
def test_the_breaker_opens_on_streaks_without_a_good_reply(
    verdicts: list[Verdict], opens: int | None
) -> None:
    """Design decisions 9 and 10."""
    assert opened_at(verdicts) == opens


def test_the_breaker_looks_at_ten_seconds_only() -> None:
    assert opened_at([TIMEOUT] * 100, every_s=1.1) == 10
    assert opened_at([TIMEOUT] * 100, every_s=1.2) is None
    breaker = Breaker()
    reasons = [breaker.observe(TIMEOUT, n, n // 5 * 10.0, lanes_left=5, latency_s=0.02) for n in range(10)]
    assert [bool(reason) for reason in reasons] == [False] * 9 + [True]
    assert opened_at([TIMEOUT] * 10, every_s=10 / 9 - 1e-9) == 10


def test_a_burst_of_quick_failures_waits_for_the_successes_that_are_still_to_come() -> None:
    assert opened_at([TIMEOUT] * 300, every_s=0.01) == 101
    assert opened_at([TIMEOUT] * 300, every_s=0.02, latency_s=1.0) == 151


def test_a_burst_after_a_good_reply_waits_as_the_first_one_did() -> None:
    """How long it went on is counted from the first failure after the last good reply."""
    breaker = Breaker()
    breaker.observe(TIMEOUT, 0, 0.0, lanes_left=5, latency_s=0.02)
    breaker.observe(GOOD, 0, 5.0, lanes_left=5, latency_s=0.02)

    opened = [breaker.observe(TIMEOUT, n % 2, 5.0, lanes_left=5, latency_s=0.02) for n in range(50)]

    assert set(opened) == {None}
    assert breaker.observe(TIMEOUT, 0, 6.0, lanes_left=5, latency_s=0.02)


def test_replies_that_take_long_to_fail_open_it_all_the_same() -> None:
    """A black hole: each batch of time-outs comes long after the one before it."""
    assert opened_at([TIMEOUT] * 100, every_s=0.3, latency_s=5.0) in {51, 52}


def test_one_flow_alone_says_nothing_about_the_gateway() -> None:
    """P14: a stuck flow does not stop the others, and the last lane goes on with ordinary attempts."""
    assert opened_at([TIMEOUT] * 100, flows=1) is None
    assert opened_at([TIMEOUT] * 100, lanes=1) is None
    assert opened_at([TIMEOUT] * 100, lanes=2) == 10


def test_an_open_breaker_says_why() -> None:
    breaker = Breaker()
    reasons = [breaker.observe(UNREACHABLE, 7, 0.0, lanes_left=1, latency_s=0.02) for _ in range(3)]

    assert reasons == [None, None, "the gateway cannot be reached (connection-refused)"]


def test_retries_cost_nothing_while_half_of_the_sends_have_a_good_reply() -> None:
    """Design decision 11: random 62109 at 30 % runs at full speed."""
    account = Budget(now=0.0)

    waits = []
    for n in range(3000):
        account.observe(good=n % 2 == 0, retry=n % 3 == 0, now=n / 100)
        if n % 2:
            waits.append(account.spend(n / 100))

    assert set(waits) == {0.0}


@given(replies=st.lists(st.booleans(), max_size=40), age=st.sampled_from([0.0, 10.0, 11.0, 500.0]))
def test_below_half_or_after_a_silence_retries_have_a_price(replies: list[bool], age: float) -> None:
    """P19: design decision 11; where nothing was heard for ten seconds, nothing is free."""
    account = Budget(now=0.0)
    for good in replies:
        account.observe(good=good, retry=True, now=1.0)

    waits = [account.spend(1.0 + age) for _ in range(11)]

    is_free = bool(replies) and age <= 10 and 2 * sum(replies) >= len(replies)
    assert (waits[-1] == 0.0) is is_free


@budget(max_examples=20, deadline=None)
@given(per_second=st.sampled_from([0.5, 20.0, 500.0, 5000.0]), silence=st.sampled_from([0.0, 11.0, 300.0]))
def test_a_dead_gateway_gets_a_tenth_more(per_second: float, silence: float) -> None:
    """P19: over ten thousand sends without one good reply, whatever pauses are between."""
    account = Budget(now=0.0)
    now, firsts, retries = 0.0, 0, 0

    for n in range(10_000):
        now += 1 / per_second + (silence if n % 1000 == 0 else 0.0)
        is_retry = account.spend(now) == 0.0
        retries += is_retry
        firsts += not is_retry
        account.observe(good=False, retry=is_retry, now=now)

    assert retries <= 0.1 * firsts + now + 1
    assert retries >= 0.1 * firsts - 10  # and it does get them: the run goes on


def test_the_budget_says_when_it_is_worth_asking_again() -> None:
    account = Budget(now=0.0)
    account.observe(good=False, retry=True, now=0.0)
    assert account.spend(0.0) == 0.0

    wait = account.spend(0.25)

    assert wait == pytest.approx(0.75)
    assert account.spend(0.25 + wait) == 0.0


def test_not_many_retries_are_saved_up() -> None:
    """P19: a long time without retries does not pay for a storm of them."""
    account = Budget(now=0.0)
    for n in range(1000):
        account.observe(good=False, retry=False, now=n * 1.0)

    assert sum(account.spend(1000.0) == 0.0 for _ in range(100)) == 10


def test_what_is_older_than_ten_seconds_is_forgotten_and_what_came_a_second_later_is_not() -> None:
    account = Budget(now=0.0)
    for _ in range(5):
        account.observe(good=False, retry=True, now=0.0)
    account.observe(good=True, retry=True, now=1.0)

    assert [account.spend(9.9) for _ in range(11)][-1] > 0
    assert [account.spend(10.5) for _ in range(11)][-1] == 0


def test_good_replies_of_long_ago_pay_for_nothing() -> None:
    account = Budget(now=0.0)
    for n in range(30):
        account.observe(good=True, retry=True, now=n * 0.1)
    for n in range(10):
        account.observe(good=n % 2 == 0, retry=True, now=20.0)

    assert [account.spend(20.0) for _ in range(11)][-1] == 0
    account.observe(good=False, retry=True, now=20.0)
    assert [account.spend(20.0) for _ in range(11)][-1] > 0


def test_the_budget_forgets_what_is_long_ago_and_takes_little_memory() -> None:
    """P26."""
    account = Budget(now=0.0)
    for n in range(10_000):
        account.observe(good=True, retry=False, now=n * 0.6)

    assert len(account._bins) < 25


def test_patience_ends_after_a_time_without_any_good_reply() -> None:
    patience = Patience(900.0)

    assert not patience.bad(100.0)
    assert not patience.bad(1000.0)
    assert patience.bad(1000.5)
    patience.good()
    assert not patience.bad(2000.0)
    assert not patience.bad(2900.0)


def test_pauses_that_the_gateway_asked_for_do_not_try_the_patience() -> None:
    """P18: a pause fails no row, and ends no run."""
    patience = Patience(60.0)
    patience.excuse(500.0)
    assert not patience.bad(0.0)
    patience.excuse(900.0)

    assert not patience.bad(901.0)
    assert not patience.bad(960.0)
    assert patience.bad(960.5)
