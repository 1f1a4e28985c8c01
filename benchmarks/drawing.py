"""Bar charts as SVG, for a page that may be light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, LEFT, RIGHT, LINE, TOP = 760, 230, 150, 26, 52
OURS, OTHERS = "#0a7d55", "#8a94a6"


class Bar(NamedTuple):
    """One bar: whose it is, how long, and what stands behind it."""

    label: str
    value: float
    text: str
    is_ours: bool = False


def draw(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """The chart, in the order of the bars."""
    height = TOP + LINE * len(bars) + 12
    longest = max(bar.value for bar in bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img"',
        f'height="{height}" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="600" fill="#1c2330">{escape(title)}</text>',
        f'<text x="16" y="42" font-size="12" fill="#5a6475">{escape(unit)}</text>',
    ]
    for place, bar in enumerate(bars):
        y = TOP + LINE * place
        length = max(1.0, (WIDTH - LEFT - RIGHT) * bar.value / longest)
        colour, weight = (OURS, 600) if bar.is_ours else (OTHERS, 400)
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end" font-weight="{weight}" fill="#1c2330"',
            f">{escape(bar.label)}</text>",
            f'<rect x="{LEFT}" y="{y + 4}" width="{length:.1f}" height="{LINE - 9}" rx="2" fill="{colour}"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{y + 16}" fill="#1c2330">{escape(bar.text)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
