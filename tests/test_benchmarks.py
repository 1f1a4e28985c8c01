"""Every benchmark runs in a small form, and prints one line of JSON whose keys it documents."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"

TINY = {
    "throughput": "--jobs 64 --rounds 1 --schemes http,https --connections 8",
    "journal": "--jobs 100 --rounds 1",
    "limiter": "--rates 100,1000 --seconds 0.3 --idle-seconds 0.2",
    "lanes": "--jobs 100 --rounds 1 --flows 10,100",
    "scale": "--rows 100 --shapes giant",
    "makespan": "--jobs 100",
    "startup": "--rows 5 --rounds 1",
}


def documentation(name: str) -> str:
    """What a benchmark says of its keys, and what holds for all of them."""
    texts = [(BENCHMARKS / f"{each}.py").read_text("utf-8").split('"""')[1] for each in (name, "machine")]
    return "".join(texts)


def keys(value: object) -> Iterator[str]:
    """The keys of a line, and of the cases that it lists."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            if isinstance(each, list):
                for part in each:
                    yield from keys(part)


@pytest.fixture(scope="module")
def lines() -> dict[str, dict[str, Any]]:
    """What was printed so far, by benchmark."""
    return {}


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_prints_one_line_with_the_keys_that_it_documents(
    name: str, lines: dict[str, dict[str, Any]]
) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", *TINY[name].split()]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    line = lines[name] = json.loads(done.stdout)
    assert line["benchmark"] == name
    documented = set(re.findall(r"`(\w+)`", documentation(name)))
    assert set(keys(line)) <= documented


def test_the_figures_are_made_of_the_lines(lines: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    if set(lines) != set(TINY):
        pytest.skip("the benchmarks were not all run")
    printed = tmp_path / "lines.jsonl"
    printed.write_text("".join(json.dumps(line) + "\n" for line in lines.values()))

    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--lines", printed, "--to", tmp_path], cwd=ROOT, check=True
    )

    page = (tmp_path / "figures.md").read_text()
    assert all(f"\n## {name}\n" in page for name in TINY)
    pictures = re.findall(r"\]\((\w+\.svg)\)", page)
    assert pictures
    assert {path.name for path in tmp_path.glob("*.svg")} == set(pictures)
