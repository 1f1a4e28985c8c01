"""`plan` on the command line: the list, what is said about it, and that `check` and `run` take it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from command import Place
import pytest

from bulk_trigger.cli import main
from bulk_trigger.sandbox import Ledger

MARCH = ("--flow", "3377", "--from", "2024-03-01", "--to", "2024-04-01")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_a_month_of_hours_goes_to_standard_output(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *MARCH, "--every", "1h"]) == 0
    printed = capsys.readouterr()

    rows = rows_of(printed.out)
    assert len(rows) == 744
    assert rows[0] == {"flowId": "3377", "triggerTime": "1709251200000"}
    assert "744 rows of 1 flow" in printed.err
    assert "37s or more" in printed.err
    assert not list(place.directory.iterdir())


def test_a_plan_is_what_check_and_run_take(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--flow", "3377", "--flow", "3378", "--from", "2024-03-01", "--duration", "2d"]
    assert main(["plan", *flags, "--cron", "0 5 * * *", "--timezone", "Asia/Shanghai", "-o", "a.csv"]) == 0
    assert main(["plan", *flags, "--every", "6h", "-o", "b.jsonl", "--business-date"]) == 0
    capsys.readouterr()

    for name, rows in (("a.csv", 4), ("b.jsonl", 16)):
        assert main(["check", name, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["toSend"], facts["duplicates"], facts["flows"]) == (rows, 0, 2)
        assert place.call("run", name, "--sandbox", "--run-dir", f"run-{name}").returncode == 0
        ledger = Ledger.read(place.directory / f"run-{name}" / "ledger.jsonl")
        assert len(ledger.effects) == rows
        assert set(ledger.effects_by_job.values()) == {1}


def test_what_is_said_is_true_for_programs_too(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--timezone", "Europe/Berlin", "--cron", "30 2 * * *", "--rate", "2/s", "--rate", "20/d"]
    assert main(["plan", *MARCH, *flags, "-o", "march.csv", "--log-format", "json"]) == 0
    facts = json.loads(capsys.readouterr().err)

    assert facts["rows"] == 31
    assert facts["rowsPerFlow"] == {"3377": 31}
    assert facts["firstTime"] == "2024-03-01T01:30:00.000Z"
    assert facts["lastTime"] == "2024-03-31T01:00:00.000Z"
    assert facts["timezone"] == "Europe/Berlin"
    assert facts["cadences"] == ["cron '30 2 * * *' (Unix) in Europe/Berlin"]
    assert facts["dst"] == [
        {"wall": "2024-03-31T02:30:00", "exists": "never", "planned": ["2024-03-31T01:00:00.000Z"]}
    ]
    assert facts["quotas"] == [{"rate": "20/d", "usedUpAfterSeconds": 9.5}]
    assert facts["estimate"] == {"seconds": 86400.0, "decidedBy": "--rate 20/d"}


def test_flows_come_from_files_as_well(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.write("flows.txt", "# mine\n3377\n\n3378\n")
    place.write("list.csv", "site,flow_id\nRudong,3379\nDafeng,3377\nRudong,3379\n")
    flags = ["--flows", "flows.txt", "--flows", "list.csv", "--flow", "1", "--from", "2024-03-01"]

    assert main(["plan", *flags, "--duration", "1h", "--every", "1h"]) == 0

    rows = rows_of(capsys.readouterr().out)
    assert [row["flowId"] for row in rows] == ["1", "3377", "3378", "3379"]


def test_the_day_of_the_data_is_the_day_before(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--cron", "0 0 5 * * ?", "--timezone", "Asia/Shanghai", "--business-date", "--format", "jsonl"]
    assert main(["plan", *MARCH, *flags]) == 0
    printed = capsys.readouterr()

    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert len(rows) == 31
    assert rows[0] == {"flowId": 3377, "triggerTime": 1709326800000, "businessDate": "2024-03-01"}
    assert rows[-1]["businessDate"] == "2024-03-31"
    assert "(Quartz)" in printed.err


@pytest.mark.parametrize("freq", ["0 0 0 * * ? *", "0 30 6 ? * 2-6"])
def test_the_schedule_is_asked_of_the_flow(
    freq: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write("freq.toml", f'timezone = "GMT+8"\n[flows]\nfreq = "{freq}"\nmissing = [9]\n')
    flags = ["--cron-from-flow", "--sandbox", "--scenario", "freq.toml"]

    assert main(["plan", *MARCH, *flags]) == 0
    asked = capsys.readouterr()
    assert main(["plan", *MARCH, "--cron", freq, "--timezone", "Asia/Shanghai"]) == 0

    assert asked.out == capsys.readouterr().out
    assert "in GMT+8" in asked.err
    assert main(["plan", *MARCH, "--flow", "9", *flags]) == 2
    assert "flow 9" in capsys.readouterr().err


def test_flows_may_have_schedules_of_their_own(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.write(
        "two.toml",
        '[[schedules]]\nflows = [5]\nfreq = "0 0 0/6 * * ?"\n[[schedules]]\nflows = [6]\nfreq = "soon"\n',
    )
    day = [
        "--from",
        "2024-03-01",
        "--duration",
        "1d",
        "--cron-from-flow",
        "--sandbox",
        "--scenario",
        "two.toml",
    ]

    assert main(["plan", "--flow", "5", "--flow", "3377", *day]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [row["flowId"] for row in rows].count("5") == 4
    assert len(rows) == 28
    assert main(["plan", "--flow", "5", "--flow", "6", *day]) == 2
    assert "the schedule of flow 6: cron 'soon'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--every", "1h", "--from", "2024-03-01", "--to", "2024-03-02"], "--flow 3377"),
        ([*MARCH], "when are the flows due"),
        ([*MARCH, "--every", "1h", "--cron", "* * * * *"], "only one of"),
        ([*MARCH, "--cron", "61 * * * *"], "'61 * * * *'"),
        ([*MARCH, "--every", "1h", "-o", "list.txt"], ".csv or .jsonl"),
        ([*MARCH, "--every", "1h", "-o", "list.csv", "--format", "jsonl"], "contradict"),
        ([*MARCH, "--every", "1h", "--timezone", "Mars/Olympus"], "Mars/Olympus"),
        ([*MARCH, "--every", "soon"], "duration 'soon'"),
        ([*MARCH, "--cron-from-flow"], "--gateway"),
        ([*MARCH, "--flows", "none.txt", "--every", "1h"], "none.txt"),
        ([*MARCH, "--flow", "0", "--every", "1h"], "--flow"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    flags: list[str], told: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *flags]) == 2

    printed = capsys.readouterr()
    assert told in printed.err
    assert not printed.out
    assert not list(place.directory.iterdir())


def test_a_file_that_exists_is_kept(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.write("march.csv", "mine")

    assert main(["plan", *MARCH, "--every", "1h", "-o", "march.csv"]) == 2
    assert (place.directory / "march.csv").read_text() == "mine"
    assert main(["plan", *MARCH, "--every", "1h", "-o", "march.csv", "--force"]) == 0
    assert len(rows_of((place.directory / "march.csv").read_text())) == 744


def test_the_settings_of_run_serve_plan_as_well(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """What is said there of a run's own affairs is not for a plan: its output least of all."""
    place.write(
        "bulk-trigger.toml",
        'timezone = "Asia/Shanghai"\nrate = ["7/s"]\non-failure = "abort"\noutput = "results.csv"\n',
    )

    assert main(["plan", *MARCH, "--cron", "0 5 * * *", "--log-format", "json", "-o", "list.csv"]) == 0
    facts = json.loads(capsys.readouterr().err)

    assert (facts["timezone"], facts["rates"], facts["output"]) == ("Asia/Shanghai", ["7/s"], "list.csv")
    place.write("bulk-trigger.toml", "speed = 3\n")
    assert main(["plan", *MARCH, "--every", "1h"]) == 2
    assert "unknown key 'speed'" in capsys.readouterr().err


def test_an_empty_plan_is_a_list_without_rows(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *MARCH, "--cron", "0 0 0 31 2 ?", "-o", "none.csv"]) == 0

    assert (place.directory / "none.csv").read_text() == "flowId,triggerTime\n"
    assert "0 rows of 1 flow" in capsys.readouterr().err
    assert main(["check", "none.csv"]) == 0


@pytest.mark.parametrize(
    ("day", "cron", "told"),
    [
        ("2026-03-29", "30 2 * * *", "02:30:00 does not exist in Europe/Berlin: 2026-03-29T03:00:00+02:00"),
        (
            "2026-03-29",
            "* * * * *",
            "02:00 to 02:59: 60 times do not exist in Europe/Berlin: 0 times planned",
        ),
        ("2026-03-29", "*/15 2-2 * * *", "02:00 to 02:45: 4 times do not exist in Europe/Berlin: 0 times"),
        ("2026-03-29", "1,2,3,4 2 * * *", "4 times do not exist in Europe/Berlin: 1 time planned"),
        ("2026-10-25", "* * * * *", "60 times come twice in Europe/Berlin: 120 times planned"),
        ("2026-10-25", "0 2 * * *", "02:00:00 comes twice in Europe/Berlin: 2026-10-25T02:00:00+02:00\n"),
    ],
)
def test_what_the_clock_did_is_said(
    day: str, cron: str, told: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--from", day, "--duration", "1d", "--timezone", "Europe/Berlin", "--cron", cron]

    assert main(["plan", "--flow", "1", *flags]) == 0

    clock = [line for line in capsys.readouterr().err.splitlines(keepends=True) if "  clock  " in line]
    assert len(clock) == 1
    assert told in clock[0]
