"""Whole histories of the engine in a simulated world: thousands of seeds, each with its own job list,
settings, gateway, network, disk, faults, crashes and operator. What must hold afterwards is read from the
world's record.

    python -m pytest tests/simulation                         the seeds of every change
    python -m pytest tests/simulation --seeds 1000000         the long form
    python -m pytest tests/simulation --seed 4711             one history again, told call by call
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from checks import check
from drawing import draw
import pytest
from sabotage import SABOTAGES
from story import tell
from survey import Survey, fingerprint, played, survey, workers

T = TypeVar("T", str, int)
ENOUGH = 2000  #: histories, for the least counts below
WITHIN = 300  #: histories in which a broken engine has to be found out
pytestmark = pytest.mark.timeout(
    0
)  # how long it takes is a matter of `--seeds` and of the machine; each run ends

#: What must have happened at least so often in `ENOUGH` histories, counted by the world: blows to triggers,
#: look-ups and token calls; connections that fail; the gateway's own life; deaths; disks; people.
LEAST = {
    **dict.fromkeys(
        [
            *(
                f"trigger: {what} {when}"
                for when in ("before", "after")
                for what in ("reset", "closed", "silence")
            ),
            *(
                f"trigger: {what} {when}"
                for when in ("before", "after")
                for what in ("cut", "62109", "69999", "99500")
            ),
            *(
                f"trigger: {what} {when}"
                for when in ("before", "after")
                for what in ("500", "502", "503", "504", "html")
            ),
            *(f"trigger: {what}" for what in ("late in silence", "late behind a 504", "late behind a reset")),
            *(
                f"trigger: {what}"
                for what in ("429", "401", "1203", "1001", "404", "425", "62104", "unwritten")
            ),
            "trigger: empty before",
            "trigger: empty after",
            "trigger: 62102 repeated before",
            "trigger: 62102 repeated after",
            *(
                f"lookup: {what}"
                for what in ("reset", "silence", "cut", "500", "429", "401", "1203", "62109", "html")
            ),
            *(f"token: {what}" for what in ("reset", "silence", "500", "1001", "empty")),
            *(f"dial: {what}" for what in ("refused", "unreachable", "unresolved", "black hole")),
            *(
                f"look-up: {what}"
                for what in ("down", "forbidden", "403", "404", "501", "behind the effects")
            ),
            *(f"killed while {what}" for what in ("resuming", "sending", "waiting", "looking up", "closing")),
            *(
                f"killed at a {what}"
                for what in ("turn", "statement", "send", "sent", "heard", "lookup", "end")
            ),
            "over the gateway's limit",
            "the gateway's limit changed",
            "token refused",
            "gateway crashed",
            "gateway down",
            "somebody else triggered it",
            "the network delivered it twice",
            "operator: drain",
            "operator: leave",
            "operator: cancel",
        ],
        20,
    ),
    **dict.fromkeys(
        [
            "trigger: 429 with Retry-After",
            "trigger: 503 with Retry-After before",
            "trigger: 503 with Retry-After after",
            "lookup: 429 with Retry-After",
            "lookup: 503 with Retry-After",
            "token: 429 with Retry-After",
            "trigger: 403",
            "trigger: 62101",
            "token: 1003",
            "trigger: id of another flow",
            "trigger: id of another day",
            "trigger: no id",
            "token expired",
            "dial: no certificate",
            "gateway forgot an accept",
            "power cut at a sync",
            "power cut at a write",
            "disk failed: write",
            "disk failed: sync",
            "the observer failed",
        ],
        5,
    ),
}
STATES = {"succeeded": 10_000, "failed": 500, "skipped": 500, "unknown": 500, "invalid": 50}
EXITS = {0: 500, 1: 200, 3: 50, 4: 500, 5: 200, 7: 20, 130: 50}


@pytest.fixture(scope="module")
def seeds(request: pytest.FixtureRequest) -> range:
    """The histories to play: all that are asked for, or the one."""
    one = request.config.getoption("seed")
    return range(request.config.getoption("seeds")) if one is None else range(one, one + 1)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """One process for each core."""
    with workers() as processes:
        yield processes


@pytest.fixture(scope="module")
def surveyed(seeds: range, pool: ProcessPoolExecutor) -> Survey:
    """All of them, played and checked."""
    found = survey(pool, seeds)
    print(found)  # noqa: T201 - shown by -s, and where a test fails
    return found


def test_whatever_happens_every_promise_holds(seeds: range, surveyed: Survey) -> None:
    """P1-P8, P9, P12, P13, P15, P16, P18-P21, P23, F2, F5, F14-F19, F21, F27, F29, F50-F59, F61-F70, F80:
    all of them at once, in any order, through any number of deaths.
    """
    if len(seeds) == 1:
        with played(draw(seeds[0])) as history:
            print(tell(history, check(history)))  # noqa: T201 - that is what was asked for

    assert surveyed.histories == len(seeds)
    assert not surveyed.findings, "\n".join(map(str, surveyed.findings[:20]))


def test_everything_that_can_go_wrong_did(seeds: range, surveyed: Survey) -> None:
    """Seeds that find nothing have to show that they did something; the world counts, not the engine."""
    if len(seeds) < ENOUGH:
        pytest.skip(f"only {len(seeds)} histories were asked for")

    assert missing(LEAST, surveyed.hits) == {}
    assert missing(STATES, surveyed.states) == {}
    assert missing(EXITS, surveyed.exits) == {}


def missing(least: dict[T, int], found: Counter[T]) -> dict[T, str]:
    """What happened less often than it should have."""
    return {what: f"{found[what]} of {n}" for what, n in least.items() if found[what] < n}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_broken_engine_is_found_out(seeds: range, pool: ProcessPoolExecutor, sabotage: str) -> None:
    """The same seeds and checks, with one safeguard of the engine taken away."""
    if len(seeds) == 1:
        pytest.skip("one history was asked for")

    found = survey(pool, range(WITHIN), sabotage, until_found=True)

    assert found.findings, f"{found.histories} histories did not notice that {sabotage}"


def test_the_same_seed_is_the_same_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """P32: call by call and byte by byte, also in another process with other hashes."""
    seeds = range(0, 400, 16)
    prints = []
    for hash_seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        with workers(1) as other:
            prints.append(list(other.map(fingerprint, seeds)))

    assert prints[0] == prints[1]
    assert len(set(prints[0])) == len(seeds)
