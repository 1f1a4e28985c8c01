"""Did it start? What is done about an attempt that was not answered for certain.

`doubt` says what may be concluded and when, `calibration` whose instance it is, `lookups` makes the calls.
"""

from .calibration import Calibration
from .doubt import (
    Absent,
    Conclusion,
    Doubt,
    Found,
    ReadAgain,
    Reading,
    Undecided,
    Waits,
    conclude,
    first_read,
    reread_after,
)
from .lookups import Lookups

__all__ = [
    "Absent",
    "Calibration",
    "Conclusion",
    "Doubt",
    "Found",
    "Lookups",
    "ReadAgain",
    "Reading",
    "Undecided",
    "Waits",
    "conclude",
    "first_read",
    "reread_after",
]
