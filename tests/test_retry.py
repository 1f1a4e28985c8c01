"""What to do about a verdict: the whole table of decisions, written down a second time."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.model import Evidence, Kind, Scope, State, Verdict
from bulk_trigger.retry import (
    MAX_PAUSE_S,
    Decision,
    Pause,
    Reconcile,
    Release,
    Retry,
    Settle,
    StopLane,
    StopRun,
    backoff,
    decide,
    decide_absent,
    decide_undecided,
    pause_length,
)
from bulk_trigger.settings import On62109, OnFailure, OnUnknown, Settings

DOUBTS = {Kind.INTERNAL, Kind.REPEATED, Kind.DOUBTFUL}
LANE_FAILED = StopLane("flow stopped: an earlier row failed")
LANE_UNKNOWN = StopLane("flow stopped: an earlier row ended as unknown")


def settings(**changes: object) -> Settings:
    return Settings(**{"gateway": "sandbox", **changes})  # type: ignore[arg-type]  # a test's choice


def verdict(kind: Kind, **changes: object) -> Verdict:
    proof = {Kind.ACCEPTED: Evidence.APPLIED, **dict.fromkeys(DOUBTS, Evidence.UNKNOWN)}
    facts = {"evidence": proof.get(kind, Evidence.NOT_APPLIED), "kind": kind, "code": "c", "message": "m"}
    return Verdict(**{**facts, **changes})  # type: ignore[arg-type]  # a test's choice


def decision(
    of: Verdict,
    by: Settings,
    *,
    charged: int = 1,
    can_look_up: bool = True,
    retry_after_s: float | None = None,
    dice: float = 0.5,
) -> Decision:
    return decide(of, by, charged=charged, can_look_up=can_look_up, retry_after_s=retry_after_s, dice=dice)


def expected_fate(
    kind: Kind, on_62109: On62109, *, can_look_up: bool, is_left: bool, answered: bool
) -> object:
    """The same table in the words of `promises.md` 5 and the design's decisions 1, 2 and 8; dice 0.5."""
    again = Retry(0.5) if is_left else Settle(State.FAILED)
    risky = Retry(0.5, dup_risk=True) if is_left else Settle(State.FAILED, dup_risk=True)
    look_up = Reconcile(0.5 if answered else 0.0, 0.0)
    if kind is Kind.INTERNAL:
        if on_62109 is On62109.FAIL:
            return Settle(State.FAILED, dup_risk=True)
        return look_up if on_62109 is On62109.RECONCILE and can_look_up else risky
    return {
        Kind.ACCEPTED: Settle(State.SUCCEEDED),
        Kind.REFUSED: Settle(State.FAILED),
        Kind.TRANSIENT: again,
        Kind.UNREACHABLE: again,
        Kind.THROTTLED: Release(),
        Kind.TOKEN: Release(),
        Kind.REPEATED: Reconcile(look_up.after_s, 60.0) if can_look_up else Settle(State.UNKNOWN),
        Kind.DOUBTFUL: look_up if can_look_up else Settle(State.UNKNOWN),
    }[kind]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("on_62109", On62109)
def test_every_kind_of_reply_leads_where_the_table_says(kind: Kind, on_62109: On62109) -> None:
    """P6, P10: kind, policy, look-up, attempts and answeredness, in every combination."""
    by = settings(on_62109=on_62109, retries=1, on_unknown=OnUnknown.CONTINUE)
    for can_look_up, is_left, answered in product((True, False), repeat=3):
        # The second attempt waits for up to 2 s, so a dice of half as much gives the same delay.
        charged, dice = (1, 0.5) if is_left else (2, 0.25)

        found = decision(
            verdict(kind, answered=answered), by, charged=charged, can_look_up=can_look_up, dice=dice
        )

        assert found == Decision(
            expected_fate(kind, on_62109, can_look_up=can_look_up, is_left=is_left, answered=answered)  # type: ignore[arg-type]  # as above
        )


@given(
    kind=st.sampled_from(sorted(DOUBTS)),
    on_62109=st.sampled_from(On62109),
    can_look_up=st.booleans(),
    charged=st.integers(0, 9),
    answered=st.booleans(),
    scope=st.sampled_from(Scope),
)
def test_doubt_is_never_sent_again_without_a_look_up_or_the_users_word(
    *, kind: Kind, on_62109: On62109, can_look_up: bool, charged: int, answered: bool, scope: Scope
) -> None:
    """P6: but for 62109 where no look-up is to be had (decision 1), and then the row says so."""
    found = decision(
        verdict(kind, answered=answered, scope=scope),
        settings(on_62109=on_62109),
        charged=charged,
        can_look_up=can_look_up,
    ).fate

    assert not isinstance(found, Release)
    if isinstance(found, Retry):
        assert kind is Kind.INTERNAL
        assert on_62109 is On62109.RETRY or not can_look_up
        assert found.dup_risk


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_retries_are_attempts_after_the_first(retries: int) -> None:
    """P19: total sends are at most rows times attempts."""
    by = settings(retries=retries)

    sends = 1
    while isinstance(decision(verdict(Kind.TRANSIENT), by, charged=sends).fate, Retry):
        sends += 1

    assert sends == retries + 1
    for charged in range(1, retries + 1):
        assert decide_absent(by, charged=charged, resend_after_s=0).fate == Retry(0)
    assert decide_absent(by, charged=retries + 1, resend_after_s=0).fate == Settle(State.FAILED)


def test_a_refusal_of_a_flow_stops_its_lane_whatever_the_policies() -> None:
    for on_failure in OnFailure:
        found = decision(verdict(Kind.REFUSED, scope=Scope.FLOW), settings(on_failure=on_failure))

        assert found == Decision(Settle(State.FAILED), (StopLane("flow stopped: c m"),))


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.DOUBTFUL, Kind.TOKEN])
def test_what_concerns_everyone_stops_the_run_and_fails_no_row(kind: Kind) -> None:
    """Design decision 8."""
    found = decision(verdict(kind, scope=Scope.EVERYONE), settings())

    assert found.others == (StopRun("c m"),)
    assert found.fate != Settle(State.FAILED)


@pytest.mark.parametrize(
    ("kind", "changes", "lanes"),
    [
        (Kind.REFUSED, {}, ()),
        (Kind.REFUSED, {"on_failure": OnFailure.STOP_FLOW}, (LANE_FAILED,)),
        (Kind.REFUSED, {"on_failure": OnFailure.ABORT}, ()),  # that stops the run, which is the judge's
        (Kind.TRANSIENT, {"retries": 0, "on_failure": OnFailure.STOP_FLOW}, (LANE_FAILED,)),
        (Kind.INTERNAL, {"on_62109": On62109.FAIL, "on_failure": OnFailure.STOP_FLOW}, (LANE_FAILED,)),
        (Kind.DOUBTFUL, {}, (LANE_UNKNOWN,)),
        (Kind.DOUBTFUL, {"on_unknown": OnUnknown.CONTINUE}, ()),
    ],
)
def test_an_ending_stops_the_lane_as_the_policy_says(
    kind: Kind, changes: dict[str, object], lanes: tuple[StopLane, ...]
) -> None:
    """P13: an unresolved row blocks its flow by default."""
    assert decision(verdict(kind), settings(**changes), can_look_up=False).others == lanes


def test_an_undecided_look_up_ends_as_unknown_and_blocks_the_flow() -> None:
    """P6, P13."""
    assert decide_undecided(settings()) == Decision(Settle(State.UNKNOWN), (LANE_UNKNOWN,))
    assert decide_undecided(settings(on_unknown=OnUnknown.CONTINUE)) == Decision(Settle(State.UNKNOWN))


def test_a_row_that_is_absent_is_sent_again_not_before_its_time() -> None:
    assert decide_absent(settings(), charged=1, resend_after_s=41.5) == Decision(Retry(41.5))


@pytest.mark.parametrize(
    ("kind", "pause", "expected"),
    [
        (Kind.THROTTLED, True, (Pause(7.0, cut=True),)),
        (Kind.DOUBTFUL, True, (Pause(7.0, cut=False),)),
        (Kind.DOUBTFUL, False, ()),
    ],
)
def test_a_throttle_pauses_and_cuts_and_an_overload_only_pauses(
    kind: Kind, pause: bool, expected: tuple[Pause, ...]
) -> None:
    """P18: 429, and 503, which is doubt as well (decision 12)."""
    assert decision(verdict(kind, pause=pause), settings(), retry_after_s=7.0).others == expected


@given(tries=st.integers(0, 10_000), dice=st.floats(0, 1))
def test_a_backoff_is_jittered_doubled_and_bounded(tries: int, dice: float) -> None:
    assert 0 <= backoff(tries, dice) <= 30.0
    assert backoff(tries, dice) <= backoff(tries + 1, dice)
    assert backoff(tries, 0.0) == 0.0


def test_the_backoff_begins_at_a_second_and_ends_at_thirty() -> None:
    assert [backoff(tries, 1.0) for tries in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@given(hint=st.none() | st.floats(0, 1e9), in_a_row=st.integers(0, 10_000))
def test_a_pause_is_what_the_gateway_asked_for_within_limits(hint: float | None, in_a_row: int) -> None:
    """P18: nothing is sent before the stated time, clamped to a maximum."""
    length = pause_length(hint, in_a_row)

    assert min(hint or 0.0, MAX_PAUSE_S) <= length <= MAX_PAUSE_S
    assert length >= 1.0
    if (hint or 0.0) <= 1.0:
        assert length <= 30.0


def test_pauses_in_a_row_become_longer() -> None:
    assert [pause_length(None, n) for n in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert pause_length(12.0, 2) == 12.0
    assert pause_length(2.0, 3) == 8.0
    assert pause_length(1e9, 0) == 15 * 60
