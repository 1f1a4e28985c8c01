"""`plan --missing` and `plan --failed` on the command line: from an outage to a finished run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
import csv
from datetime import datetime
import json
from pathlib import Path
import shutil
import signal
import time

from command import PATIENCE_S, Place
import pytest

from bulk_trigger.cli import main
from bulk_trigger.sandbox import Ledger, Scenario
from bulk_trigger.sandbox.history import remember

SAMPLES = Path(__file__).parents[2] / "samples"
NIGHT = ("--from", "2024-03-11T22:00+08:00", "--to", "2024-03-12T08:00+08:00")
SEED = 1
BAD = {-1: "fail", 4: "internal-error", 7: "timeout", 8: "cancel"}
HOUR_MS = 3_600_000


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLES / "outage.toml", tmp_path)
    shutil.copy(SAMPLES / "flows.txt", tmp_path)
    return Place(tmp_path)


def what_happened() -> tuple[set[tuple[int, int]], dict[tuple[int, int], str]]:
    """The holes and the failures of the night, from the sandbox's own memory."""
    first, last = (int(datetime.fromisoformat(text).timestamp() * 1000) for text in NIGHT[1::2])
    scenario = Scenario.load(SAMPLES / "outage.toml")
    known = {(each.flow, each.trigger_time): each.status for each, _ in remember(scenario.history, SEED)}
    every = {(flow, ms) for flow in range(3377, 3387) for ms in range(first, last, HOUR_MS)}
    return every - known.keys(), {job: BAD[known[job]] for job in every & known.keys() if known[job] in BAD}


def jobs_in(text: str) -> list[tuple[int, int]]:
    return [(int(row["flowId"]), int(row["triggerTime"])) for row in csv.DictReader(text.splitlines())]


@contextmanager
def gateway(place: Place, *flags: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """A sandbox that stays: the flags and the environment with which it is reached."""
    command = (
        "sandbox",
        "--ledger",
        "ledger.jsonl",
        "--seed",
        str(SEED),
        "--scenario",
        "outage.toml",
        *flags,
    )
    with place.start(*command) as sandbox:
        assert sandbox.stdout is not None
        card = json.loads(sandbox.stdout.readline())
        yield (
            [
                "--gateway",
                card["url"],
                "--org-id",
                card["orgId"],
                "--user-id",
                card["userId"],
                "--rate",
                "none",
            ],
            {"BULK_TRIGGER_APP_KEY": card["appKey"], "BULK_TRIGGER_APP_SECRET": card["appSecret"]},
        )


def test_the_night_that_failed_is_found_triggered_again_and_not_found_a_second_time(place: Place) -> None:
    holes, failures = what_happened()
    missing = ["plan", "--missing", "--flows", "flows.txt", "--cron-from-flow", *NIGHT, "-o", "missing.csv"]
    failed = ["plan", "--failed", *NIGHT, "-o", "failed.csv"]
    assert len(holes) > 10
    assert set(failures.values()) == set(BAD.values())

    with gateway(place) as (target, environment):
        for name, command in (("missing.csv", missing), ("failed.csv", failed)):
            done = place.call(*command, *target, **environment)
            assert done.returncode == 0, done.stderr
            assert place.call("check", name).returncode == 0
        found = (place.directory / "missing.csv").read_text(), (place.directory / "failed.csv").read_text()
        for name in ("missing.csv", "failed.csv"):
            ran = place.call("run", name, "--reconcile-wait", "1s", *target, **environment)
            assert ran.returncode == 0, ran.stderr
        for command in (missing, failed):
            done = place.call(*command, "--force", *target, **environment)
            assert "0 rows" in done.stderr, done.stderr

    assert sorted(jobs_in(found[0])) == sorted(holes)
    assert {
        (int(row["flowId"]), int(row["triggerTime"])): row["failedStatus"]
        for row in csv.DictReader(found[1].splitlines())
    } == failures
    assert Ledger.read(place.directory / "ledger.jsonl").effects_by_job == Counter([*holes, *failures])


def test_both_together_are_one_list_in_order(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    holes, failures = what_happened()
    sandbox = ["--sandbox", "--scenario", "outage.toml", "--seed", str(SEED)]
    flags = ["--missing", "--failed", "--flows", "flows.txt", "--every", "1h"]

    assert main(["plan", *flags, *NIGHT, *sandbox]) == 0

    printed = capsys.readouterr()
    jobs = jobs_in(printed.out)
    assert sorted(jobs) == sorted([*holes, *failures])
    assert [ms for _, ms in jobs] == sorted(ms for _, ms in jobs)
    assert f"{len(holes)} of 100 times have no instance" in printed.err
    assert f"{len(failures)} times failed" in printed.err
    assert "never created" not in printed.err


def test_failures_can_be_chosen_by_flow_and_status(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    _, failures = what_happened()
    sandbox = ["--sandbox", "--scenario", "outage.toml", "--seed", str(SEED), "--format", "jsonl"]

    assert main(["plan", "--failed", "--flow", "3384", "--status", "fail,4", *NIGHT, *sandbox]) == 0

    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert {(row["flowId"], row["triggerTime"]) for row in rows} == {
        job for job, word in failures.items() if job[0] == 3384 and word in {"fail", "internal-error"}
    }
    assert all(row["failedInstance"].startswith("3384-2024031") for row in rows)
    assert "never created" in printed.err
    assert "--missing" in printed.err


def test_a_wrong_zone_is_not_taken_for_an_outage(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.write(
        "daily.toml",
        "[[history]]\nflows = [5]\nevery_s = 86400\n"
        "since = 2024-03-01T16:00:00Z\nuntil = 2024-04-01T00:00:00Z\n",
    )
    flags = ["--flow", "5", "--from", "2024-03-03", "--to", "2024-03-20", "--cron", "0 0 * * *"]
    sandbox = ["--sandbox", "--scenario", "daily.toml"]

    assert main(["plan", "--missing", *flags, *sandbox]) == 0
    assert "look again" in capsys.readouterr().err
    assert main(["plan", "--missing", *flags, "--timezone", "Asia/Shanghai", *sandbox]) == 0
    printed = capsys.readouterr()
    assert printed.out == "flowId,triggerTime\n"
    assert "look again" not in printed.err


def test_what_is_still_to_come_is_not_missing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--flow", "5", "--from", "2024-03-01", "--to", "2900-01-01", "--cron", "0 0 1 1 *"]

    assert main(["plan", "--missing", *flags, "--sandbox", "--timezone", "UTC"]) == 0

    printed = capsys.readouterr()
    assert max(ms for _, ms in jobs_in(printed.out)) < time.time() * 1000
    assert "not due yet" in printed.err


@pytest.mark.parametrize("fault", ["drop", "shuffle"])
@pytest.mark.parametrize("mode", [["--failed"], ["--missing", "--every", "10m"]])
def test_a_list_that_cannot_be_read_leaves_no_plan(
    fault: str, mode: list[str], place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = f'page_fault = "{fault}"\nmax_page_size = 20\n' + (SAMPLES / "outage.toml").read_text()
    place.write("bad.toml", scenario)
    flags = [*mode, "--flow", "3377", "--from", "2024-03-11", "--to", "2024-03-13"]

    assert main(["plan", *flags, "--sandbox", "--scenario", "bad.toml", "-o", "plan.csv"]) == 4

    assert "cannot be read completely" in capsys.readouterr().err
    assert not (place.directory / "plan.csv").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--missing", "--every", "1h"], "--flow 3377"),
        (["--missing", "--flow", "1"], "when are the flows due"),
        (["--failed", "--every", "1h"], "--every has no meaning"),
        (["--failed", "--status", "success"], "use fail"),
        (["--missing", "--flow", "1", "--every", "1h", "--status", "fail"], "needs --failed"),
    ],
)
def test_contradictions_are_told(
    flags: list[str], told: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *flags, *NIGHT, "--sandbox"]) == 2
    assert told in capsys.readouterr().err


def test_without_credentials_nothing_is_asked(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    target = ["--gateway", "https://127.0.0.1:9", "--org-id", "o", "--user-id", "u"]

    assert main(["plan", "--failed", *NIGHT, *target]) == 2
    assert "BULK_TRIGGER_APP_KEY" in capsys.readouterr().err


def test_an_interrupted_question_leaves_nothing(place: Place) -> None:
    command = ("plan", "--failed", *NIGHT, "-o", "plan.csv")
    place.write("silent.toml", '[[faults]]\non = "list"\nkind = "hang"\n')
    with (
        gateway(place, "--scenario", "silent.toml") as (target, environment),
        Place(place.directory, environment).start(*command, *target) as plan,
    ):
        assert plan.stderr is not None
        assert "asking" in plan.stderr.readline()
        time.sleep(0.5)
        plan.send_signal(signal.SIGINT)
        _, told = plan.communicate(timeout=PATIENCE_S)

    assert plan.returncode == 130
    assert "Traceback" not in told
    assert not (place.directory / "plan.csv").exists()


def test_waiting_for_a_gateway_that_is_down_is_told(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.write("down.toml", 'lookup = "down"\n')
    sandbox = ["--sandbox", "--scenario", "down.toml", "--patience", "1s"]

    assert main(["plan", "--failed", *NIGHT, *sandbox]) == 4

    told = capsys.readouterr().err
    assert told.count("trying again for up to 1.0s") == 1
    assert "no good reply for 1.0s" in told
