"""The oracle can say no: every kind of wrong, written into an otherwise honest ledger or result, is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from oracle import JobKey, assert_proven
import pytest
from running import hourly, rig

JOBS = hourly(12, flows=3)
Doctor = Callable[[list[str]], list[str]]


def _of(kind: str, lines: list[str], at: int = 0) -> int:
    """The place of the n-th line of a kind that concerns a trigger."""
    places = [n for n, line in enumerate(lines) if f'"kind":"{kind}"' in line and '"flowId"' in line]
    return places[at]


def _lost(lines: list[str]) -> list[str]:
    del lines[_of("effect", lines, 5)]
    return lines


def _twice(lines: list[str]) -> list[str]:
    return [*lines, lines[_of("effect", lines, 5)]]


def _phantom(lines: list[str]) -> list[str]:
    return [*lines, lines[_of("effect", lines)].replace('"triggerTime":', '"triggerTime":9')]


def _inverted(lines: list[str]) -> list[str]:
    first, later = _of("effect", lines, 0), _of("effect", lines, 9)
    lines[first], lines[later] = lines[later], lines[first]
    return lines


def _overlap(lines: list[str]) -> list[str]:
    first = _of("call", lines)
    head, _, done = lines[first].rpartition('"done":')
    lines[first] = f'{head}"done":9{done}'
    return lines


def _foreign_id(lines: list[str]) -> list[str]:
    place = _of("effect", lines, 3)
    lines[place] = lines[place].replace('"instanceId":"', '"instanceId":"7')
    return lines


@pytest.fixture
async def finished(tmp_path: Path) -> tuple[Path, Path]:
    """The run directory and the ledger of an honest run."""
    async with rig(tmp_path) as place:
        ending = await place.trigger(JOBS)
    assert ending.exit_code == 0
    assert_proven(place.directory, place.ledger, JOBS).assert_each_once()
    return place.directory, place.ledger


@pytest.mark.parametrize("doctor", [_lost, _twice, _phantom, _inverted, _overlap, _foreign_id])
async def test_a_ledger_that_tells_of_a_wrong_is_believed(
    finished: tuple[Path, Path], doctor: Doctor
) -> None:
    directory, ledger = finished
    ledger.write_text("\n".join(doctor(ledger.read_text().splitlines())) + "\n")

    with pytest.raises(AssertionError):
        assert_proven(directory, ledger, JOBS).assert_each_once()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(",succeeded,", ",failed,", id="rosy: failed, with an effect"),
        pytest.param(",3301,", ",3309,", id="a row of another flow"),
        pytest.param("\n12,", "\n11,", id="a row counted twice"),
    ],
)
async def test_results_that_contradict_the_ledger_are_not_believed(
    finished: tuple[Path, Path], old: str, new: str
) -> None:
    directory, ledger = finished
    results = directory / "results.csv"
    text = results.read_text()
    assert old in text
    results.write_text(text.replace(old, new, 1))

    with pytest.raises(AssertionError):
        assert_proven(directory, ledger, JOBS)


async def test_an_input_row_that_nobody_sent_is_missed(finished: tuple[Path, Path]) -> None:
    """P1: the input is the measure, not what the run knows of it."""
    directory, ledger = finished
    more: list[JobKey] = [*JOBS, (3300, 9)]

    with pytest.raises(AssertionError):
        assert_proven(directory, ledger, more)
