"""Which job acts next: order within a flow, fairness between flows, and nothing lost or invented."""

from __future__ import annotations

from hypothesis import HealthCheck
from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
import pytest

from bulk_trigger.errors import IllegalMove
from bulk_trigger.lanes import _SPARE, Case, Lanes
from bulk_trigger.model import ENDINGS, NEXT, Job, State

FLOWS = range(1, 7)


def jobs_of(flow_id: int, *rows: int) -> list[Job]:
    return [Job(row, flow_id, 1_700_000_000_000 + row * 60_000) for row in rows]


def open_and_feed(lanes: Lanes, flow_id: int, *rows: int) -> None:
    assert lanes.open(flow_id, len(rows))
    lanes.feed(flow_id, jobs_of(flow_id, *rows), more=False)


def taken(lanes: Lanes, now: float = 0.0, critical_rows: float = float("inf")) -> Case:
    case = lanes.take(now, critical_rows)
    assert case is not None
    return case


class Flow:
    """The reference: a flow as plain lists. `rest` stays in the journal, `ahead` was fed, `head` may act."""

    def __init__(self, flow_id: int, rows: list[int]) -> None:
        self.flow_id = flow_id
        self.rest = rows
        self.ahead: list[int] = []
        self.head: int | None = None
        self.place = "closed"
        self.due = 0.0
        self.left = len(rows)
        self.more = True
        self.hungry = False
        self.tainted = False
        self.ended: list[int] = []

    def advance(self) -> None:
        self.head = None
        if self.ahead:
            self.head, self.place = self.ahead.pop(0), "ready"
        elif self.more:
            self.place = "hungry"
        else:
            self.place, self.hungry = "closed", False
            return
        self.hungry |= self.more and len(self.ahead) < 2


class LanesMachine(RuleBasedStateMachine):
    """Random histories of up to six flows, against `Flow`."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes()
        self.now = 0.0
        self.busy: dict[int, Case] = {}
        self.most = 0

    @initialize(flows=st.lists(st.sampled_from(FLOWS), max_size=40))
    def list_the_jobs(self, flows: list[int]) -> None:
        rows: dict[int, list[int]] = {flow_id: [] for flow_id in FLOWS}
        for row, flow_id in enumerate(flows, 1):
            rows[flow_id].append(row)
        self.rows = rows
        self.flows = {flow_id: Flow(flow_id, list(rows[flow_id])) for flow_id in FLOWS}

    def _at(self, *places: str) -> list[Flow]:
        return [flow for flow in self.flows.values() if flow.place in places]

    @rule(flow_id=st.sampled_from(FLOWS))
    def open(self, flow_id: int) -> None:
        flow = self.flows[flow_id]
        is_new = flow.place == "closed"

        assert self.lanes.open(flow_id, flow.left) is is_new
        if is_new:  # a lane that closed may be opened again by whoever does not know that
            flow.place, flow.hungry, flow.more, flow.tainted = "hungry", True, True, False
        self.most = max(self.most, len(self.lanes))

    @rule(flows=st.integers(0, 4), limit=st.integers(1, 4))
    def feed(self, flows: int, limit: int) -> None:
        """As `Feed` does: asks who is hungry, and brings up to `limit` rows behind the last one held."""
        everyone = self.lanes.hungry(len(FLOWS))
        requests = self.lanes.hungry(flows)
        assert {flow_id for flow_id, _ in everyone} == {f.flow_id for f in self.flows.values() if f.hungry}
        assert requests == everyone[:flows]
        for flow_id, after in requests:
            flow = self.flows[flow_id]
            held = flow.ahead[-1] if flow.ahead else flow.head
            assert (after.row if after else None) == held
            rows, flow.rest = flow.rest[:limit], flow.rest[limit:]
            self.lanes.feed(flow_id, jobs_of(flow_id, *rows), more=len(rows) == limit)
            flow.ahead += rows
            flow.more, flow.hungry = len(rows) == limit, False
            if flow.place == "hungry":
                flow.advance()

    @rule(critical_rows=st.sampled_from([0.0, 1.0, 3.0, 3.5, 6.0, float("inf")]))
    def take(self, critical_rows: float) -> None:
        for flow in self._at("waiting"):
            if flow.due <= self.now:
                flow.place = "ready"
        ready = self._at("ready")
        case = self.lanes.take(self.now, critical_rows)
        if not ready:
            assert case is None
            return
        longest = min(ready, key=lambda flow: (-flow.left, flow.flow_id))
        first = min(ready, key=lambda flow: flow.head or 0)
        expected = longest if longest.left >= critical_rows else first
        assert case is not None
        assert (case.job.flow_id, case.job.row) == (expected.flow_id, expected.head)
        assert case.order_uncertain is expected.tainted
        assert expected.flow_id not in self.busy
        expected.place = "busy"
        self.busy[expected.flow_id] = case

    def _pick(self, data: st.DataObject) -> tuple[Flow, Case]:
        flow_id = data.draw(st.sampled_from(sorted(self.busy)), label="flow")
        return self.flows[flow_id], self.busy.pop(flow_id)

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        flow, case = self._pick(data)
        self.lanes.release(case)
        flow.place = "ready"

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.1, 1.0, 1.0, 30.0]))
    def wait(self, data: st.DataObject, delay: float) -> None:
        flow, case = self._pick(data)
        self.lanes.wait(case, self.now + delay)
        flow.place, flow.due = "waiting", self.now + delay

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), taint=st.booleans())
    def settle(self, data: st.DataObject, taint: bool) -> None:
        flow, case = self._pick(data)
        if taint:
            self.lanes.taint(flow.flow_id)
            flow.tainted = True
        self.lanes.settle(case)
        flow.ended.append(case.job.row)
        flow.left -= 1
        flow.advance()

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        flow, case = self._pick(data)
        left = bool(flow.ahead) or flow.more
        assert self.lanes.stop(case) is left
        flow.ended.append(case.job.row)
        flow.left -= 1
        flow.head, flow.hungry = None, False
        flow.place = "stopped" if left else "closed"

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 40.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.lanes.next_due() is not None)
    @rule()
    def pass_time_to_the_next_due(self) -> None:
        due = self.lanes.next_due()
        assert due is not None
        self.now = max(self.now, due)

    @invariant()
    def agrees(self) -> None:
        """P12, P14: what is asked of the lanes is what the reference says."""
        if not hasattr(self, "flows"):
            return
        is_open = self._at("hungry", "ready", "waiting", "busy")
        waiting = self._at("waiting")
        assert len(self.lanes) == len(is_open)
        assert all((flow_id in self.lanes) == (self.flows[flow_id] in is_open) for flow_id in FLOWS)
        assert self.lanes.ready == len(self._at("ready"))
        assert self.lanes.waiting == len(waiting)
        assert self.lanes.next_due() == min((flow.due for flow in waiting), default=None)
        assert self.lanes.are_hungry is any(flow.hungry for flow in self.flows.values())
        longest = self.lanes.longest()
        assert (longest[1] if longest else None) == max((flow.left for flow in is_open), default=None)
        for flow in self.flows.values():
            assert flow.ended == self.rows[flow.flow_id][: len(flow.ended)]
            assert flow.hungry or flow.place != "hungry"
        for heap in (self.lanes._by_row, self.lanes._by_length or []):
            assert len(heap) <= 2 * self.most + _SPARE

    def teardown(self) -> None:
        """P1: whatever happened, the rest ends row by row, and every row came up exactly once."""
        if not hasattr(self, "flows"):
            return
        for flow_id in FLOWS:
            self.open(flow_id)
        for flow_id, busy in self.busy.items():
            self.lanes.release(busy)
            self.flows[flow_id].place = "ready"
        self.busy.clear()
        while len(self.lanes):
            self.feed(len(FLOWS), 3)
            self.now += 60.0
            while case := self.lanes.take(self.now):
                flow = self.flows[case.job.flow_id]
                assert case.job.row == self.rows[flow.flow_id][len(flow.ended)]
                flow.ended.append(case.job.row)
                flow.left -= 1
                self.lanes.settle(case)
                flow.advance()
        for flow in self.flows.values():
            assert flow.place == "stopped" or flow.ended == self.rows[flow.flow_id]


TestLanesAgainstAReference = LanesMachine.TestCase
TestLanesAgainstAReference.settings = budget(
    max_examples=250, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_a_flow_gives_its_rows_in_order_and_one_at_a_time() -> None:
    """P12: first sends of a flow are in input order, one in flight."""
    lanes = Lanes()
    open_and_feed(lanes, 7, 1, 2, 3)
    order = []

    while case := lanes.take(0.0):
        assert lanes.take(0.0) is None
        order.append(case.job.row)
        lanes.settle(case)

    assert order == [1, 2, 3]
    assert len(lanes) == 0


def test_a_row_that_is_not_settled_blocks_its_flow_and_no_other() -> None:
    """P13, P14: the flow waits for its next attempt, its neighbour goes on."""
    lanes = Lanes()
    open_and_feed(lanes, 7, 1, 2)
    open_and_feed(lanes, 8, 3, 4)
    lanes.wait(taken(lanes), due=5.0)
    others = []

    while case := lanes.take(4.999):
        others.append(case.job.row)
        lanes.settle(case)

    assert others == [3, 4]
    assert taken(lanes, 5.0).job.row == 1


def test_a_waiting_row_comes_back_exactly_when_it_is_due() -> None:
    lanes = Lanes()
    open_and_feed(lanes, 7, 1)
    lanes.wait(taken(lanes), due=5.0)

    assert lanes.next_due() == 5.0
    assert lanes.take(5.0 - 1e-9) is None
    assert taken(lanes, 5.0).job.row == 1
    assert lanes.next_due() is None


def test_the_longest_flow_goes_first_while_it_decides_the_end_of_the_run() -> None:
    lanes = Lanes()
    open_and_feed(lanes, 7, 1, 2)
    open_and_feed(lanes, 8, 3, 4, 5, 6)

    critical = taken(lanes, critical_rows=4)
    lanes.settle(critical)
    no_longer = taken(lanes, critical_rows=4)

    assert critical.job.row == 3
    assert no_longer.job.row == 1


def test_no_ready_flow_starves_behind_flows_that_are_always_ready() -> None:
    """P14: between flows it goes by the row at their head, so a wait is bounded by the rows before it."""
    lanes = Lanes()
    for flow_id in range(1, 11):
        open_and_feed(lanes, flow_id, *range(flow_id, 1000, 10))
    order = []

    while case := lanes.take(0.0):
        order.append(case.job.row)
        lanes.settle(case)

    assert order == sorted(order)


def test_a_stopped_flow_closes_for_good() -> None:
    lanes = Lanes()
    open_and_feed(lanes, 7, 1, 2)

    assert lanes.stop(taken(lanes))
    assert 7 not in lanes
    assert not lanes.open(7, 1)
    assert not lanes.are_hungry


def test_a_flow_that_is_stopped_at_its_last_row_leaves_nothing_behind() -> None:
    lanes = Lanes()
    open_and_feed(lanes, 7, 1)

    assert not lanes.stop(taken(lanes))


def test_a_lane_that_closed_can_be_opened_again_and_has_nothing() -> None:
    """P6: whoever opens a finished flow gets from the journal what it has left, which is nothing."""
    lanes = Lanes()
    open_and_feed(lanes, 7, 1)
    lanes.settle(taken(lanes))

    assert lanes.open(7, 0)
    assert lanes.hungry(10) == [(7, None)]
    lanes.feed(7, [], more=False)
    assert 7 not in lanes
    assert lanes.take(0.0) is None


def test_rows_behind_a_doubtful_one_are_marked_when_the_flow_goes_on() -> None:
    """P13: with `--on-unknown continue` the later rows say that their order is uncertain."""
    lanes = Lanes()
    open_and_feed(lanes, 7, 1, 2, 3)
    lanes.settle(taken(lanes))
    doubtful = taken(lanes)
    lanes.taint(7)
    lanes.settle(doubtful)

    assert not doubtful.order_uncertain
    assert taken(lanes).order_uncertain


def test_a_lane_that_opens_tainted_marks_its_first_row() -> None:
    """P13: also when the doubtful row ended in an earlier session."""
    lanes = Lanes()
    lanes.open(7, 1, tainted=True)
    lanes.feed(7, jobs_of(7, 5), more=False)

    assert taken(lanes).order_uncertain


def test_only_the_busy_head_of_a_lane_can_be_moved() -> None:
    lanes = Lanes()
    open_and_feed(lanes, 7, 1, 2)
    case = taken(lanes)
    stranger = Case(case.job)

    with pytest.raises(IllegalMove, match="row 1"):
        lanes.settle(stranger)
    lanes.settle(case)
    for move in (lanes.settle, lanes.release, lanes.stop):
        with pytest.raises(IllegalMove):
            move(case)
    with pytest.raises(IllegalMove):
        lanes.wait(case, 1.0)


def test_stale_entries_do_not_pile_up() -> None:
    """P26: a long run over few flows does not grow."""
    lanes = Lanes()
    for flow_id in range(1, 4):
        open_and_feed(lanes, flow_id, flow_id)

    for _ in range(5000):
        lanes.release(taken(lanes, critical_rows=0))

    assert len(lanes._by_row) <= 2 * 3 + _SPARE
    assert len(lanes._by_length or []) <= 2 * 3 + _SPARE


def test_the_history_of_a_row_is_asked_for_when_it_reaches_the_head() -> None:
    asked = []

    def recall(job: Job) -> Case:
        asked.append(job.row)
        return Case(job)

    lanes = Lanes(recall)
    open_and_feed(lanes, 7, 1, 2)
    assert asked == [1]
    lanes.settle(taken(lanes))
    assert asked == [1, 2]


def test_a_job_that_reaches_the_head_has_no_history() -> None:
    (job,) = jobs_of(7, 1)
    case = Case(job)

    assert (case.state, case.attempts, case.charged) == (State.PENDING, 0, 0)
    assert (case.first_sent_ms, case.sent_ms, case.doubt) == (None, None, None)
    facts = (case.checked, case.dup_risk, case.order_uncertain, case.anomaly, case.urgent, case.trial)
    assert not any(facts)


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_a_case_moves_only_as_the_table_allows(before: State, after: State) -> None:
    """P1: an ending is one."""
    (job,) = jobs_of(7, 1)
    case = Case(job)
    case.state = before

    if after in NEXT[before]:
        assert before not in ENDINGS
        case.move(after)
        assert case.state is after
    else:
        with pytest.raises(IllegalMove, match=f"row 1: {before} → {after}"):
            case.move(after)
        assert case.state is before


def test_lanes_and_cases_show_themselves() -> None:
    lanes = Lanes()
    open_and_feed(lanes, 7, 1)
    open_and_feed(lanes, 8, 2)
    case = taken(lanes)
    lanes.wait(case, 1.0)

    assert repr(lanes) == "<Lanes 2 open | 1 ready, 1 waiting>"
    assert repr(case) == "<Case row 1 of flow 7: pending, 0 attempts>"
