"""Which job may act next.

Rule 1: every ordering decision of the program is made in this file.
Rule 2: this file never waits, reads a clock or does I/O; callers pass `now` (monotonic seconds).
Rule 3: a lane is the queue of one flow. The job at its head has a `Case`; nothing behind the head ever acts.

An open lane is in exactly one place at any moment:

    ready     its head may act now: in both heaps below
    waiting   its head may act at a known time: in `_waiting`
    busy      its head was taken, and neither `settle`, `wait` nor `release` was called for it yet
    hungry    its look-ahead is empty while the journal may have more of its rows: `feed` makes it ready

A lane whose last row has ended does not exist any more. It may be opened again by whoever does not know
that: it is then fed from the journal, which has nothing for it. So the journal must have been told first.

Between lanes (design decision 16): the lanes that decide the end of the run go first, the longest of them
ahead; the others by the row at their head, so the input's order is kept where nothing is lost by it, and
nobody starves. A heap entry is never removed from the middle: it is recognised as stale when it comes up, and
a heap that is mostly stale is built anew. The heap by length is kept only from when it first matters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from math import inf

import msgspec

from .errors import IllegalMove
from .model import NEXT, Job, State

_SPARE = 64  #: stale entries that a heap may hold before it is worth building anew


class Case(msgspec.Struct, eq=False, gc=False):
    """What is known about the job at the head of a lane. Changed by the run, one owner at a time."""

    job: Job
    state: State = State.PENDING
    attempts: int = 0  #: sends so far
    charged: int = 0  #: those that count against `--retries`
    first_sent_ms: int | None = None  #: by the gateway's clock, as far as that is known
    sent_ms: int | None = None
    doubt: object | None = None  #: while reconciling: what put it in doubt, see `reconcile`
    checked: bool = False  #: with `--baseline`: was looked up before the first send
    dup_risk: bool = False
    order_uncertain: bool = False
    anomaly: bool = False
    urgent: bool = False  #: its lane decides the end of the run: it goes before others
    trial: bool = False  #: the last send was a trial during a pause: it is not charged

    def move(self, state: State) -> None:
        """Go to another state. Raises `IllegalMove` for what `model.NEXT` does not allow."""
        if state not in NEXT[self.state]:
            raise IllegalMove(f"row {self.job.row}: {self.state} → {state} (attempt {self.attempts})")
        self.state = state

    def __repr__(self) -> str:
        return f"<Case row {self.job.row} of flow {self.job.flow_id}: {self.state}, {self.attempts} attempts>"


class _Lane:
    __slots__ = ("case", "flow_id", "more", "place", "queue", "rows_left", "tainted")

    def __init__(self, flow_id: int, rows_left: int, *, tainted: bool) -> None:
        self.flow_id = flow_id
        self.rows_left = rows_left  #: rows of the flow that have not ended, the head included
        self.queue: deque[Job] = deque()  #: the look-ahead behind the head
        self.more = True  #: whether the journal has rows beyond the look-ahead
        self.case: Case | None = None
        self.place = "hungry"
        self.tainted = tainted  #: a row of this lane ended as unknown, and the lane went on


class Lanes:
    """All open lanes."""

    def __init__(self, recall: Callable[[Job], Case] = Case) -> None:
        self._recall = recall  #: makes the case of a job, with what an earlier process left of it
        self._lanes: dict[int, _Lane] = {}
        self._by_row: list[tuple[int, int]] = []  # (row of the head, flow)
        self._by_length: list[tuple[int, int]] | None = None  # (-rows left, flow); None: nobody needed it yet
        self._most_rows = 0  # that any lane has left, or more
        self._waiting: list[tuple[float, int, int]] = []  # (due, row of the head, flow)
        self._stopped: set[int] = set()
        self._hungry: dict[int, None] = {}  # flows whose look-ahead is short, in the order they got so
        self.ready = 0
        self.waiting = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def __contains__(self, flow_id: int) -> bool:
        return flow_id in self._lanes

    def __repr__(self) -> str:
        return f"<Lanes {len(self)} open | {self.ready} ready, {self.waiting} waiting>"

    # --- what comes in

    def open(self, flow_id: int, rows_left: int, *, tainted: bool = False) -> bool:
        """Open the lane of a flow, hungry; False if it is open already or was stopped."""
        if flow_id in self._lanes or flow_id in self._stopped:
            return False
        self._lanes[flow_id] = _Lane(flow_id, rows_left, tainted=tainted)
        self._most_rows = max(self._most_rows, rows_left)
        self._hungry[flow_id] = None
        return True

    def feed(self, flow_id: int, jobs: Iterable[Job], *, more: bool) -> None:
        """Add the next rows of a flow to its look-ahead; `more`: the journal has rows beyond these."""
        lane = self._lanes[flow_id]
        lane.queue.extend(jobs)
        lane.more = more
        self._hungry.pop(flow_id, None)
        if lane.place == "hungry":
            self._advance(lane)

    def hungry(self, limit: int) -> list[tuple[int, Job | None]]:
        """Up to `limit` flows whose look-ahead is short, each with the last job that it holds."""
        found: list[tuple[int, Job | None]] = []
        for flow_id in self._hungry:
            if len(found) == limit:
                break
            lane = self._lanes[flow_id]
            found.append((flow_id, lane.queue[-1] if lane.queue else lane.case.job if lane.case else None))
        return found

    # --- what acts

    def take(self, now: float, critical_rows: float = inf, *, critical_only: bool = False) -> Case | None:
        """The case that is to act now, or None. Its lane is busy until it is settled, waits or is released.

        `critical_rows`: a lane with at least so many rows left decides the end of the run; its cases are
        `urgent`. `critical_only`: take no other.
        """
        if self._waiting:
            self._wake(now)
        lane = self._critical(critical_rows) if critical_rows <= self._most_rows else None
        urgent = lane is not None
        if lane is None and not critical_only:
            lane = self._first_ready()
        if lane is None or lane.case is None:
            return None
        lane.place = "busy"
        self.ready -= 1
        lane.case.urgent = urgent
        return lane.case

    def release(self, case: Case) -> None:
        """The case may act again at once."""
        self._ready(self._busy(case))

    def wait(self, case: Case, due: float) -> None:
        """The case may act again at `due`."""
        self._wait(self._busy(case), due)

    def settle(self, case: Case) -> None:
        """The case has ended; the next row of its lane may act."""
        self._advance(self._busy(case), ended=True)

    def taint(self, flow_id: int) -> None:
        """The order of this flow is uncertain from its next row on."""
        self._lanes[flow_id].tainted = True

    def stop(self, case: Case) -> bool:
        """Close the lane of a case that has ended, for good; returns whether rows are left behind it."""
        lane = self._busy(case)
        del self._lanes[lane.flow_id]
        self._hungry.pop(lane.flow_id, None)
        if left := bool(lane.queue) or lane.more:
            self._stopped.add(lane.flow_id)
        return left

    # --- what is asked

    @property
    def are_hungry(self) -> bool:
        """Whether a look-ahead is short."""
        return bool(self._hungry)

    def next_due(self) -> float | None:
        """When the first waiting case may act, or None."""
        return self._waiting[0][0] if self._waiting else None

    def longest(self) -> tuple[int, int] | None:
        """The open lane with the most rows left, as (flow, rows left); looks at all lanes."""
        lane = max(self._lanes.values(), key=lambda lane: lane.rows_left, default=None)
        return (lane.flow_id, lane.rows_left) if lane else None

    # --- inside

    def _busy(self, case: Case) -> _Lane:
        lane = self._lanes[case.job.flow_id]
        if lane.place != "busy" or lane.case is not case:
            raise IllegalMove(f"{case!r} is not the busy head of its lane")
        return lane

    def _advance(self, lane: _Lane, *, ended: bool = False) -> None:
        lane.case = None
        lane.rows_left -= ended
        if lane.queue:
            lane.case = self._recall(lane.queue.popleft())
            if lane.tainted:
                lane.case.order_uncertain = True
            self._ready(lane)
        elif lane.more:
            lane.place = "hungry"
        else:
            del self._lanes[lane.flow_id]
            return
        if lane.more and len(lane.queue) < 2:
            self._hungry[lane.flow_id] = None

    def _ready(self, lane: _Lane) -> None:
        assert lane.case is not None  # noqa: S101 - only called with a head
        lane.place = "ready"
        self.ready += 1
        heappush(self._by_row, (lane.case.job.row, lane.flow_id))
        most = 2 * len(self._lanes) + _SPARE
        if self._by_length is not None:
            heappush(self._by_length, (-lane.rows_left, lane.flow_id))
            if len(self._by_length) > most:
                self._by_length = self._fresh(_length_key)
        if len(self._by_row) > most:
            self._by_row = self._fresh(_row_key)

    def _wait(self, lane: _Lane, due: float) -> None:
        assert lane.case is not None  # noqa: S101 - only called with a head
        lane.place = "waiting"
        self.waiting += 1
        heappush(self._waiting, (due, lane.case.job.row, lane.flow_id))

    def _wake(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, _, flow_id = heappop(self._waiting)
            self.waiting -= 1
            self._ready(self._lanes[flow_id])

    def _critical(self, rows: float) -> _Lane | None:
        """The longest lane that is ready, if it has at least so many rows left."""
        if self._by_length is None:
            self._most_rows = max((lane.rows_left for lane in self._lanes.values()), default=0)
            if self._most_rows < rows:
                return None
            self._by_length = self._fresh(_length_key)
        lane = self._longest_ready(self._by_length)
        return lane if lane is not None and lane.rows_left >= rows else None

    def _longest_ready(self, heap: list[tuple[int, int]]) -> _Lane | None:
        while heap:
            length, flow_id = heap[0]
            lane = self._lanes.get(flow_id)
            if lane is not None and lane.place == "ready" and lane.rows_left == -length:
                return lane
            heappop(heap)
        return None

    def _first_ready(self) -> _Lane | None:
        heap = self._by_row
        while heap:
            row, flow_id = heap[0]
            lane = self._lanes.get(flow_id)
            if lane is not None and lane.place == "ready" and lane.case and lane.case.job.row == row:
                return lane
            heappop(heap)
        return None

    def _fresh(self, key: _Key) -> list[tuple[int, int]]:
        heap = [(key(lane), lane.flow_id) for lane in self._lanes.values() if lane.place == "ready"]
        heapify(heap)
        return heap


_Key = Callable[[_Lane], int]


def _row_key(lane: _Lane) -> int:
    return lane.case.job.row if lane.case else 0


def _length_key(lane: _Lane) -> int:
    return -lane.rows_left
