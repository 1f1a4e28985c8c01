"""`cancel`: what a run triggered is stopped, newest first, and nothing else is."""

from __future__ import annotations

import csv
import os
from pathlib import Path
import pty
import signal
import subprocess
import sys

from command import FIRST_MS, MINUTE_MS, PATIENCE_S, Place, signals_as_usual
import pytest
from running import single_faults
from staying import calls_made, gateway, wait_for_calls

from bulk_trigger.cli import main
from bulk_trigger.sandbox import Ledger
from bulk_trigger.sandbox.ledger import Cancelled

ENDLESS = "[durations]\nmedian_s = 3600.0\nsigma = 0.0\n"
SLOW = ENDLESS + '[latency]\nshape = "constant"\nmedian_ms = 60\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    signals_as_usual()
    return Place(tmp_path)


def cancelled(place: Place) -> list[dict[str, str]]:
    return list(csv.DictReader((place.directory / "r/cancelled.csv").read_text().splitlines()))


def in_ledger(place: Place, ledger: str = "ledger.jsonl") -> list[str]:
    events = Ledger.read(place.directory / ledger).events
    return [event.instance_id for event in events if isinstance(event, Cancelled)]


def run_in_sandbox(place: Place, scenario: str, rows: list[tuple[int, int]]) -> None:
    place.write("s.toml", scenario)
    flags = ["--sandbox", "--scenario", "s.toml", "--run-dir", "r"]
    main(["run", place.jobs(rows), *flags, "-q"])


def test_what_has_not_ended_is_cancelled_newest_first_and_follow_tells_it(place: Place) -> None:
    run_in_sandbox(place, ENDLESS, [(flow, minute) for minute in range(3) for flow in (1, 2)])

    assert main(["cancel", "r", "--yes"]) == 0

    rows = cancelled(place)
    assert [row["result"] for row in rows] == ["cancelled"] * 6
    assert all(row["cancelledAt"] for row in rows)
    order = in_ledger(place, "r/ledger.jsonl")
    assert sorted(order) == sorted(row["flowInstanceId"] for row in rows)
    for flow in ("1", "2"):
        own = [each for each in order if each.startswith(f"{flow}-")]
        assert own == sorted(own, reverse=True)
    assert main(["follow", "r"]) == 1
    results = list(csv.DictReader((place.directory / "r/results.csv").read_text().splitlines()))
    assert {row["instanceStatus"] for row in results} == {"cancel"}
    assert main(["verify", "r"]) == 0


def test_cancelling_again_changes_nothing(place: Place) -> None:
    run_in_sandbox(place, ENDLESS, [(1, 0), (2, 0)])
    assert main(["cancel", "r", "--yes"]) == 0
    before = in_ledger(place, "r/ledger.jsonl")

    assert main(["cancel", "r", "--yes"]) == 0

    assert in_ledger(place, "r/ledger.jsonl") == before
    assert [row["result"] for row in cancelled(place)] == ["cancelled"] * 2


def test_what_has_ended_is_left_alone(place: Place) -> None:
    run_in_sandbox(
        place, "[durations]\nmedian_s = 0.05\nfail_rate = 0.5\n", [(flow, 0) for flow in range(1, 9)]
    )
    main(["follow", "r"])

    assert main(["cancel", "r", "--yes"]) == 0

    assert {row["result"] for row in cancelled(place)} == {"ended"}
    assert {row["instanceStatus"] for row in cancelled(place)} == {"success", "fail"}
    assert in_ledger(place, "r/ledger.jsonl") == []


def test_only_what_the_run_created_is_cancelled(place: Place) -> None:
    """Another run of the same flow, and what the scheduler started, go on."""
    foreign = f"[[instances]]\nflow = 1\ntrigger_time = {FIRST_MS + 5 * MINUTE_MS}\nstatus = 2\n"
    with gateway(place, ENDLESS + foreign) as (flags, secrets):
        other = [*flags[:-1], "other"]
        assert place.call("run", place.jobs([(1, 1)], "o.csv"), *other, **secrets).returncode == 0
        assert place.call("run", place.jobs([(1, 0), (1, 2)]), *flags, **secrets).returncode == 0
        done = place.call("cancel", "r", "--yes", **secrets)

    assert done.returncode == 0, done.stderr
    assert in_ledger(place) == ["1-20240101000200", "1-20240101000000"]


def test_a_live_namesake_that_is_older_is_not_put_at_risk(place: Place) -> None:
    older = f"[[instances]]\nflow = 1\ntrigger_time = {FIRST_MS}\nstatus = 2\n"
    run_in_sandbox(place, ENDLESS + older, [(1, 0), (2, 0)])

    assert main(["cancel", "r", "--yes"]) == 1

    assert [row["result"] for row in cancelled(place)] == ["namesake", "cancelled"]
    assert in_ledger(place, "r/ledger.jsonl") == ["2-20240101000000"]


def test_without_a_terminal_and_without_consent_nothing_is_asked_and_nothing_done(place: Place) -> None:
    with gateway(place, ENDLESS) as (flags, secrets):
        assert place.call("run", place.jobs([(1, 0)]), *flags, **secrets).returncode == 0
        before = len(Ledger.read(place.directory / "ledger.jsonl").calls)
        done = place.call("cancel", "r", **secrets)

        assert done.returncode == 2
        assert "--yes" in done.stderr
        assert len(Ledger.read(place.directory / "ledger.jsonl").calls) == before
        assert not (place.directory / "r/cancelled.csv").exists()


@pytest.mark.parametrize(("answer", "code", "count"), [(b"n\n", 2, 0), (b"\n", 2, 0), (b"y\n", 0, 1)])
def test_a_person_is_asked(answer: bytes, code: int, count: int, place: Place) -> None:
    run_in_sandbox(place, ENDLESS, [(1, 0)])
    master, slave = pty.openpty()
    os.write(master, answer)
    with subprocess.Popen(
        [sys.executable, "-m", "bulk_trigger", "cancel", "r"],
        env=place._environment({"TERM": "dumb"}),
        stdin=slave,
        stderr=slave,
        stdout=slave,
    ) as process:
        os.close(slave)
        told = b""
        while b"cancelled" not in told:
            told += os.read(master, 4096)
        assert process.wait(PATIENCE_S) == code
    os.close(master)

    assert b"Cancel what has not ended of the 1 instance" in told
    assert len(in_ledger(place, "r/ledger.jsonl")) == count


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_cancel_that_was_killed_or_interrupted_goes_on(number: signal.Signals, place: Place) -> None:
    rows = [(flow, minute) for minute in range(10) for flow in range(1, 9)]
    with gateway(place, SLOW) as (flags, secrets):
        assert place.call("run", place.jobs(rows), *flags, **secrets).returncode == 0
        with place.start("cancel", "r", "--yes", stderr=subprocess.PIPE, **secrets) as process:
            wait_for_calls(place, "cancel", 10)
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == (-9 if number == signal.SIGKILL else 130)
        assert len(in_ledger(place)) < len(rows)
        if number == signal.SIGINT:
            assert {row["result"] for row in cancelled(place)} == {"cancelled", "left"}
        done = place.call("cancel", "r", "--yes", **secrets)

    assert done.returncode == 0, done.stderr
    assert [row["result"] for row in cancelled(place)] == ["cancelled"] * len(rows)
    assert len(in_ledger(place)) == len(set(in_ledger(place))) == len(rows)
    assert calls_made(place, "trigger") == len(rows)


def test_faults_and_faulty_pages_leave_nothing_behind(place: Place) -> None:
    faults = single_faults(
        "cancel",
        [
            ("code", ""),
            ("reset", 'when = "after"'),
            ("garbage", 'when = "after"'),
            ("close", ""),
            ("empty", ""),
        ],
    )
    pages = 'max_page_size = 5\npage_fault = "drop"\n'
    run_in_sandbox(
        place, pages + ENDLESS + faults, [(flow, minute) for minute in range(5) for flow in (1, 2, 3, 4)]
    )

    assert main(["cancel", "r", "--yes"]) == 0

    assert [row["result"] for row in cancelled(place)] == ["cancelled"] * 20
    assert len(in_ledger(place, "r/ledger.jsonl")) == 20


def test_what_the_gateway_refuses_is_told(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    fault = '[[faults]]\non = "cancel"\nkind = "code"\ncode = 62103\nmessage = "no privilege"\nflows = [2]\n'
    run_in_sandbox(place, ENDLESS + fault, [(1, 0), (2, 0)])

    assert main(["cancel", "r", "--yes"]) == 1

    assert [(row["result"], row["code"], row["message"]) for row in cancelled(place)] == [
        ("cancelled", "", ""),
        ("refused", "62103", "no privilege"),
    ]
    assert "no privilege" in capsys.readouterr().err


def test_a_cancellation_that_never_gets_a_good_reply_is_refused_after_some_tries(place: Place) -> None:
    fault = '[[faults]]\non = "cancel"\nkind = "code"\nflows = [2]\n'
    run_in_sandbox(place, ENDLESS + fault, [(1, 0), (2, 0)])

    assert main(["cancel", "r", "--yes"]) == 1

    assert [row["result"] for row in cancelled(place)] == ["cancelled", "refused"]


def test_a_run_without_instances_needs_no_consent(place: Place) -> None:
    run_in_sandbox(place, "[flows]\nno_task = [1]\n", [(1, 0)])

    assert main(["cancel", "r"]) == 0
    assert cancelled(place) == []


def test_a_run_that_is_being_followed_can_be_cancelled_and_the_follower_sees_it(place: Place) -> None:
    with gateway(place, ENDLESS) as (flags, secrets):
        assert place.call("run", place.jobs([(1, 0), (1, 1), (2, 0)]), *flags, **secrets).returncode == 0
        with place.start("follow", "r", stderr=subprocess.PIPE, **secrets) as follower:
            wait_for_calls(place, "list", 1)
            assert place.call("verify", "r").returncode == 0
            assert place.call("cancel", "r", "--yes", **secrets).returncode == 0
            assert follower.wait(PATIENCE_S) == 1

    results = list(csv.DictReader((place.directory / "r/results.csv").read_text().splitlines()))
    assert [row["instanceStatus"] for row in results] == ["cancel"] * 3
    assert [bool(row["startedAt"]) for row in results] == [True, False, True]
