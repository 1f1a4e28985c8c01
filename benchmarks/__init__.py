"""Measurements, one question per file: `python -m benchmarks.throughput` prints one line of JSON.

`python -m benchmarks` asks them all, and writes `figures.md` and the pictures beside it. The simulated world
is the one of the tests.
"""

from pathlib import Path
import sys

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # last: no name there may hide another
