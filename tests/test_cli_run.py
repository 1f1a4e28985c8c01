"""The commands as a person uses them: real processes against the sandbox."""

from __future__ import annotations

from collections import Counter
import contextlib
import csv
import json
import os
from pathlib import Path
import re
import signal
import stat
import subprocess

from command import FIRST_MS, MINUTE_MS, Place, signals_as_usual, wait_for_effects
import pytest

from bulk_trigger.sandbox import Ledger

SOME = [(flow, minute) for minute in range(5) for flow in (1, 2, 3)]
QUICK = ("--rate", "none", "--no-progress")
SILENT_ROW = '[[faults]]\nkind = "hang"\nwhen = "after"\nflows = [1]\nattempts = [1]\n'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    signals_as_usual()
    return Place(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def each_once(rows: list[tuple[int, int]]) -> Counter[tuple[int, int]]:
    """What the ledger has to show for these rows."""
    return Counter((flow, FIRST_MS + minute * MINUTE_MS) for flow, minute in rows)


def test_a_run_goes_through_and_everything_can_be_asked_about_it(place: Place) -> None:
    """P1, P5, P23: results, exit code, proof and export agree; a second run of the list is refused."""
    jobs = place.jobs(SOME)

    done = place.call("run", jobs, "--sandbox", *QUICK)
    (run,) = (place.directory / "runs").iterdir()
    here = str(run.relative_to(place.directory))

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert f"bulk-trigger resume {here}" in done.stderr
    assert "finished: 15 rows, 15 succeeded" in done.stderr
    assert Ledger.read(run / "ledger.jsonl").effects_by_job == each_once(SOME)
    assert mode(run) == 0o700
    assert {mode(path) for path in run.iterdir()} <= {0o600}
    results = list(csv.DictReader((run / "results.csv").read_text().splitlines()))
    assert [int(row["row"]) for row in results] == list(range(1, 16))
    assert {row["status"] for row in results} == {"succeeded"}

    status = json.loads(place.call("status", here, "--json").stdout)
    assert (status["state"], status["summary"]["counts"]["succeeded"]) == ("finished", 15)

    proof = json.loads(place.call("verify", here, "--json").stdout)
    assert (proof["ok"], proof["left"], len(proof["proven"])) == (True, 0, 4)

    exported = place.call("export", here, "-o", "-", "-o", "again.csv")
    assert [json.loads(line)["row"] for line in exported.stdout.splitlines()] == list(range(1, 16))
    assert (place.directory / "again.csv").read_bytes() == (run / "results.csv").read_bytes()

    (run / "results.csv").unlink()
    again = place.call("resume", here)
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert (place.directory / "again.csv").read_bytes() == (run / "results.csv").read_bytes()

    (run / "results.csv").write_text("changed")
    wrong = place.call("verify", here)
    assert wrong.returncode == 1
    assert "results.csv is not what the journal says" in wrong.stdout

    same = place.call("run", jobs, "--sandbox", *QUICK)
    assert same.returncode == 2
    assert f"bulk-trigger resume {here}" in same.stderr
    assert "--new" in same.stderr


def test_failures_give_1_and_the_next_command(place: Place) -> None:
    """P5: neither the exit code nor the last words are rosier than the rows."""
    place.write("scenario.toml", "[flows]\nno_task = [2]\n")

    done = place.call(
        "run", place.jobs(SOME), "--sandbox", "--scenario", "scenario.toml", "--run-dir", "r", *QUICK
    )

    assert done.returncode == 1
    assert "10 succeeded, 1 failed, 4 skipped" in done.stderr
    assert "62104" in done.stderr
    assert "bulk-trigger resume r --rerun failed,skipped" in done.stderr
    assert place.call("resume", "r").returncode == 1


def test_standard_output_has_the_results_and_nothing_else(place: Place) -> None:
    done = place.call(
        "run", place.jobs(SOME), "--sandbox", "--run-dir", "r", "-o", "-", "-o", "r.jsonl", *QUICK
    )
    lines = sorted(done.stdout.splitlines(), key=lambda line: int(json.loads(line)["row"]))

    assert done.returncode == 0
    assert lines == (place.directory / "r.jsonl").read_text().splitlines()


def test_a_job_list_may_come_from_a_pipe_and_is_resumed_without_it(place: Place) -> None:
    text = (place.directory / place.jobs(SOME)).read_text()
    with place.start("run", "-", "--format", "csv", "--sandbox", "--run-dir", "r", *QUICK) as process:
        _, told = process.communicate(text)

    assert process.returncode == 0, told
    assert place.call("resume", "r").returncode == 0


def test_a_reader_that_goes_away_ends_the_run_quietly(place: Place) -> None:
    """F75, P31: a closed pipe drains; what was sent is recorded, and `resume` does the rest once."""
    rows = [(flow, minute) for minute in range(20) for flow in range(1, 6)]
    jobs = place.jobs(rows)
    with place.start(
        "run", jobs, "--sandbox", "--rate", "50/s", "-o", "-", "--run-dir", "r", "--no-progress"
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["status"] == "succeeded"
        process.stdout.close()
        told = process.stderr.read()
        code = process.wait()

    assert code == 141
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    assert place.call("resume", "r", *QUICK).returncode == 0
    assert Ledger.read(place.directory / "r" / "ledger.jsonl").effects_by_job == each_once(rows)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_the_first_signal_drains_and_resume_does_the_rest(number: int, code: int, place: Place) -> None:
    """F75, P31, P7: nothing is lost and nothing is done twice."""
    rows = [(flow, minute) for minute in range(20) for flow in range(1, 6)]
    ledger = place.directory / "r" / "ledger.jsonl"
    with place.start("run", place.jobs(rows), "--sandbox", "--rate", "50/s", "--run-dir", "r") as process:
        wait_for_effects(ledger, 5)
        process.send_signal(number)
        _, told = process.communicate()

    assert process.returncode == code, told
    assert "stopping" in told
    assert "bulk-trigger resume r" in told
    assert json.loads(place.call("status", "r", "--json").stdout)["state"] == "stopped"
    assert json.loads(place.call("verify", "r", "--json").stdout)["ok"]
    partial = place.call("export", "r", "-o", "-").stdout.splitlines()
    assert {json.loads(line)["status"] for line in partial} == {"succeeded", "pending"}

    resumed = place.call("resume", "r", *QUICK)
    assert resumed.returncode == 0, resumed.stderr
    assert Ledger.read(ledger).effects_by_job == each_once(rows)
    assert json.loads(place.call("verify", "r", "--json").stdout)["ok"]


def test_the_second_signal_leaves_at_once_and_resume_settles_what_had_no_answer(place: Place) -> None:
    """F75, P31, P7: the row without an answer is looked up, not sent again."""
    rows = [(1, 0), (2, 0)]
    place.write("scenario.toml", SILENT_ROW)
    with place.start(
        *("run", place.jobs(rows), "--sandbox", "--scenario", "scenario.toml", "--run-dir", "r"),
        *("--drain", "1h", "--timeout", "1h"),
    ) as process:
        assert process.stderr is not None
        wait_for_effects(place.directory / "r" / "ledger.jsonl", 2)
        process.send_signal(signal.SIGINT)
        while "stopping" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
        code = process.wait()

    assert code == 130
    assert " without an answer" in told
    resumed = place.call("resume", "r", *QUICK)
    assert resumed.returncode == 0, resumed.stderr
    assert Ledger.read(place.directory / "r" / "ledger.jsonl").effects_by_job == each_once(rows)


def test_a_running_run_is_seen_by_status_and_refused_to_everybody_else(place: Place) -> None:
    """P22: one process per run."""
    rows = [(1, minute) for minute in range(200)]
    with place.start("run", place.jobs(rows), "--sandbox", "--rate", "5/s", "--run-dir", "r") as process:
        wait_for_effects(place.directory / "r" / "ledger.jsonl", 1)
        status = json.loads(place.call("status", "r", "--json").stdout)
        refused = [
            place.call(*call) for call in (("verify", "r"), ("export", "r", "-o", "-"), ("resume", "r"))
        ]
        process.kill()
        process.wait()

    assert (status["state"], status["pid"]) == ("running", process.pid)
    assert [call.returncode for call in refused] == [2, 2, 2]
    assert all(f"process {process.pid}" in call.stderr for call in refused)
    died = place.call("status", "r")
    assert died.stdout.startswith("died")
    assert "bulk-trigger resume r" in died.stdout


def test_the_log_is_json_to_its_last_line(place: Place) -> None:
    done = place.call("run", place.jobs(SOME), "--sandbox", "--rate", "none", "--log-format", "json")
    events = [json.loads(line) for line in done.stderr.splitlines()]

    assert done.returncode == 0
    assert [event["event"] for event in events] == ["start", "summary"]
    assert events[-1]["summary"]["counts"]["succeeded"] == 15


def test_a_file_name_need_not_be_utf_8(place: Place) -> None:
    name = os.fsdecode(b"jobs-\xff.csv")
    (place.directory / place.jobs(SOME)).rename(place.directory / name)

    done = place.call("run", name, "--sandbox", *QUICK)

    assert done.returncode == 0, done.stderr


def test_quiet_leaves_one_line(place: Place) -> None:
    done = place.call("run", place.jobs(SOME), "--sandbox", "--rate", "none", "-q")

    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1


def test_the_sandbox_can_be_used_from_another_terminal(place: Place) -> None:
    """P28, P29: the credentials come from the environment, and go nowhere else."""
    with place.start("sandbox", "--seed", "3", "--ledger", "ledger.jsonl") as sandbox:
        assert sandbox.stdout is not None
        card = json.loads(sandbox.stdout.readline())
        target = ("--gateway", card["url"], "--org-id", card["orgId"], "--user-id", card["userId"])
        done = place.call(
            *("run", place.jobs(SOME), *target, "--run-dir", "r", *QUICK),
            BULK_TRIGGER_APP_KEY=card["appKey"],
            BULK_TRIGGER_APP_SECRET=card["appSecret"],
        )
        sandbox.send_signal(signal.SIGINT)
        _, told = sandbox.communicate()

    assert done.returncode == 0, done.stderr
    assert sandbox.returncode == 0
    assert f"--gateway {card['url']}" in told
    assert Ledger.read(place.directory / "ledger.jsonl").effects_by_job == each_once(SOME)
    everything = [path.read_bytes() for path in (place.directory / "r").iterdir()]
    assert not [text for text in [done.stderr.encode(), *everything] if card["appSecret"].encode() in text]


def test_a_sandbox_that_cannot_listen_says_so(place: Place) -> None:
    with place.start("sandbox") as first:
        assert first.stdout is not None
        port = json.loads(first.stdout.readline())["url"].rpartition(":")[2]
        second = place.call("sandbox", "--port", port)

    assert second.returncode == 4
    assert "the sandbox did not start" in second.stderr


def test_settings_of_the_run_are_kept_and_only_some_may_be_given_anew(place: Place) -> None:
    place.jobs([(1, minute) for minute in range(50)])
    with place.start("run", "jobs.csv", "--sandbox", "--rate", "5/s", "--run-dir", "r") as process:
        wait_for_effects(place.directory / "r" / "ledger.jsonl", 1)
        process.terminate()
        process.communicate()

    refused = place.call("resume", "r", "--gateway", "https://apim.example")
    resumed = place.call("resume", "r", "--rate", "none", BULK_TRIGGER_RATE="1/d")

    assert refused.returncode == 2
    assert "--gateway" in refused.stderr
    assert resumed.returncode == 0


def test_nothing_that_the_gateway_says_can_steer_a_terminal(place: Place) -> None:
    """P27: control characters of a message reach neither the terminal nor the files."""
    message = "boom \\u001b[2J\\u0007 \\u202e"
    place.write("scenario.toml", f'[[faults]]\nkind = "code"\ncode = 62104\nmessage = "{message}"\n')

    done = place.call(
        "run", place.jobs([(1, 0)]), "--sandbox", "--scenario", "scenario.toml", "--run-dir", "r", *QUICK
    )

    assert done.returncode == 1
    assert "boom" in done.stderr
    for text in (
        done.stderr,
        *(path.read_text(errors="replace") for path in (place.directory / "r").glob("*.csv")),
    ):
        assert not set("\x1b\x07\u202e") & set(text)


def test_an_output_that_exists_is_refused_before_anything_is_sent(place: Place) -> None:
    place.write("out.csv", "precious")

    refused = place.call("run", place.jobs(SOME), "--sandbox", "-o", "out.csv", *QUICK)

    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (place.directory / "out.csv").read_text() == "precious"
    assert place.call("run", "jobs.csv", "--sandbox", "-o", "out.csv", "--force", *QUICK).returncode == 0
    assert (place.directory / "out.csv").read_text().startswith("row,")


def test_a_child_sandbox_ends_with_its_run(place: Place) -> None:
    """A killed run leaves no process behind: the sandbox notices that its standard input closed."""
    with place.start("sandbox", "--until-stdin-closes") as sandbox:
        assert sandbox.stdout is not None
        assert sandbox.stdin is not None
        assert sandbox.stdout.readline()
        sandbox.stdin.close()
        try:
            assert sandbox.wait(timeout=20) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("the sandbox outlived its parent")


@pytest.mark.parametrize(
    ("environment", "flags", "is_live", "is_coloured"),
    [
        ({"TERM": "xterm-256color"}, (), True, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, (), True, False),
        ({"TERM": "dumb"}, (), False, False),
        ({"TERM": "xterm-256color", "CI": "true"}, (), False, False),
        ({"TERM": "xterm-256color"}, ("--no-progress",), False, False),
        ({"TERM": "xterm-256color"}, ("-q",), False, False),
    ],
)
def test_a_terminal_gets_a_live_view_unless_it_cannot_or_will_not(
    environment: dict[str, str], flags: tuple[str, ...], is_live: bool, is_coloured: bool, place: Place
) -> None:
    ours, theirs = os.openpty()
    jobs = place.jobs(SOME)
    with place.start(
        "run", jobs, "--sandbox", "--rate", "none", *flags, stderr=theirs, **{"CI": "", **environment}
    ) as process:
        os.close(theirs)
        told = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody is at the other end
            while data := os.read(ours, 4096):
                told += data
        os.close(ours)

    assert process.wait() == 0
    assert b"15 succeeded" in told
    assert (b"\x1b[?25l" in told) is is_live
    assert bool(re.search(rb"\x1b\[[0-9;]*3[0-9]", told)) is is_coloured
