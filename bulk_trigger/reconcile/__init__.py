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
from .pages import PAGES, Pages, is_no_page

__all__ = [
    "PAGES",
    "Absent",
    "Calibration",
    "Conclusion",
    "Doubt",
    "Found",
    "Lookups",
    "Pages",
    "ReadAgain",
    "Reading",
    "Undecided",
    "Waits",
    "conclude",
    "first_read",
    "is_no_page",
    "reread_after",
]
