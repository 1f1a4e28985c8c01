"""The end of a run in words: what happened, what is in doubt, why, where the files are, what to do next.

It reads the summary (see `summary`), so `status` says the same of a run that ended yesterday.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
import shlex
from typing import Any

from .cells import clean
from .model import ENDINGS, State
from .quantities import format_duration

_REASONS = 5  #: shown of each run; the others are in the results
_ORDER = (State.SUCCEEDED, State.FAILED, State.SKIPPED, State.INVALID, State.UNKNOWN)
_DONE_ALREADY = frozenset({"exists", "duplicate"})


def headline(summary: Mapping[str, Any], reason: str = "") -> str:
    """What happened, in one line."""
    counts, rows = summary["counts"], summary["rows"]
    left = rows_left(summary)
    ended = ", ".join(f"{counts[state]:,} {state.value}" for state in _ORDER if counts.get(state))
    what = f"stopped ({clean(reason or 'no reason told')})" if left else "finished"
    still = f", {left:,} left" if left else ""
    return f"{what}: {counted(rows, 'row')}, {ended or 'none ended'}{still}{_pace(summary)}"


def recap(
    directory: Path,
    summary: Mapping[str, Any],
    *,
    reason: str = "",
    outputs: Sequence[Path] = (),
) -> list[str]:
    """The whole of it, in lines."""
    notes = summary["notes"]
    lines = [headline(summary, reason), *_doubts(summary), *_reasons(summary)]
    if bottleneck := notes.get("bottleneck"):
        lines.append(f"  time      {clean(bottleneck)}")
    if note := summary.get("durabilityNote"):
        lines.append(f"  journal   {note}")
    lines.append(f"  files     {_files(directory, summary, outputs)}")
    lines += [
        f"  {'next' if number == 0 else '':9} {step}"
        for number, step in enumerate(next_steps(directory, summary, outputs))
    ]
    return lines


def rows_left(summary: Mapping[str, Any]) -> int:
    """How many rows have not ended."""
    counts: Mapping[str, int] = summary["counts"]
    return int(summary["rows"]) - sum(counts.get(state, 0) for state in ENDINGS)


def next_steps(directory: Path, summary: Mapping[str, Any], outputs: Sequence[Path] = ()) -> list[str]:
    """The commands to type next; none if all is well."""
    counts = summary["counts"]
    if rows_left(summary):
        return [resume_command(directory, outputs)]
    steps = []
    if counts.get(State.UNKNOWN):
        steps.append(f"{resume_command(directory, outputs)} --rerun unknown   (looks them up first)")
    if again := _may_run_again(summary):
        steps.append(f"{resume_command(directory, outputs)} --rerun {','.join(again)}")
        steps.append(f"or correct {shown(directory / 'failed.csv')}, and `run` that")
    return steps


def resume_command(directory: Path, outputs: Sequence[Path] = ()) -> str:
    """The command that goes on with a run; it names the extra output files again."""
    parts = ["bulk-trigger", "resume", str(directory)]
    for output in outputs:
        parts += ["-o", str(output)]
    return shlex.join(parts)


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 row`, `5,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown(path: Path) -> str:
    """A path as it can be typed."""
    return shlex.quote(str(path))


def _pace(summary: Mapping[str, Any]) -> str:
    elapsed_s, rate = summary["elapsedSeconds"], summary["sendsPerSecond"]
    if not elapsed_s or not summary["sends"]:
        return ""
    return f"; {summary['sends']:,} sends in {format_duration(elapsed_s)} ({rate:g}/s)"


def _doubts(summary: Mapping[str, Any]) -> list[str]:
    lines = []
    if unknown := summary["counts"].get(State.UNKNOWN):
        lines.append(f"  in doubt  {counted(unknown, 'row')} that may have been triggered: see unknown.csv")
    if in_doubt := summary["counts"].get(State.RECONCILING, 0) + summary["counts"].get(State.SENDING, 0):
        lines.append(
            f"  in doubt  {counted(in_doubt, 'row')} without an answer: `resume` looks first, then goes on"
        )
    if risk := summary.get("dup_risk"):
        lines.append(f"  in doubt  {counted(risk, 'row')} that may have been triggered twice: flag dup_risk")
    return lines


def _reasons(summary: Mapping[str, Any]) -> list[str]:
    endings = summary["endings"]
    lines = []
    for number, ending in enumerate(endings[:_REASONS]):
        code = clean(ending["code"]) or "no code"
        text = f"{ending['rows']:,} {ending['status']}, {code}: {clean(ending['message'])}"
        lines.append(f"  {'reasons' if number == 0 else '':9} {text.rstrip(': ')}")
    if len(endings) > _REASONS:
        lines.append(f"  {'':9} ... and {len(endings) - _REASONS} more, see the results")
    return lines


def _may_run_again(summary: Mapping[str, Any]) -> list[str]:
    failed = summary["counts"].get(State.FAILED, 0)
    skipped = any(
        ending["status"] == State.SKIPPED and ending["code"] not in _DONE_ALREADY
        for ending in summary["endings"]
    )
    return [State.FAILED.value] * bool(failed) + [State.SKIPPED.value] * skipped


def _files(directory: Path, summary: Mapping[str, Any], outputs: Sequence[Path]) -> str:
    if rows_left(summary):
        return f"{shown(directory)}/ (results come when every row has ended; `export` gives what there is)"
    names = ["results.csv"]
    names += ["failed.csv"] if _may_run_again(summary) else []
    names += ["unknown.csv"] if summary["counts"].get(State.UNKNOWN) else []
    return ", ".join([*(shown(directory / name) for name in names), *map(shown, outputs)])
