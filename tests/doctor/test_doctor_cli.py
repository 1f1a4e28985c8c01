"""`doctor` on the command line: its page, its exit code, and that it triggers nothing."""

from __future__ import annotations

import json
from pathlib import Path
import shutil
from typing import Any

from command import Place
import pytest

from bulk_trigger.cli import main
from bulk_trigger.sandbox import Ledger

SAMPLES = Path(__file__).parents[2] / "samples"
SANDBOX = ("--sandbox", "--rate", "none")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def page(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    facts = json.loads(capsys.readouterr().out)
    assert facts["version"] == 1
    return {line["name"]: line for line in facts["lines"]}


def test_a_good_list_on_a_good_gateway_is_a_page_of_ok(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = place.jobs([(1, 0), (2, 1), (1, 2)])

    assert main(["doctor", jobs, "--sandbox"]) == 0

    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 15
    assert last == "15 ok; nothing was triggered"
    assert "3 rows of 2 flows, 3 to send" in lines[-2]
    assert [path.name for path in place.directory.iterdir()] == [jobs]


def test_without_a_list_only_the_gateway_is_looked_at(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--sandbox"]) == 0

    assert capsys.readouterr().out.endswith("8 ok; nothing was triggered\n")


def test_the_sample_gateway_has_something_wrong_with_everything(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["doctor", str(SAMPLES / "jobs.csv"), "--sandbox", "--scenario", str(SAMPLES / "unfit.toml")]

    assert main(command) == 4
    printed = capsys.readouterr().out
    assert main([*command, "--json"]) == 4
    lines = page(capsys)

    assert {name: line["verdict"] for name, line in lines.items() if line["verdict"] != "ok"} == {
        "clock": "wrong",
        "look-ups": "warning",
        "flows exist": "wrong",
        "flows owned": "wrong",
        "flows unlocked": "wrong",
        "flows have tasks": "wrong",
        "flows enabled": "warning",
    }
    assert lines["flows enabled"]["flowIds"] == list(range(3305, 3312))
    assert "paused: 3305, 3306, 3307, 3308, 3309 and 2 more" in printed
    assert "8 ok, 2 warning, 5 wrong; nothing was triggered" in printed


def test_nothing_is_triggered_as_the_ledger_of_the_gateway_shows(place: Place) -> None:
    """P28: and what was printed holds no secret."""
    jobs = place.jobs([(flow, 0) for flow in range(1, 21)])
    with place.start("sandbox", "--ledger", "ledger.jsonl") as sandbox:
        assert sandbox.stdout is not None
        card = json.loads(sandbox.stdout.readline())
        target = ["--gateway", card["url"], "--org-id", card["orgId"], "--user-id", card["userId"]]
        keys = {"BULK_TRIGGER_APP_KEY": card["appKey"], "BULK_TRIGGER_APP_SECRET": card["appSecret"]}
        done = place.call("doctor", jobs, *target, "--rate", "none", **keys)

    assert done.returncode == 0, done.stdout
    assert card["appSecret"] not in done.stdout + done.stderr
    record = Ledger.read(place.directory / "ledger.jsonl")
    assert not record.effects
    apis = [call.api for call in record.calls]
    assert set(apis) == {"token", "time", "list", "get", "flow"}
    assert apis.count("flow") == 20


@pytest.mark.parametrize(
    ("text", "flags", "verdict", "found"),
    [
        ("flowId,triggerTime\n1,1704067200000\nx,1\n", (), "wrong", "1 invalid row"),
        ("flowId,triggerTime\n1,1704067200000\nx,1\n", ("--skip-invalid",), "warning", "1 invalid row"),
        ("flowId,triggerTime\n1,1704067200000\n1,1704067200001\n", (), "wrong", "1 duplicate"),
        ("flowId,triggerTime\n1,170406", (), "wrong", "jobs.csv"),
        ("", (), "wrong", "empty"),
        ("flowId,triggerTime\n", (), "ok", "0 rows"),
    ],
)
def test_a_list_that_run_would_refuse_is_wrong_and_the_gateway_is_asked_all_the_same(  # noqa: PLR0917 - a table
    text: str,
    flags: tuple[str, ...],
    verdict: str,
    found: str,
    place: Place,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place.write("jobs.csv", text)

    code = main(["doctor", "jobs.csv", "--json", *SANDBOX, *flags])

    lines = page(capsys)
    assert code == (4 if verdict == "wrong" else 0)
    assert lines["job list"]["verdict"] == verdict
    assert found in lines["job list"]["found"]
    assert lines["token"]["verdict"] == "ok"


def test_missing_credentials_are_a_line_of_the_page(place: Place) -> None:
    jobs = place.jobs([(1, 0)])
    target = ["--gateway", "https://apim.example", "--org-id", "o", "--user-id", "u"]

    done = place.call("doctor", jobs, *target)

    assert done.returncode == 4
    assert "wrong      token             no credentials: BULK_TRIGGER_APP_KEY is not set" in done.stdout
    assert "ok         job list" in done.stdout
    assert "no answer about 1 " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no target"),
        (["nowhere.csv", "--sandbox"], "no such file"),
        (["--gateway", "http://apim.example", "--org-id", "o", "--user-id", "u"], "plain http"),
        (["--gateway", "https://apim.example"], "--org-id"),
    ],
)
def test_a_wrong_call_is_told_as_by_run(
    arguments: list[str], told: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_the_settings_file_of_run_is_the_doctors_too(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(SAMPLES / "jobs.csv", place.directory)
    place.write("bulk-trigger.toml", 'sandbox = true\nrate = "200/s"\nretries = 2\n')

    assert main(["doctor", "jobs.csv", "--json"]) == 0
    assert "--rate 200/s" in page(capsys)["takes"]["found"]
