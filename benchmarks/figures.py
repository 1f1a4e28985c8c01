"""Makes the page and the pictures of what the benchmarks printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .drawing import Bar, draw
from .targets import Line, targets

NAMES = {
    "plain": "plain aiohttp loop",
    "plain-uvloop": "the same on uvloop",
    "tuned": "tuned aiohttp",
    "tuned-uvloop": "tuned aiohttp on uvloop",
    "cookbook": "openai-cookbook pattern",
    "aiometer": "httpx + aiometer",
    "wrk": "wrk (C)",
    "hey": "hey (Go)",
    "ab": "ab (C)",
    "engine": "bulk-trigger, everything on",
    "engine-asyncio": "the same on asyncio",
}


def page(lines: Mapping[str, Line]) -> str:
    """The figures in Markdown: aims first, then a table for each benchmark."""
    about = next(iter(lines.values()))
    loads = [line["load"] for line in lines.values()]
    made = [
        "# Figures",
        "",
        "Made by `python -m benchmarks`. Ratios are the message; absolute figures are this machine's:",
        f"{about['python']}, {about['cores']} cores, load average {min(loads)} to {max(loads)} meanwhile.",
        "`a (b-c)`: median, least and most.",
        "",
        *table(
            ["aim", "measured", ""],
            [[aim, measured, "met" if is_met else "**missed**"] for aim, measured, is_met in targets(lines)],
        ),
    ]
    for name, line in lines.items():
        made += ["", f"## {name}", "", *TABLES[name](line)]
        if name in PICTURES:
            made += ["", f"![{name}]({name}.svg)"]
    return "\n".join([*made, ""])


def pictures(lines: Mapping[str, Line]) -> dict[str, str]:
    """The pictures (SVG) by the names of their benchmarks."""
    return {name: PICTURES[name](line) for name, line in lines.items() if name in PICTURES}


def table(head: list[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """A table in Markdown."""
    return [_row(head), _row("---" for _ in head), *map(_row, rows)]


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _range(values: list[float], digits: int = 2) -> str:
    middle, low, high = (f"{value:,.{digits}f}" for value in values)
    return middle if low == high else f"{middle} ({low}-{high})"


# --- tables


def _throughput(line: Line) -> list[str]:
    made = []
    for case in line["cases"]:
        made += [
            f"{case['scheme']}, {case['connections']} connections,",
            f"{line['jobs']:,} jobs, {line['rounds']} interleaved rounds:",
            "",
            *table(
                ["", "CPU µs per job", "÷ plain", "jobs/s"],
                [
                    [
                        NAMES.get(name, name),
                        cpu,
                        _range(case["to_plain"][name]),
                        f"{case['jobs_per_s'][name]:,}",
                    ]
                    for name, cpu in case["cpu_us_per_job"].items()
                ],
            ),
            "",
        ]
    return [*made, *(f"Not compared: {name} ({reason})." for name, reason in line["skipped"].items())]


def _journal(line: Line) -> list[str]:
    return [
        *table(
            ["durability and batch", "CPU µs per job (intent and outcome)"],
            [[name, _range(cost, 1)] for name, cost in line["alone"].items()],
        ),
        "",
        f"The engine with a sync for each batch: {line['jobs_per_s']['power']:,} jobs/s; without:",
        f"{line['jobs_per_s']['process']:,}; ratio {_range(line['synced_to_unsynced'])}.",
    ]


def _limiter(line: Line) -> list[str]:
    idle = ", ".join(f"{share:.1%} on {loop}" for loop, share in line["idle_share"].items())
    return [
        *table(
            ["asked per s", "loop", "reached", "fullest window", "CPU µs per job"],
            [
                [
                    f"{c['asked']:,}",
                    c["loop"],
                    f"{c['reached']:,.2f}",
                    f"N {c['worst_over']:+d}",
                    c["cpu_us_per_job"],
                ]
                for c in line["cases"]
            ],
        ),
        "",
        f"A whole run at 20/s uses {idle} of a core.",
    ]


def _lanes(line: Line) -> list[str]:
    return [
        *table(
            ["flows", "lanes alone, CPU µs per job", "engine, CPU µs per job"],
            [
                [f"{int(flows):,}", _range(line["alone"][flows], 1), _range(cost, 1)]
                for flows, cost in line["engine"].items()
            ],
        ),
        "",
        f"One flow, so one commit per job: {_range(line['single_flow'], 0)} µs.",
    ]


def _scale(line: Line) -> list[str]:
    return table(
        ["rows", "shape", "import, CPU µs per row", "CPU µs per job", "peak MiB", "resume sends after s"],
        [
            [f"{case['rows']:,}", case["shape"], *(_range(case[key], 1) for key in _SCALE)]
            for case in line["cases"]
        ],
    )


_SCALE = ("import_cpu_us_per_row", "cpu_us_per_job", "peak_mib", "resume_s")


def _makespan(line: Line) -> list[str]:
    return table(
        ["load", "rate", "in flight", "shortest possible, s", "engine", "input order"],
        [
            [
                *(case["load"], case["rate"] or "none", case["in_flight"], case["least_s"]),
                *(f"{case[key] - 1:+.1%}" for key in ("to_least", "input_order")),
            ]
            for case in line["cases"]
        ],
    )


def _startup(line: Line) -> list[str]:
    return table(
        ["", "seconds"],
        [
            [f"`run` of {line['rows']} rows with `--sandbox`", _range(line["run_s"])],
            ["an empty aiohttp program", _range(line["empty_s"])],
            ["the sandbox's start", _range(line["sandbox_s"])],
            ["`run` beside the other two", _range(line["run_to_both"])],
            ["the same with `--rate none`", _range(line["unpaced_to_both"])],
        ],
    )


# --- pictures


def _throughput_picture(line: Line) -> str:
    case: Mapping[str, Any] = line["cases"][0]
    costs = sorted(case["cpu_us_per_job"].items(), key=lambda each: float(each[1]))
    shown = [(name, cost) for name, cost in costs if name != "aiometer"]  # would make dots of the others
    return draw(
        "CPU time per trigger",
        f"microseconds of the client process; {case['scheme']}, {case['connections']} connections",
        [Bar(NAMES.get(name, name), cost, f"{cost:g} µs", name.startswith("engine")) for name, cost in shown],
    )


def _scale_picture(line: Line) -> str:
    return draw(
        "Memory",
        "MiB at the peak of a whole run, import and resume included",
        [
            Bar(
                f"{c['rows']:,} rows, {c['shape']}", c["peak_mib"][0], f"{c['peak_mib'][0]:.0f}", is_ours=True
            )
            for c in line["cases"]
        ],
    )


def _makespan_picture(line: Line) -> str:
    bars = []
    for case in line["cases"]:
        label = f"{case['load']}, {case['rate'] or 'no'}/s, {case['in_flight']} in flight"
        for key, is_ours in (("to_least", True), ("input_order", False)):
            name = label if is_ours else "in input order"
            bars.append(Bar(name, case[key] - 1, f"{case[key] - 1:+.1%}", is_ours))
    return draw("Time beyond the shortest possible", "share of the lower bound", bars)


TABLES = {
    "throughput": _throughput,
    "journal": _journal,
    "limiter": _limiter,
    "lanes": _lanes,
    "scale": _scale,
    "makespan": _makespan,
    "startup": _startup,
}
PICTURES = {"throughput": _throughput_picture, "scale": _scale_picture, "makespan": _makespan_picture}
