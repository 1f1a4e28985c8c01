"""Did it start? What is done about an attempt that was not answered for certain.

`doubt` says what may be concluded and when, `calibration` whose instance it is, `lookups` makes the calls.
"""

from .calibration import Calibration
from .doubt import (
    REREAD_S,
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
)
from .lookups import Lookups

__all__ = [
    "REREAD_S",
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
]
