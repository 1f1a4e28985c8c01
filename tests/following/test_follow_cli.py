"""`follow`, and `run --wait`: from the last trigger to how it all ended."""

from __future__ import annotations

import csv
import json
from pathlib import Path
import signal
import subprocess

from command import PATIENCE_S, Place, signals_as_usual
import pytest
from staying import calls_made, gateway, wait_for_calls

from bulk_trigger.cli import main
from bulk_trigger.sandbox import Ledger
from bulk_trigger.sightings import INSTANCES

COLUMNS = ["instanceStatus", "startedAt", "endedAt"]
HALF_FAIL = "[durations]\nmedian_s = 0.2\nfail_rate = 0.5\n"
ENDLESS = "[durations]\nmedian_s = 3600.0\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    signals_as_usual()
    return Place(tmp_path)


def results(place: Place, name: str = "r/results.csv") -> list[dict[str, str]]:
    return list(csv.DictReader((place.directory / name).read_text().splitlines()))


def test_a_run_that_waits_tells_how_each_instance_ended(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = place.jobs((flow, minute) for minute in range(3) for flow in (1, 2, 3, 4))
    place.write("s.toml", HALF_FAIL)

    code = main(
        ["run", jobs, "--sandbox", "--scenario", "s.toml", "--run-dir", "r", "--wait", "-o", "out.jsonl"]
    )

    assert code == 1
    rows = results(place)
    assert list(rows[0]) == [*list(rows[0])[:13], *COLUMNS, "site"]
    assert {row["instanceStatus"] for row in rows} == {"success", "fail"}
    assert all(row["sentAt"][:15] <= row["startedAt"] <= row["endedAt"] for row in rows)
    assert [json.loads(line)["instanceStatus"] for line in Path("out.jsonl").read_text().splitlines()] == [
        row["instanceStatus"] for row in rows
    ]
    assert "failed" in capsys.readouterr().err
    assert main(["verify", "r"]) == 0
    assert main(["export", "r", "-o", "again.csv"]) == 0
    assert Path("again.csv").read_bytes() == Path("r/results.csv").read_bytes()


def test_following_again_says_the_same(place: Place) -> None:
    jobs = place.jobs((flow, 0) for flow in range(1, 9))
    place.write("s.toml", HALF_FAIL)
    assert main(["run", jobs, "--sandbox", "--scenario", "s.toml", "--run-dir", "r"]) == 0
    assert main(["follow", "r"]) == 1
    before = Path("r/results.csv").read_bytes()

    assert main(["follow", "r"]) == 1

    assert Path("r/results.csv").read_bytes() == before
    Path("r", INSTANCES).write_text("row,flowInstanceId\nnonsense")
    assert main(["verify", "r"]) == 1
    assert main(["resume", "r", "--wait"]) == 1
    assert Path("r/results.csv").read_bytes() == before


def test_all_is_well_when_all_succeeded(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = place.jobs((flow, 0) for flow in range(1, 4))
    place.write("s.toml", "[durations]\nmedian_s = 0.1\n")

    assert main(["run", jobs, "--sandbox", "--scenario", "s.toml", "--run-dir", "r", "--wait", "-q"]) == 0
    assert "3 succeeded" in capsys.readouterr().err


@pytest.mark.parametrize("rejected", [1, 2])
def test_a_trigger_that_failed_and_an_instance_that_did_both_count(rejected: int, place: Place) -> None:
    jobs = place.jobs((flow, 0) for flow in (1, 2))
    place.write("s.toml", f"[flows]\nno_task = [{rejected}]\n[durations]\nmedian_s = 0.1\n")

    assert main(["run", jobs, "--sandbox", "--scenario", "s.toml", "--run-dir", "r", "--wait"]) == 1
    assert main(["follow", "r"]) == 0

    ends = [(row["status"], row["instanceStatus"]) for row in results(place)]
    assert sorted(ends) == [("failed", ""), ("succeeded", "success")]


def test_the_time_to_wait_is_over_first_and_the_next_command_is_named(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = place.jobs((flow, minute) for minute in range(2) for flow in (1, 2))
    place.write("s.toml", ENDLESS)
    flags = ["--sandbox", "--scenario", "s.toml", "--run-dir", "r"]

    assert main(["run", jobs, *flags, "--wait", "--wait-timeout", "500ms"]) == 7

    printed = capsys.readouterr().err
    assert "not all have ended" in printed
    assert "bulk-trigger follow r" in printed
    assert [row["instanceStatus"] for row in results(place)] == ["running", "running", "wait", "wait"]
    assert [row["endedAt"] for row in results(place)] == [""] * 4
    assert main(["verify", "r"]) == 0
    assert main(["resume", "r", "--wait", "--wait-timeout", "0s"]) == 7


def test_a_time_for_a_wait_that_was_not_asked_for_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = place.jobs([(1, 0)])

    assert main(["run", jobs, "--sandbox", "--run-dir", "r", "--wait-timeout", "1s"]) == 2
    assert "--wait" in capsys.readouterr().err
    assert not Path("r").exists()


def test_a_run_that_stopped_is_followed_as_far_as_it_came(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = place.jobs((1, minute) for minute in range(4))
    fault = '[[faults]]\nkind = "code"\ncode = 62101\nmessage = "unknown user"\ncalls = [3]\n'
    place.write("s.toml", fault + "[durations]\nmedian_s = 0.1\n")

    assert main(["run", jobs, "--sandbox", "--scenario", "s.toml", "--run-dir", "r", "--wait"]) == 4
    assert main(["follow", "r"]) == 0

    assert "2 rows of the run not done yet" in capsys.readouterr().err
    assert not Path("r/results.csv").exists()
    assert main(["export", "r", "-o", "part.csv"]) == 0
    assert [row["instanceStatus"] for row in results(place, "part.csv")] == ["success", "success", "", ""]


def test_a_follow_that_was_killed_or_interrupted_is_started_again(place: Place) -> None:
    jobs = place.jobs((flow, minute) for minute in range(3) for flow in (1, 2, 3))
    with gateway(place, "[durations]\nmedian_s = 1.0\nfail_rate = 0.3\n") as (flags, secrets):
        assert place.call("run", jobs, *flags, **secrets).returncode == 0
        for number in (signal.SIGKILL, signal.SIGINT):
            with place.start("follow", "r", stderr=subprocess.PIPE, **secrets) as process:
                wait_for_calls(place, "list", calls_made(place, "list") + 1)
                process.send_signal(number)
                assert process.wait(PATIENCE_S) == (-9 if number == signal.SIGKILL else 130)
            assert place.call("verify", "r").returncode == 0
        done = place.call("follow", "r", **secrets)

    assert done.returncode == 1, done.stderr
    assert {row["instanceStatus"] for row in results(place)} == {"success", "fail"}
    assert place.call("verify", "r").returncode == 0


def test_a_gateway_that_permits_no_list_is_said_and_costs_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = place.jobs([(1, 0)])
    place.write("s.toml", 'lookup = "forbidden"\n')
    assert main(["run", jobs, "--sandbox", "--scenario", "s.toml", "--run-dir", "r"]) == 0

    assert main(["follow", "r"]) == 4

    assert "does not permit to list" in capsys.readouterr().err
    assert [row["status"] for row in results(place)] == ["succeeded"]
    assert main(["verify", "r"]) == 0


def test_rows_that_run_again_are_followed_again(place: Place) -> None:
    jobs = place.jobs((flow, 0) for flow in (1, 2))
    fault = '[[faults]]\nkind = "code"\ncode = 62102\nflows = [2]\nfirst = 1\n'
    with gateway(place, fault + "[durations]\nmedian_s = 0.1\n") as (flags, secrets):
        assert place.call("run", jobs, *flags, "--wait", **secrets).returncode == 1

        again = place.call("resume", "r", "--rerun", "failed", "--wait", **secrets)

    assert again.returncode == 0, again.stderr
    assert [row["instanceStatus"] for row in results(place)] == ["success", "success"]
    assert place.call("verify", "r").returncode == 0


def test_waiting_begins_with_what_the_run_has_used_of_the_rate(place: Place) -> None:
    """P15: the run and the wait that follows it are one caller."""
    jobs = place.jobs((flow, 0) for flow in range(1, 16))
    with gateway(place, "[durations]\nmedian_s = 0.5\n") as (flags, secrets):
        flags[flags.index("100/s")] = "10/s"
        assert place.call("run", jobs, *flags, "--wait", **secrets).returncode == 0

    at = sorted(call.mono for call in Ledger.read(place.directory / "ledger.jsonl").calls)
    assert len(at) > 18
    assert all(later - first > 0.9 for first, later in zip(at, at[10:], strict=False))


def test_a_run_that_is_killed_while_it_waits_has_its_results_and_is_followed_later(place: Place) -> None:
    jobs = place.jobs((flow, 0) for flow in range(1, 6))
    with gateway(place, "[durations]\nmedian_s = 1.5\nsigma = 0.0\n") as (flags, secrets):
        with place.start("run", jobs, *flags, "--wait", stderr=subprocess.PIPE, **secrets) as process:
            wait_for_calls(place, "list", 1)
            process.kill()
            process.wait(PATIENCE_S)
        assert [row["status"] for row in results(place)] == ["succeeded"] * 5
        assert place.call("verify", "r").returncode == 0
        done = place.call("resume", "r", "--wait", **secrets)

    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stderr
    assert [row["instanceStatus"] for row in results(place)] == ["success"] * 5


@pytest.mark.parametrize("command", [["follow", "r"], ["cancel", "r", "--yes"]])
def test_without_credentials_nothing_is_done_and_nothing_written(command: list[str], place: Place) -> None:
    with gateway(place, "") as (flags, secrets):
        assert place.call("run", place.jobs([(1, 0)]), *flags, **secrets).returncode == 0
        before = sorted(path.name for path in (place.directory / "r").iterdir())
        done = place.call(*command)

    assert done.returncode == 2
    assert "BULK_TRIGGER_APP_KEY" in done.stderr
    assert sorted(path.name for path in (place.directory / "r").iterdir()) == before
