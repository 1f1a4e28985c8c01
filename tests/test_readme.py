"""The README is true: its examples run, its commands exist, its links lead somewhere."""

from __future__ import annotations

import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"<!-- example -->\n```(\w+)\n(.*?)```", README, flags=re.DOTALL)
PROMISES_ELSEWHERE = {"P17": "there is no scale-out yet"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder with the samples, where `bulk-trigger` is on the path."""
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    program = tmp_path / "bin" / "bulk-trigger"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bulk_trigger "$@"\n')
    program.chmod(0o755)
    return tmp_path


def run_example(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_the_examples_of_the_readme_run_one_after_the_other(place: Path) -> None:
    for language, text in EXAMPLES:
        command = ["sh", "-e", "-c", text] if language == "sh" else [sys.executable, "-c", text]

        done = run_example(command, place)

        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr


def test_the_examples_are_there() -> None:
    assert {language for language, _ in EXAMPLES} == {"sh", "python"}
    assert len(EXAMPLES) >= 3


def test_the_two_commands_are_one_line_each() -> None:
    for name in ("main", "test"):
        (block,) = re.findall(rf"<!-- command:{name} -->\n```sh\n(.*?)```", README, flags=re.DOTALL)
        assert block.count("\n") == 1
        assert block.startswith("python3 -m venv .venv && ")


def test_the_readme_names_every_command_and_only_those() -> None:
    from bulk_trigger.cli.program import COMMANDS  # noqa: PLC0415 - only this test wants it

    section = README.partition("\n## Commands\n")[2].partition("\n### ")[0]

    assert set(re.findall(r"^\| `([a-z]+)", section, flags=re.MULTILINE)) == set(COMMANDS)


def test_every_link_leads_to_a_file() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_promise_is_named_by_a_test_or_its_absence_is_explained() -> None:
    """P1-P32 of the project's list of promises."""
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    named = {
        f"P{number}"
        for number in re.findall(r"\bP([1-9][0-9]?)\b", text.replace(str(PROMISES_ELSEWHERE), ""))
    }

    assert {f"P{number}" for number in range(1, 33)} - named <= set(PROMISES_ELSEWHERE)


def test_no_file_names_a_package_index() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    for name in listed:
        data = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        for trace in (b"index" + b"-url", b"/sim" + b"ple/", b"regis" + b"try ="):
            assert trace not in data, name
