"""The catalogue of faults is complete: each of the 133 is the case of a test, or is left out for a reason.

A test that injects a fault carries its number: `F14` in its docstring, in a comment, or in the ID of its
parameters.
"""

from __future__ import annotations

from pathlib import Path
import re

FAULTS = range(1, 134)
TESTS = Path(__file__).parent

#: Faults that no test injects, by number, and why.
LEFT_OUT: dict[int, str] = {
    129: "there is no scale-out: one process works on a run, and the lock of the run sees to that",
    130: "as 129: there is no lease to outlive",
    131: "as 129: there is no driver",
    132: "as 129; two processes on one run are F95",
    133: "the build has no lock file, so there is nothing to audit without the internet",
}


def _injected() -> set[int]:
    own = Path(__file__)
    texts = [path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py") if path != own]
    numbers = re.compile(r"(?<!noqa: )\bF([1-9][0-9]{0,2})\b")
    return {int(number) for text in texts for number in numbers.findall(text)}


def test_each_fault_is_injected_or_left_out_for_a_reason() -> None:
    injected = _injected()

    assert injected <= set(FAULTS)
    assert set(FAULTS) - injected == set(LEFT_OUT)
