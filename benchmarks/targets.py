"""What we set out to reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Line = Mapping[str, Any]  #: what a benchmark printed


class Target(NamedTuple):
    """One aim."""

    aim: str
    measured: str
    is_met: bool


def targets(lines: Mapping[str, Line]) -> list[Target]:
    """All aims, in the order of the benchmarks that were run."""
    judges = {
        "throughput": _throughput,
        "journal": _journal,
        "limiter": _limiter,
        "lanes": _lanes,
        "scale": _scale,
        "makespan": _makespan,
        "startup": _startup,
    }
    return [target for name, judge in judges.items() if name in lines for target in judge(lines[name])]


def _throughput(line: Line) -> Iterator[Target]:
    for case in line["cases"]:
        where = f"{case['scheme']}, {case['connections']} connections"
        ratio, low, high = case["to_plain"]["engine"]
        faster = case["jobs_per_s"]["engine"] / case["jobs_per_s"]["plain"]
        yield Target(
            f"CPU per job at most 0.25 of the plain loop's ({where})",
            f"{ratio:.2f} ({low:.2f}-{high:.2f})",
            ratio <= 0.25,
        )
        yield Target(
            f"jobs per second at least 4 times the plain loop's ({where})", f"{faster:.1f}", faster >= 4
        )
        if case["engine_to_hey"]:
            ratio, low, high = case["engine_to_hey"]
            yield Target(
                f"CPU per job at most hey's ({where})", f"{ratio:.1f} ({low:.1f}-{high:.1f})", ratio <= 1
            )


def _journal(line: Line) -> Iterator[Target]:
    cost, ratio = line["alone"]["power-64"][0], line["synced_to_unsynced"][0]
    yield Target("journal: at most 6 µs CPU per job, power-safe, batches of 64", f"{cost:.1f} µs", cost <= 6)
    yield Target("throughput with syncs at least 0.9 of that without", f"{ratio:.2f}", ratio >= 0.9)


def _limiter(line: Line) -> Iterator[Target]:
    cases = line["cases"]
    off = max(abs(case["reached"] / case["asked"] - 1) for case in cases)
    over = max(case["worst_over"] for case in cases)
    cost = max((case["cpu_us_per_job"] for case in cases if case["asked"] >= 1000), default=0.0)
    idle = max(line["idle_share"].values())
    yield Target("limiter: the rate is reached within 0.5 %", f"{off:.2%} off", off <= 0.005)
    yield Target("no window over N", f"fullest window: N {over:+d}", over <= 0)
    yield Target("at most 3 µs CPU per job from 1,000/s on", f"{cost:.1f} µs", cost <= 3)
    yield Target("at 20/s at most 3 % of a core", f"{idle:.1%}", idle <= 0.03)


def _lanes(line: Line) -> Iterator[Target]:
    flows = " to ".join(
        f"{int(number):,}" for number in (min(line["engine"], key=int), max(line["engine"], key=int))
    )
    yield Target(
        f"CPU per job within 15 % from {flows} flows", f"+{line['growth'] - 1:.0%}", line["growth"] <= 1.15
    )


def _scale(line: Line) -> Iterator[Target]:
    largest = max(case["rows"] for case in line["cases"])
    cases = [case for case in line["cases"] if case["rows"] == largest]
    peak = max(case["peak_mib"][0] for case in cases)
    row = max(case["import_cpu_us_per_row"][0] for case in cases)
    resumed = max(case["resume_s"][0] for case in cases)
    worst = max(line["growth"].values())
    yield Target(f"at most 256 MiB at {largest:,} rows, any shape", f"{peak:.0f} MiB", peak <= 256)
    yield Target(f"import at most 3 µs CPU per row at {largest:,} rows", f"{row:.1f} µs", row <= 3)
    yield Target(f"resume sends within 5 s at {largest:,} rows", f"{resumed:.1f} s", resumed <= 5)
    yield Target(f"CPU per job within 15 % up to {largest:,} rows", f"+{worst - 1:.0%}", worst <= 1.15)


def _makespan(line: Line) -> Iterator[Target]:
    yield Target(
        "every run within 2 % of the shortest possible",
        f"worst {line['worst'] - 1:+.1%}",
        line["worst"] <= 1.02,
    )


def _startup(line: Line) -> Iterator[Target]:
    heavy = sorted({name for names in line["heavy"].values() for name in names})
    ratio = line["run_to_both"][0]
    yield Target(
        "`--version` and `--help` import none of aiohttp, anyio, rich, uvloop",
        ", ".join(heavy) or "none",
        not heavy,
    )
    yield Target(
        f"`run --sandbox` of {line['rows']} rows at most twice sandbox's start + empty aiohttp program",
        f"{ratio:.1f}",
        ratio <= 2,
    )
