"""What the live view and the log say of a run, at any moment and in any width."""

from __future__ import annotations

from collections.abc import Mapping
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
from rich.console import Console

from bulk_trigger.model import State
from bulk_trigger.progress import LINE_EVERY_S, Count, Glance, LineView, Watch, progress_line
from bulk_trigger.recap import headline, next_steps, recap
from bulk_trigger.run import Run
from bulk_trigger.run.tally import Tally
from bulk_trigger.view import LiveView, draw

COUNTS = {state.value: 0 for state in State}
BIG = 10**7


def glance(**changes: Any) -> Glance:
    """A run somewhere in the middle."""
    usual: dict[str, Any] = {
        "rows": 5000,
        "ended": 2100,
        "counts": {"succeeded": 2080, "failed": 20},
        "in_doubt": 0,
        "in_flight": 12,
        "sends": 2150,
        "retries": 31,
        "lookups": 4,
        "rate": 18.44,
        "asked": 20.0,
        "elapsed_s": 114.0,
        "eta_s": 130.0,
        "longest": (3377, 120),
        "paused_s": 0.0,
        "held_up": "",
        "held_up_s": 0.0,
        "draining": False,
    }
    return Glance(**{**usual, **changes})


def drawn(shown: Glance | Count, width: int, title: str = "jobs.csv") -> list[str]:
    """The lines of the live view."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(draw(shown, title, width))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_the_live_view_has_all_that_matters(width: int) -> None:
    lines = drawn(glance(in_doubt=3, paused_s=12.0), width)

    assert lines[0].startswith("jobs.csv ━")
    assert lines[0].rstrip().endswith("42% 2,100 of 5,000   ETA 2m 10s")
    assert lines[1].split("   ") == ["  succeeded 2,080", "failed 20", "in doubt 3", "left 2,900"]
    assert lines[2].split("   ") == ["  18.4/s of 20/s", "in flight 12", "retries 31", "other calls 4"]
    assert lines[3] == "  longest flow left: 3377, 120 rows"
    assert lines[4] == "  paused by the gateway, for another 12s"


@settings(max_examples=50)
@given(
    st.integers(40, 250),
    st.integers(0, BIG),
    st.integers(0, BIG),
    st.text(max_size=300),
    st.one_of(st.none(), st.floats(0, 1e9)),
)
def test_no_line_is_wider_than_the_terminal(
    width: int, rows: int, ended: int, title: str, eta_s: float | None
) -> None:
    """The view is redrawn in its place: a line that wraps would push it down."""
    counts = dict.fromkeys(("succeeded", "failed", "skipped", "invalid", "unknown"), BIG)
    shown = glance(
        rows=rows, ended=min(ended, rows), counts=counts, eta_s=eta_s, in_doubt=BIG, held_up="x" * 300
    )
    lines = drawn(shown, width, "".join(c for c in title if c.isascii() and c.isprintable()) or "jobs.csv")

    assert max(map(len, lines)) <= width
    assert len(lines) == (5 if shown.left else 4)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_instances_are_shown_in_two_lines_and_told_in_one(width: int) -> None:
    shown = Count(
        total=5000,
        ended=2100,
        counts={"waiting": 2800, "running": 100, "succeeded": 2080, "failed": 20},
        calls=61,
        elapsed_s=114.0,
        paused_s=0.0,
    )

    lines = drawn(shown, width, "jobs.csv")

    assert lines[0].rstrip().endswith("42% 2,100 of 5,000")
    assert "  waiting 2,800   running 100   succeeded 2,080   failed 20".startswith(lines[1].rstrip("… "))
    assert max(map(len, lines)) <= width
    assert shown.line == (
        "1m 54s: 42% (2,100 of 5,000 instances), waiting 2,800, running 100, succeeded 2,080, failed 20"
    )


def test_the_live_view_leaves_nothing_behind() -> None:
    screen = io.StringIO()
    view = LiveView("jobs.csv", Console(file=screen, width=80, force_terminal=True, color_system=None))
    view.show(glance())
    view.print("[not markup] a note")
    view.close()

    assert "[not markup] a note" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K\x1b[?25h") or "\x1b[?25h" in screen.getvalue()[-40:]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "1m 54s: 42% (2,100 of 5,000 rows), 18.4/s of 20/s, failed 20, ETA 2m 10s"),
        ({"asked": None, "eta_s": None}, "1m 54s: 42% (2,100 of 5,000 rows), 18.4/s, failed 20"),
        (
            {"held_up": "the order of flow 3377", "held_up_s": 12.0, "counts": {}, "eta_s": None},
            "1m 54s: 42% (2,100 of 5,000 rows), 18.4/s of 20/s, waits for the order of flow 3377, 12s",
        ),
        (
            {"draining": True, "counts": {"succeeded": 1}},
            "1m 54s: 42% (2,100 of 5,000 rows), 18.4/s of 20/s, stops: 12 calls may still be answered",
        ),
        ({"rows": 0, "ended": 0, "counts": {}}, "1m 54s: 100% (0 of 0 rows), 18.4/s of 20/s"),
        ({"ended": 4999, "counts": {}, "eta_s": None}, "1m 54s: 99% (4,999 of 5,000 rows), 18.4/s of 20/s"),
    ],
)
def test_a_log_line_says_the_same(changes: dict[str, Any], line: str) -> None:
    assert progress_line(glance(**changes)) == line


def test_a_log_gets_a_line_now_and_then_and_when_a_pause_begins_or_ends() -> None:
    told: list[tuple[str, str]] = []

    def tell(event: str, text: str, _: Mapping[str, Any]) -> None:
        told.append((event, text))

    view = LineView(tell)
    for tenth in range(int(LINE_EVERY_S * 25)):
        paused = 3.0 if 120 <= tenth < 150 else 0.0
        view.show(glance(elapsed_s=tenth / 10, paused_s=paused))
    view.close()

    assert [event for event, _ in told] == ["progress", "paused", "resumed", "progress"]


class StillRun:
    """As much of a run as is looked at, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.opens = 0.0
        self.tally = Tally(10, {State.PENDING: 10}, 0, 0.0)
        self.clock = SimpleNamespace(monotonic=lambda: self.now)
        self.limiter = SimpleNamespace(
            per_second=lambda _: float("inf"), paused_for=lambda: 0.0, opens_at=lambda: self.opens
        )
        self.is_draining = False


def test_a_run_that_stands_still_says_for_what_and_for_how_long() -> None:
    run = StillRun()
    watch = Watch(cast("Run", run))
    run.tally.waiting_for = "look-ups of 3 rows in doubt"
    run.tally.sent(retry=False)
    shown = []
    for run.now in (0.0, 0.5, 12.0):
        shown.append(watch.look().waits)
    run.opens = 16.0
    shown.append(watch.look().waits)
    run.tally.sent(retry=False)
    shown.append(watch.look().waits)

    assert shown == [
        "",
        "",
        "waits for look-ups of 3 rows in doubt, 12s",
        "waits for the rate that you allowed (next call in 4.0s), 12s",
        "",
    ]


def summary(**changes: Any) -> dict[str, Any]:
    """The numbers of a run that went well."""
    usual = {
        "rows": 10,
        "counts": {**COUNTS, "succeeded": 10},
        "sends": 10,
        "elapsedSeconds": 5.0,
        "sendsPerSecond": 2.0,
        "endings": [],
        "notes": {},
        "dup_risk": 0,
    }
    return {**usual, **changes}


def ending(status: str, code: str, rows: int, message: str = "") -> dict[str, Any]:
    return {"status": status, "code": code, "rows": rows, "message": message}


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, []),
        ({"counts": {**COUNTS, "succeeded": 4, "pending": 6}}, ["bulk-trigger resume 'a run' -o x.csv"]),
        (
            {"counts": {**COUNTS, "unknown": 10}},
            ["bulk-trigger resume 'a run' -o x.csv --rerun unknown   (looks them up first)"],
        ),
        (
            {"counts": {**COUNTS, "skipped": 10}, "endings": [ending("skipped", "exists", 10)]},
            [],
        ),
        (
            {
                "counts": {**COUNTS, "failed": 1, "skipped": 9},
                "endings": [ending("skipped", "flow-stopped", 9), ending("failed", "62104", 1)],
            },
            [
                "bulk-trigger resume 'a run' -o x.csv --rerun failed,skipped",
                "or correct 'a run/failed.csv', and `run` that",
            ],
        ),
    ],
)
def test_the_last_words_name_the_next_command(changes: dict[str, Any], steps: list[str]) -> None:
    assert next_steps(Path("a run"), summary(**changes), [Path("x.csv")]) == steps


def test_the_last_words_say_what_happened_and_what_is_in_doubt(tmp_path: Path) -> None:
    """P5: the words are not rosier than the rows."""
    counts = {**COUNTS, "succeeded": 5, "failed": 2, "unknown": 1, "pending": 1, "reconciling": 1}
    lines = recap(
        tmp_path,
        summary(
            counts=counts,
            dup_risk=2,
            endings=[ending("failed", "62104", 2, "no task\x1b[2J"), ending("unknown", "timeout", 1)],
            notes={"bottleneck": "62% of the time went to the order of flow 7"},
            durabilityNote="survives the end of the process",
        ),
        reason="interrupted",
    )
    text = "\n".join(lines)

    assert lines[0] == (
        "stopped (interrupted): 10 rows, 5 succeeded, 2 failed, 1 unknown, 2 left; 10 sends in 5.0s (2/s)"
    )
    assert "1 row that may have been triggered: see unknown.csv" in text
    assert "1 row without an answer" in text
    assert "2 rows that may have been triggered twice" in text
    assert "reasons   2 failed, 62104: no task[2J" in text
    assert "62% of the time" in text
    assert "survives the end of the process" in text
    assert lines[-1].strip().startswith("next")


def test_a_run_without_rows_has_finished() -> None:
    empty = summary(rows=0, counts=COUNTS, sends=0, elapsedSeconds=0.0, sendsPerSecond=None)

    assert headline(empty) == "finished: 0 rows, none ended"
