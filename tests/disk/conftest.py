"""How much of a long sweep is done for every change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest


@pytest.fixture
def thinned(request: pytest.FixtureRequest) -> Iterator[int]:
    """1, 2, 3, ... with `--kills 240` or more; with fewer, every fourth of them or so."""
    return count(1, max(1, 240 // request.config.getoption("kills")))
