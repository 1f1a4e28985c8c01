"""A run: the only place that knows all the stages.

run        opens the tasks, drains, ends        dispatch   what starts next
feed       keeps the lanes supplied             judge      what a reply means
doubts     what a look-up means                 moves      one step in journal and lane
scribe     the journal's thread, group commits  recall     what earlier sessions left
alarm      bugs in callbacks                    outage     pause, probe, go on
herald     tells the observer                   tally      the numbers, and the bottleneck
"""

from .moves import Stop
from .outputs import Ending, discard_results, exit_code_of, write_outputs
from .run import Run

__all__ = ["Ending", "Run", "Stop", "discard_results", "exit_code_of", "write_outputs"]
