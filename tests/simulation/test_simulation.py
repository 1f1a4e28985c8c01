"""The whole engine in a simulated world: one seed, one history, and nothing in it may break a promise.

    python -m pytest tests/simulation                    2,000 seeds, as for every change
    python -m pytest tests/simulation --seeds 1000000    a million, for a long night
    python -m pytest tests/simulation --seed 12345       one again
"""

from __future__ import annotations

from blows import LOOKUP, TOKEN, TRIGGER
from seeds import FIRST, Found, play, play_on_all_cores
import pytest
from sabotage import SABOTAGES

ENOUGH = 2000  #: seeds that meet everything
LEAST = 3  #: times that each kind of fault is met in so many
BROKEN_SEEDS = 300  #: so many are enough to find any broken engine
DEATHS = ("sending", "waiting", "looking up", "closing", "resuming")
EXITS = {"0", "1", "3", "4", "5", "7", "130", "died"}
STATES = {"succeeded", "failed", "invalid", "skipped", "unknown"}


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> Found:
    """What the seeds of this run of the tests came to."""
    seed = request.config.getoption("seed")
    if seed is not None:
        return play([seed])
    return play_on_all_cores(range(FIRST, FIRST + request.config.getoption("seeds")))


@pytest.mark.timeout(0)  # a million seeds take a night
def test_no_history_breaks_a_promise(found: Found) -> None:
    """P1-P16, P18-P21, P23-P25, P30, P31, F21, F29, F50-F59, F61-F67, F70, F80: whatever the seed."""
    print(
        f"{found.histories} histories of {found.jobs} jobs, {found.sends} sends in {found.sessions} sessions, "
        f"{found.hours:.0f} simulated hours"
    )
    assert not found.problems, found.in_words()


def test_the_histories_meet_every_fault_every_end_and_every_death(found: Found) -> None:
    """A run that finds nothing wrong has to show that it did something. Counted by the world."""
    if found.histories < ENOUGH:
        pytest.skip(f"only {ENOUGH} seeds meet everything")
    wanted = [
        *(f"trigger: {name}" for name in TRIGGER),
        *(f"lookup: {name}" for name in LOOKUP),
        *(f"token: {name}" for name in TOKEN),
        *(f"killed while {what}" for what in DEATHS),
    ]

    assert {name: found.hits[name] for name in wanted if found.hits[name] < LEAST} == {}
    assert set(found.exits) >= EXITS
    assert set(found.states) >= STATES


def test_the_same_seed_is_the_same_history() -> None:
    """P32: to the byte, in another order and in another process."""
    seeds = range(FIRST, FIRST + 24)
    forward, backward = play(seeds), play(reversed(seeds))

    assert len(forward.digests) == len(seeds)
    assert forward.digests == backward.digests
    assert play_on_all_cores(seeds).digests == forward.digests


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_broken_engine_is_found_out(sabotage: str) -> None:
    """The simulation can fail: for each safeguard that is taken away, some seed soon finds it missing."""
    for start in range(FIRST, FIRST + BROKEN_SEEDS, 10):
        if play(range(start, start + 10), sabotage).problems:
            return
    pytest.fail(f"{BROKEN_SEEDS} seeds found nothing wrong, although {sabotage}")
