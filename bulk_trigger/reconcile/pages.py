"""Whether the pages of a list can be all of it (contract 5.3: the documentation contradicts itself).

Rule 1: the end is the first empty page. `count` is documented in two ways, as all or as those of the page. So
        it never says that a list is complete; but where more is announced than came, it is not.
Rule 2: page 1 may be page 0 once more, where pages count from 1. Anything else that comes twice shows that
        pages shift, repeat or ignore their number; then something else may not have come at all. Two
        instances of one ID are something else, if they stand on one page and differ: a gateway may start
        a flow twice for one minute.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..instances import Instance, Lookup, judge_lookup
from ..model import Reply

PAGES = 1000  #: a list that is longer than this cannot be read completely


class Pages:
    """What came of one list so far."""

    def __init__(self) -> None:
        self.instances: list[Instance] = []
        self.starts_at_1 = False  #: page 0 was refused
        self._first: Sequence[str] = ()
        self._seen: set[str] = set()
        self._announced = 0
        self.longest_page = 0
        self.repeats = False  #: something came twice

    def add(self, number: int, page: Sequence[Instance], count: int) -> None:
        """Take note of a page and of the count that it states (0 if none)."""
        ids = [each.instance_id for each in page]
        self._announced = max(self._announced, count)
        self.longest_page = max(self.longest_page, len(ids))
        if number == 0:
            self._first = ids
        elif number == 1 and ids == self._first:
            return
        self.repeats |= len(set(page)) < len(page) or not self._seen.isdisjoint(ids)
        self._seen.update(ids)
        self.instances += page

    @property
    def counts_all(self) -> bool:
        """Whether the count that was stated is that of the whole list, and all of it came."""
        return self.longest_page < self._announced == len(self.instances)

    @property
    def contradiction(self) -> str:
        """Why something may be missing although the end was reached; empty if nothing is."""
        if self.repeats:
            return "the list gives the same again and again"
        if self._announced > len(self.instances):
            return f"the list announces {self._announced} instances and gives {len(self.instances)}"
        return ""


def is_no_page(reply: Reply) -> bool:
    """Whether a reply refuses page 0 as such: there pages count from 1."""
    return judge_lookup(reply) is Lookup.UNDECIDED or (reply.fault is None and reply.status in {400, 422})
