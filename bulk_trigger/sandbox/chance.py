"""Chance without state: the same seed and the same subject give the same number, in any order, in any run."""

import hashlib
import math
from statistics import NormalDist
from typing import assert_never

from .scenario import Latency

_NORMAL = NormalDist()


def dice(seed: int, *subject: object) -> float:
    """Return a number between 0 and 1, ends excluded, that depends on nothing but the arguments."""
    digest = hashlib.blake2b(repr((seed, subject)).encode(), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52


def lognormal(median: float, sigma: float, chance: float) -> float:
    """Return the value below which the share *chance* of a lognormal distribution lies."""
    return median * math.exp(sigma * _NORMAL.inv_cdf(chance))


def latency_s(latency: Latency, chance: float) -> float:
    """Return the latency that *chance* (between 0 and 1) draws, in seconds."""
    match latency.shape:
        case "constant":
            value_ms = latency.median_ms
        case "uniform":
            value_ms = latency.low_ms + (latency.high_ms - latency.low_ms) * chance
        case "lognormal":
            value_ms = lognormal(latency.median_ms, latency.sigma, chance)
        case "pareto":
            value_ms = latency.median_ms * (0.5 / (1 - chance)) ** (1 / latency.alpha)
        case shape:
            assert_never(shape)
    return value_ms / 1000
