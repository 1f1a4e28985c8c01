"""Where every row of a run stands: one byte per row, so ten million rows are 10 MB.

This is where the journal enforces `model.NEXT`: a row that has ended cannot end again, an intent needs a row
that may be sent. Out of an ending leads only the operator's rerun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import IllegalMove, JournalError
from ..model import ENDINGS, NEXT, RERUN, State
from .schema import CODE_OF, STATES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

PENDING, SENDING = CODE_OF[State.PENDING], CODE_OF[State.SENDING]
AGAIN = len(STATES)  #: pending like a fresh row, but with a history
_STATES = (*STATES, State.PENDING)
_STORED: Mapping[State, int] = {**CODE_OF, State.PENDING: AGAIN}
_LEGAL = tuple(frozenset(_STORED[target] for target in NEXT[state]) for state in _STATES)
_RERUN: Mapping[int, int] = {CODE_OF[ending]: _STORED[target] for ending, target in RERUN.items()}
_ENDED = frozenset(CODE_OF[state] for state in ENDINGS)
UNFINISHED = tuple(code for code in range(len(_STATES)) if code not in _ENDED and code != PENDING)

Undo = list[tuple[int, int]]  #: place and code before, of each move of a transaction


class Standing:
    """The state of the rows `first_row` to `first_row + rows - 1`; all of them start as pending."""

    def __init__(self, first_row: int, rows: int) -> None:
        self._first = first_row
        self._codes = bytearray(rows)
        self._counts = [rows] + [0] * (len(_STATES) - 1)

    def move(self, row: int, target: State, undo: Undo) -> int:
        """Move a row, and return the code of where it was. Raises `IllegalMove` and changes nothing."""
        place, codes, counts = row - self._first, self._codes, self._counts
        if not 0 <= place < len(codes):
            self._place(row)
        before, after = codes[place], _STORED[target]
        if after not in _LEGAL[before]:
            raise IllegalMove(f"row {row} is {_STATES[before]} and cannot become {target}")
        undo.append((place, before))
        counts[before] -= 1
        counts[after] += 1
        codes[place] = after
        return before

    def rerun(self, row: int, undo: Undo) -> State:
        """Take back an ending on the operator's word, and return where the row is now, or raise likewise."""
        place = self._place(row)
        before = self._codes[place]
        if before not in _RERUN:
            raise IllegalMove(f"row {row} is {_STATES[before]}, which cannot be run again")
        after = _RERUN[before]
        undo.append((place, before))
        self._counts[before] -= 1
        self._counts[after] += 1
        self._codes[place] = after
        return _STATES[after]

    def revert(self, undo: Undo) -> None:
        """Take back the moves of a transaction that was not committed."""
        for place, before in reversed(undo):
            self._counts[self._codes[place]] -= 1
            self._counts[before] += 1
            self._codes[place] = before

    def replay(self, history: Iterable[tuple[int, int]]) -> None:
        """Set rows from recorded (row, state code) pairs, oldest first; they are taken as they are."""
        codes, first = self._codes, self._first
        try:
            for row, code in history:
                if row < first:
                    raise IndexError  # noqa: TRY301 - as behind the end, where Python sees it
                codes[row - first] = code or AGAIN
        except (IndexError, TypeError, ValueError) as error:
            raise JournalError(f"the journal has a step of row {row}, which is not in its input") from error
        self._counts = [codes.count(code) for code in range(len(_STATES))]

    def state(self, row: int) -> State:
        """Where a row is."""
        return _STATES[self._codes[self._place(row)]]

    def has_ended(self, row: int) -> bool:
        """Whether a row has its ending."""
        return self._codes[self._place(row)] in _ENDED

    def is_unfinished(self, row: int) -> bool:
        """Whether a row has a history, but no ending."""
        return self._codes[self._place(row)] in UNFINISHED

    def is_sending(self, row: int) -> bool:
        """Whether a row has an intent that nothing answers."""
        return self._codes[self._place(row)] == SENDING

    def rows_in(self, codes: Collection[int]) -> Iterator[int]:
        """Give the rows that have one of these codes, in input order per code."""
        for code in codes:
            place = self._codes.find(code)
            while place >= 0:
                yield place + self._first
                place = self._codes.find(code, place + 1)

    def counts(self) -> dict[State, int]:
        """How many rows are where; every state is there."""
        counts = dict(zip(STATES, self._counts, strict=False))
        counts[State.PENDING] += self._counts[AGAIN]
        return counts

    def _place(self, row: int) -> int:
        place = row - self._first
        if not 0 <= place < len(self._codes):  # a negative index would silently mean another row
            raise IllegalMove(f"row {row} is not in this run")
        return place
