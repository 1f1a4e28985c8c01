"""`check`: it says what `run` would do, and does nothing."""

from __future__ import annotations

import json
from pathlib import Path

from command import Place
from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.cli import main
from bulk_trigger.cli.forecast import LATENCY_S, forecast
from bulk_trigger.quantities import Rate


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def test_a_good_list_is_counted_and_leaves_no_trace(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = place.jobs([(1, 0), (1, 1), (2, 5), (1, 3)])

    assert main(["check", jobs, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)

    assert facts["ok"]
    assert (facts["rows"], facts["toSend"], facts["flows"]) == (4, 4, 2)
    assert facts["longestFlow"] == {"flowId": 1, "rows": 3}
    assert facts["firstTime"] == "2024-01-01T00:00:00.000Z"
    assert facts["lastTime"] == "2024-01-01T00:05:00.000Z"
    assert [path.name for path in place.directory.iterdir()] == [jobs]


@pytest.mark.parametrize(
    ("text", "flags", "told"),
    [
        ("flowId,triggerTime\n1,1704067200000\nx,1\n", (), "jobs.csv:3: flowId: 'x'"),
        ("flowId,triggerTime\n1,1704067200000\n1,1704067200001\n", (), "UTC minute"),
        ("flowId,triggerTime\n1,170406", (), "jobs.csv"),
        ("", (), "empty"),
        ("a,b\n1,2\n", (), "flowId"),
    ],
)
def test_check_refuses_what_run_refuses_in_the_same_words(
    text: str, flags: tuple[str, ...], told: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """P24: one bad row, and nothing is sent."""
    place.write("jobs.csv", text)

    codes = main(["check", "jobs.csv", *flags]), main(["run", "jobs.csv", "--sandbox", *flags])
    printed = capsys.readouterr().err
    checked, ran = printed.split("error: ")[1:]

    assert codes == (2, 2)
    assert told in checked
    assert checked == ran
    assert not (place.directory / "runs").exists() or not list((place.directory / "runs").iterdir())


def test_bad_rows_and_duplicates_are_both_counted(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.write("jobs.csv", "flowId,triggerTime\n1,1704067200000\n1,1704067200001\nx,1704067200000\n")

    assert main(["check", "jobs.csv", "--json"]) == 2
    facts = json.loads(capsys.readouterr().out)

    assert not facts["ok"]
    assert (facts["invalid"], facts["duplicates"], facts["rows"]) == (1, 1, 3)
    assert main(["check", "jobs.csv", "--skip-invalid", "--duplicates", "skip"]) == 0
    assert "to send     1" in capsys.readouterr().out


def test_a_dry_run_is_a_check(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = place.jobs([(1, 0)])

    assert main(["check", jobs, "--sandbox"]) == 0
    checked = capsys.readouterr().out
    assert main(["run", jobs, "--sandbox", "--dry-run"]) == 0
    assert capsys.readouterr().out == checked
    assert not (place.directory / "runs").exists()


@pytest.mark.parametrize(
    ("rows", "longest", "rates", "in_flight", "seconds", "decided_by"),
    [
        (0, 0, (), 64, 0.0, "longest flow"),
        (101, 2, (Rate(20, 1.0),), 64, 5.0, "--rate 20/s"),
        (100, 100, (Rate(500, 1.0),), 64, 100 * LATENCY_S, "longest flow"),
        (6400, 1, (), 64, 100 * LATENCY_S, "64 calls"),
        (201, 1, (Rate(50, 1.0), Rate(100, 60.0)), 64, 120.0, "--rate 100/m"),
        (100, 1, (Rate(50, 1.0), Rate(100, 60.0)), 64, 1.98, "--rate 50/s"),
    ],
)
def test_the_forecast_names_what_decides_it(  # noqa: PLR0917 - a table
    rows: int, longest: int, rates: tuple[Rate, ...], in_flight: int, seconds: float, decided_by: str
) -> None:
    estimate = forecast(rows, longest, rates, in_flight)

    assert estimate.seconds == pytest.approx(seconds)
    assert decided_by in estimate.decided_by


@given(st.integers(0, 10**7), st.integers(1, 10**4), st.integers(1, 200))
def test_more_rows_never_take_less_time(rows: int, rate: int, in_flight: int) -> None:
    one, more = (forecast(n, 1, (Rate(rate, 1.0),), in_flight).seconds for n in (rows, rows + 1))

    assert one <= more
