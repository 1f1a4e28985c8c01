"""What a person types, and what they are told: help, mistakes, and where a value comes from."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import click
from command import Place
import pytest

from bulk_trigger.cli import main
from bulk_trigger.cli.merge import settings_of
from bulk_trigger.cli.program import COMMANDS, program
from bulk_trigger.cli.run import run
from bulk_trigger.errors import BulkTriggerError
from bulk_trigger.quantities import Rate
from bulk_trigger.settings import SANDBOX, Limit, Settings
from bulk_trigger.version import VERSION

HEAVY = ("aiohttp", "anyio", "asyncio", "rich", "sqlite3", "uvloop")
TARGET = ("--gateway", "https://apim.example", "--org-id", "o1", "--user-id", "u1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def parsed(*arguments: str) -> Settings:
    """The settings that `run` makes of its arguments."""
    with run.make_context("run", ["jobs.csv", *arguments]) as context:
        return settings_of(context)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_and_version_import_nothing_heavy(arguments: list[str], place: Place) -> None:
    code = (
        "import sys; from bulk_trigger.cli import main; "
        f"assert main({arguments!r}) == 0; print('loaded:', *[m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=place._environment({}), capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1].strip() == "loaded:"


def test_help_names_every_command_with_the_first_line_of_its_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out

    context = click.Context(program)
    for name, line in COMMANDS.items():
        command = program.get_command(context, name)
        assert command is not None
        assert (command.help or "").splitlines()[0] == line
        assert f"{name} " in text
        assert line in text


def test_without_arguments_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "bulk-trigger run" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bulk-trigger {VERSION}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rum"], "did you mean run?"),
        (["frobnicate"], "there are run, resume"),
        (["run"], "JOBS"),
        (["run", "jobs.csv", "--nonsense"], "--nonsense"),
        (["run", "jobs.csv"], "--sandbox to try it"),
        (["run", "jobs.csv", "--sandbox", *TARGET], "exclude each other"),
        (["run", "jobs.csv", "--gateway", "https://apim.example"], "--org-id"),
        (["run", "jobs.csv", "--seed", "3", *TARGET], "--seed is for --sandbox"),
        (["run", "jobs.csv", "--gateway", "http://apim.example", *TARGET[2:]], "plain http"),
        (["run", "jobs.csv", "--sandbox"], "no such file"),
        (["run", ".", "--sandbox"], "is a directory"),
        (["run", "-", "--sandbox"], "--format"),
        (["run", "jobs.csv", "--sandbox", "--rate", "50"], "50/s"),
        (["run", "jobs.csv", "--sandbox", "--rate", "none", "--rate", "5/s"], "no other --rate"),
        (["run", "jobs.csv", "--sandbox", "--rate", "5/s", "--rate", "6/s"], "same window"),
        (["run", "jobs.csv", "--sandbox", "--timeout", "30"], "500ms, 2s"),
        (["run", "jobs.csv", "--sandbox", "--rows", "5"], "1-1000"),
        (["run", "jobs.csv", "--sandbox", "--max-failures", "200%"], "more than all rows"),
        (["run", "jobs.csv", "--sandbox", "--max-failures", "some"], "like 5%"),
        (["run", "jobs.csv", "--sandbox", "--scenario", "none.toml"], "none.toml"),
        (["run", "jobs.csv", "--sandbox", "--config", "none.toml"], "none.toml"),
        (["resume", "nowhere"], "not a run directory"),
        (["resume", "nowhere", "--rerun", "succeeded"], "failed, skipped, unknown"),
        (["status", "nowhere"], "not a run directory"),
        (["verify", "nowhere"], "not a run directory"),
        (["export", "nowhere", "-o", "-"], "not a run directory"),
        (["export", "nowhere"], "-o FILE"),
        (["sandbox", "--host", "0.0.0.0"], "this machine only"),
        (["sandbox", "--scenario", "none.toml"], "none.toml"),
    ],
)
def test_a_mistake_is_told_with_its_cure_and_exit_2(
    arguments: list[str], told: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments)
    printed = capsys.readouterr()

    assert code == 2
    assert told in printed.err
    assert printed.err.startswith("error: ")
    assert printed.out == ""
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("typed", "set_", "written", "expected"),
    [
        ((), None, None, (Rate(20, 1.0),)),
        ((), None, 'rate = "7/s"', (Rate(7, 1.0),)),
        ((), None, '[run]\nrate = ["7/s", "70/m"]', (Rate(7, 1.0), Rate(70, 60.0))),
        ((), "6/s 60/m", 'rate = "7/s"', (Rate(6, 1.0), Rate(60, 60.0))),
        ((), "none", 'rate = "7/s"', ()),
        (("--rate", "5/s"), "6/s", 'rate = "7/s"', (Rate(5, 1.0),)),
        (("--rate", "5/s", "--rate", "50/m"), "6/s", None, (Rate(5, 1.0), Rate(50, 60.0))),
        (("--rate", "none"), "6/s", 'rate = "7/s"', ()),
    ],
)
def test_a_flag_goes_before_the_environment_and_that_before_the_file(  # noqa: PLR0917 - a table
    typed: tuple[str, ...],
    set_: str | None,
    written: str | None,
    expected: tuple[Rate, ...],
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if set_:
        monkeypatch.setenv("BULK_TRIGGER_RATE", set_)
    if written:
        place.write("bulk-trigger.toml", written)

    assert parsed(*TARGET, *typed).rates == expected


def test_the_environment_does_not_name_the_command(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULK_TRIGGER_RUN_RATE", "6/s")
    monkeypatch.setenv("BULK_TRIGGER_IN_FLIGHT", "3")

    settings = parsed(*TARGET)

    assert settings.rates == (Rate(20, 1.0),)
    assert settings.in_flight == 3


@pytest.mark.parametrize(
    ("file", "typed", "is_sandbox"),
    [
        ("sandbox = true", TARGET, False),
        ('gateway = "https://other.example"', ("--sandbox",), True),
        ('gateway = "https://other.example"\norg-id = "o"\nuser_id = "u"', (), False),
    ],
)
def test_the_target_nearest_to_the_call_counts(
    file: str, typed: tuple[str, ...], is_sandbox: bool, place: Place
) -> None:
    place.write("bulk-trigger.toml", file)

    assert parsed(*typed).is_sandbox is is_sandbox


def test_the_flags_have_the_defaults_of_the_settings(place: Place) -> None:
    sandbox = parsed("--sandbox")

    assert parsed(*TARGET) == Settings(gateway="https://apim.example", org_id="o1", user_id="u1")
    assert sandbox == Settings(gateway=SANDBOX, rates=(Rate(500, 1.0),), reconcile_wait_s=1.0)


def test_every_flag_reaches_the_settings(place: Place) -> None:
    settings = parsed(
        *TARGET,
        *("--api", "v2.1", "-j", "9", "--order", "time", "--retries", "2", "--on-62109", "retry"),
        *(
            "--on-unknown",
            "continue",
            "--on-failure",
            "abort",
            "--max-failures",
            "5%",
            "--duplicates",
            "skip",
        ),
        *("--skip-invalid", "--timezone", "Asia/Shanghai", "--time-unit", "s", "--rows", "2-9"),
        *("--timeout", "1m", "--drain", "3s", "--reconcile-wait", "10s", "--patience", "1h"),
        *("--durability", "process", "--baseline", "--rate", "9/s"),
    )

    plain = Settings(gateway="https://apim.example", org_id="o1", user_id="u1")
    told = {name: getattr(settings, name) for name in Settings.__struct_fields__}
    same = {name for name, value in told.items() if value == getattr(plain, name)}
    assert same == {"gateway", "org_id", "user_id", "scenario", "seed", "connect_timeout_s"}
    assert settings.max_failures == Limit(5, percent=True)
    assert (settings.timeout_s, settings.rows) == (60.0, (2, 9))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("reties = 3", "unknown key 'reties'; allowed: api, "),
        ("retries = true", "a text or a number"),
        ('retries = "many"', "(from bulk-trigger.toml)"),
        ("retries = 1.5", "1.5"),
        ("in_flight = 3\nin-flight = 4", "set twice"),
        ('app-secret = "canary"', "BULK_TRIGGER_APP_SECRET"),
        ("new = true", "one call only"),
        ("run = 3", "[run]"),
        ("= 3", "bulk-trigger.toml"),
        ("[plan]\nrate = 3", "unknown key 'plan'"),
    ],
)
def test_a_settings_file_is_read_strictly(
    text: str, told: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write("bulk-trigger.toml", text)

    assert main(["check", "jobs.csv"]) == 2
    printed = capsys.readouterr().err
    assert told in printed
    assert "canary" not in printed


def test_a_wrong_value_in_the_environment_is_told_with_its_name(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BULK_TRIGGER_TIMEOUT", "soon")

    assert main(["check", "jobs.csv"]) == 2
    assert "(from BULK_TRIGGER_TIMEOUT in the environment)" in capsys.readouterr().err


def test_what_triggers_again_is_never_taken_from_the_environment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULK_TRIGGER_NEW", "1")
    monkeypatch.setenv("BULK_TRIGGER_FORCE", "1")

    with run.make_context("run", ["jobs.csv"]) as context:
        assert not context.params["new"]
        assert not context.params["force"]


def test_the_sample_settings_can_be_used(place: Place) -> None:
    sample = Path(__file__).parents[1] / "samples" / "bulk-trigger.toml"

    settings = parsed("--config", str(sample))

    assert len(settings.rates) == 3
    assert not settings.is_sandbox


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        ("KeyboardInterrupt", 130, "interrupted"),
        ("BrokenPipeError", 141, ""),
        ("errors.SettingsError('no')", 2, "error: no"),
        ("errors.JournalError('canary-secret-1 no')", 4, "error: *** no"),
        ("OSError(28, 'disk full', 'r.csv')", 4, "error: r.csv: disk full"),
        ("ValueError('canary-secret-1')", 70, "error: a bug in bulk-trigger: ValueError: ***"),
        ("ExceptionGroup('', [ValueError('inside')])", 70, "ValueError: inside"),
    ],
)
def test_every_sort_of_end_has_its_code_and_no_traceback(
    error: str, code: int, told: str, place: Place
) -> None:
    script = (
        "import sys\n"
        "from bulk_trigger import errors\n"
        "from bulk_trigger.cli import main, status\n"
        f"def look(_): raise {error}\n"
        "status.look = look\n"
        "sys.exit(main(['status', '.']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=place._environment({"BULK_TRIGGER_APP_KEY": "k", "BULK_TRIGGER_APP_SECRET": "canary-secret-1"}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr


def test_a_bug_is_told_as_json_where_json_was_asked_for(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("bulk_trigger.cli.merge.settings_of", broken)
    assert main(["check", "jobs.csv", "--log-format", "json", "-v"]) == BulkTriggerError.exit_code

    traceback, error = map(json.loads, capsys.readouterr().err.splitlines())
    assert "RuntimeError: boom" in traceback["message"]
    assert error["event"] == "error"
