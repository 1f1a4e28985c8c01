"""How long a run takes at least, before it is started. Pure arithmetic, with its assumption said aloud."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..quantities import Rate

LATENCY_S = 0.05  #: assumed of one call; a real gateway may be slower


class Forecast(msgspec.Struct, frozen=True):
    """The least time that a run takes, and what decides it."""

    seconds: float
    decided_by: str


def forecast(rows: int, longest: int, rates: Sequence[Rate], in_flight: int) -> Forecast:
    """Estimate a run of `rows` sends, `longest` of them in one flow, without retries and look-ups."""
    bounds = [
        Forecast(longest * LATENCY_S, "the longest flow, one call after the other"),
        Forecast(rows * LATENCY_S / in_flight, f"{in_flight} calls in flight"),
        *(Forecast(seconds, f"--rate {rate}") for rate, seconds in _paced(rows, rates)),
    ]
    return max(bounds, key=lambda bound: bound.seconds)


def _paced(rows: int, rates: Sequence[Rate]) -> list[tuple[Rate, float]]:
    """The shortest window is paced evenly; a longer one only counts, so its first fill costs nothing."""
    shortest = min((rate.per_s for rate in rates), default=0.0)
    sends = max(rows - 1, 0)
    return [
        (rate, sends / rate.per_second if rate.per_s == shortest else sends // rate.count * rate.per_s)
        for rate in rates
    ]
