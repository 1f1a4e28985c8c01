"""The live view on a terminal: a bar, and four lines under it. The only module that imports rich."""

from __future__ import annotations

from collections.abc import Mapping
import sys

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .progress import Count, Glance

_STYLES = {"succeeded": "green", "failed": "red", "skipped": "yellow", "invalid": "red", "unknown": "magenta"}
_GAP = "   "
_BAR_MAX = 100  #: columns: wider bars are hard to read


class LiveView:
    """Redraws itself in its place, whenever it is shown something."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._console = console or Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self, glance: Glance | Count) -> None:
        """Draw the numbers of this moment."""
        self._live.update(draw(glance, self._title, self._console.width), refresh=True)

    def print(self, text: str) -> None:
        """Print a line above the view."""
        self._console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Take the view away."""
        self._live.stop()


def draw(glance: Glance | Count, title: str, width: int) -> RenderableType:
    """Lay a moment out for a terminal of that width; no line is ever longer."""
    if isinstance(glance, Count):
        figures = f"{glance.percent:>4} {glance.ended:,} of {glance.total:,}"
        lines = [_head(glance.share, figures, title, width), _counts(glance.counts)]
    else:
        figures = f"{glance.percent:>4} {glance.ended:,} of {glance.rows:,}"
        eta = f"{_GAP}{glance.eta}" if glance.eta else ""
        lines = [_head(glance.share, figures + eta, title, width), _rows(glance), _pace(glance)]
        if glance.longest and glance.left:
            flow, rows = glance.longest
            lines.append(_line(f"longest flow left: {flow:d}, {rows:,} rows", style="dim"))
    if glance.waits:
        lines.append(_line(glance.waits, style="yellow"))
    return Group(*lines)


def _head(share: float, figures: str, title: str, width: int) -> RenderableType:
    name = title if len(title) <= width // 4 else title[: width // 4 - 1] + "…"
    room = width - len(name) - len(figures) - 4
    table = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=1.0, completed=share, width=max(min(room, _BAR_MAX), 8))
    table.add_row(Text(name, style="bold"), bar, Text(figures))
    for column in table.columns:
        column.no_wrap = True
    return table


def _rows(glance: Glance) -> Text:
    text = _counts(glance.counts)
    if glance.in_doubt:
        text.append(f"in doubt {glance.in_doubt:,}{_GAP}", style="magenta")
    return text.append(f"left {glance.left:,}")


def _counts(counts: Mapping[str, int]) -> Text:
    text = _line("")
    for word, count in counts.items():
        text.append(f"{word} {count:,}{_GAP}", style=_STYLES.get(word, ""))
    return text


def _pace(glance: Glance) -> Text:
    parts = [glance.speed, f"in flight {glance.in_flight:,}"]
    parts += [f"retries {glance.retries:,}"] if glance.retries else []
    parts += [f"other calls {glance.lookups:,}"] if glance.lookups else []
    return _line(_GAP.join(parts))


def _line(text: str, style: str = "") -> Text:
    return Text(f"  {text}", style=style, no_wrap=True, overflow="ellipsis")
