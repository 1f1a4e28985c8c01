"""The fuzzers (F119): they share the time of `--fuzz`; each input can be played again from seed and number.

pytest tests/input --fuzz 600              ten minutes of new inputs
pytest tests/input --fuzz 600 --seed 7     ten minutes of others
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from corpus import CORPUS
from fuzzed_lists import CSV_WORDS, GOOD_CSV, GOOD_JSONL, JSON_WORDS, read_csv, read_jsonl
import fuzzed_replies
import fuzzed_results
import fuzzed_runs
import fuzzed_settings
from havoc import Found, Havoc, Source, Target, failure, fuzz
import pytest


class Fuzzer(NamedTuple):
    """A target, where its inputs come from, and its share of the time."""

    target: Target
    make: Callable[[], Source]
    share: float


def small(form: str) -> list[bytes]:
    return [entry.make() for entry in CORPUS if entry.format == form and not entry.is_large]


FUZZERS = {
    "CSV": Fuzzer(read_csv, lambda: Havoc(small("csv"), CSV_WORDS, good=GOOD_CSV), 0.15),
    "JSON lines": Fuzzer(read_jsonl, lambda: Havoc(small("jsonl"), JSON_WORDS, good=GOOD_JSONL), 0.15),
    "replies and headers": Fuzzer(
        fuzzed_replies.receive, lambda: Havoc([], fuzzed_replies.WORDS, good=fuzzed_replies.GOOD), 0.2
    ),
    "settings": Fuzzer(
        fuzzed_settings.set_up, lambda: Havoc([], fuzzed_settings.WORDS, good=fuzzed_settings.GOOD), 0.15
    ),
    "results": Fuzzer(
        fuzzed_results.report, lambda: Havoc([], fuzzed_results.WORDS, good=fuzzed_results.GOOD), 0.15
    ),
    "run directories": Fuzzer(fuzzed_runs.look_and_resume, fuzzed_runs.Damage, 0.2),
}

#: What was found, with its story. (Lists of jobs that were found stand in the corpus.)
FOUND: dict[str, tuple[Target, bytes]] = {
    "a --gateway of bytes that are no text was accepted, and the run died while its header was written": (
        fuzzed_settings.set_up,
        fuzzed_settings.CUT * 2 + b"--gateway\nhttps://\xc3\n--org-id\no1\n--user-id\nu1",
    ),
    "an --org-id of such bytes, too": (
        fuzzed_settings.set_up,
        fuzzed_settings.CUT * 2 + b"--gateway\nhttps://a\n--org-id\n\xff\n--user-id\nu1",
    ),
    "a --gateway with an open bracket was a bug in bulk-trigger, not a mistake of the user": (
        fuzzed_settings.set_up,
        fuzzed_settings.CUT * 2 + b"--gateway\nhttps://[\n--org-id\no1\n--user-id\nu1",
    ),
    "a lone CR in a value broke its row of results.csv and failed.csv in two (Python before 3.13)": (
        fuzzed_results.report,
        b'{"flowId":8,"triggerTime":1574385824000,"n":"a\\rb"}\n' * 9,
    ),
    "a NUL in a value made a failed.csv that our own reader refused": (
        fuzzed_results.report,
        b'{"flowId":8,"triggerTime":1574385824000,"n":"a\\u0000b"}\n' * 9,
    ),
    "a NUL in a key, too": (
        fuzzed_results.report,
        b'{"flowId":8,"triggerTime":1574385824000,"\\u0000":1}\n' * 9,
    ),
}


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", FUZZERS)
def test_nothing_is_found_that_breaks_a_promise(name: str, request: pytest.FixtureRequest) -> None:
    """F119, P24, P25, P27, P30: no traceback, no hang, no changed value, and every line is accounted for."""
    fuzzer, seed = FUZZERS[name], request.config.getoption("seed")

    tried = fuzz(
        fuzzer.target,
        fuzzer.make(),
        seed=1 if seed is None else seed,
        seconds=fuzzer.share * request.config.getoption("fuzz"),
    )

    print(f"{name}: {tried} inputs")  # noqa: T201 - shown with -rP, or when it fails


@pytest.mark.parametrize("story", FOUND)
def test_what_was_found_stays_mended(story: str) -> None:
    """F119."""
    target, data = FOUND[story]

    target(data)


def test_the_fuzzer_finds_what_is_wrong_and_makes_it_small() -> None:
    """A fuzzer that finds nothing proves something only if it could."""

    def weak(data: bytes) -> None:
        assert b"=," not in data

    with pytest.raises(Found, match=r"input \d+ of --seed 3: b'=,'$"):
        fuzz(weak, Havoc(small("csv"), CSV_WORDS, good=GOOD_CSV), seed=3, seconds=60)


def test_a_hang_is_found_by_the_time_that_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("havoc.HANG_S", 0.05)

    def endless(_: bytes) -> None:
        while True:
            pass

    assert isinstance(failure(endless, b""), TimeoutError)


def test_an_input_can_be_made_again_from_its_two_numbers() -> None:
    havoc = Havoc(small("csv"), CSV_WORDS, good=GOOD_CSV)

    again = Havoc(small("csv"), CSV_WORDS, good=GOOD_CSV)

    inputs = [havoc.input(5, number) for number in range(800, 1200)]
    assert inputs == [again.input(5, number) for number in range(800, 1200)]
    assert len(set(inputs)) > 390
    assert inputs != [havoc.input(6, number) for number in range(800, 1200)]
