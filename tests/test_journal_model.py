"""The journal against a plain dictionary: whatever is written, closed, killed and opened again."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
import tempfile

from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from journals import MINUTE, T0, create
import pytest

from bulk_trigger.errors import IllegalMove
from bulk_trigger.journal import Journal
from bulk_trigger.model import ENDINGS, NEXT, RERUN, Intent, Job, Row, State, Step
from bulk_trigger.settings import Duplicates, Durability, Order


class JournalMachine(RuleBasedStateMachine):
    """Moves rows at random, mostly legally, and compares the journal with `self.states`."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self.now = T0
        self.epoch = 1

    @initialize(
        flows=st.lists(st.integers(1, 4), min_size=1, max_size=12),
        times=st.lists(st.integers(0, 5), min_size=12, max_size=12),
        order=st.sampled_from(Order),
    )
    def begin(self, flows: list[int], times: list[int], order: Order) -> None:
        self.rows = {n: Row(n, flow, T0 + times[n - 1] * MINUTE) for n, flow in enumerate(flows, 1)}
        self.order = order
        self.states = dict.fromkeys(self.rows, State.PENDING)
        self.events: dict[int, list[Intent | Step]] = {row: [] for row in self.rows}
        self.attempts = dict.fromkeys(self.rows, 0)
        directory = Path(self._directory.name)
        self.path = directory / "journal.db"
        self.journal = create(directory, self.rows.values(), order=order, duplicates=Duplicates.SEND)

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
        self._directory.cleanup()

    def _tick(self) -> int:
        self.now += 1
        return self.now

    def _pick(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.rows)), label="row")

    @rule(data=st.data(), goal=st.sampled_from(State))
    def move(self, data: st.DataObject, goal: State) -> None:
        """One step or intent: written when `NEXT` allows it, refused without a trace when not."""
        row = self._pick(data)
        event: Intent | Step
        if goal is State.SENDING:
            event = Intent(row, self.attempts[row] + 1, self._tick())
            batch: tuple[list[Intent], list[Step]] = [event], []
        else:
            sent = self._tick() if self.states[row] is State.SENDING and data.draw(st.booleans()) else None
            event = Step(row=row, state=goal, at_ms=self._tick(), attempt=self.attempts[row], sent_ms=sent)
            batch = [], [event]
        if goal not in NEXT[self.states[row]]:
            with pytest.raises(IllegalMove):
                self.journal.write(*batch)
            return
        self.journal.write(*batch)
        self.attempts[row] += goal is State.SENDING
        self.states[row] = goal
        self.events[row].append(event)

    @rule(data=st.data())
    def skip_rest(self, data: st.DataObject) -> None:
        last = self.rows[self._pick(data)]
        lane = self._lane(last.flow_id)
        rest = [row for row in lane[lane.index(last.row) + 1 :] if self.states[row] not in ENDINGS]
        at_ms, job = self._tick(), Job(last.row, last.flow_id, last.trigger_time_ms)
        if any(State.SKIPPED not in NEXT[self.states[row]] for row in rest):
            with pytest.raises(IllegalMove):
                self.journal.skip_rest(job, at_ms, "62104", "no task")
            return
        assert self.journal.skip_rest(job, at_ms, "62104", "no task") == len(rest)
        for row in rest:
            self.states[row] = State.SKIPPED
            self.events[row].append(
                Step(row=row, state=State.SKIPPED, at_ms=at_ms, code="62104", message="no task")
            )

    @rule(states=st.sets(st.sampled_from(sorted(RERUN)), min_size=1))
    def rerun(self, states: set[State]) -> None:
        at_ms = self._tick()
        taken = [row for row, state in self.states.items() if state in states]
        assert self.journal.reopen(states, at_ms) == len(taken)
        for row in taken:
            self.states[row] = RERUN[self.states[row]]
            self.events[row].append(
                Step(row=row, state=self.states[row], at_ms=at_ms, code="rerun", via="rerun")
            )

    @rule(durability=st.sampled_from(Durability))
    def resume(self, durability: Durability) -> None:
        self.journal.close()
        self.journal = Journal.open(self.path, at_ms=self._tick(), durability=durability)
        self.epoch += 1

    @precondition(lambda self: self.epoch < 4)
    @rule()
    def look_only(self) -> None:
        self.journal.close()
        self.journal = Journal.read(self.path)
        self.everything_is_as_it_was_told()
        self.resume(Durability.POWER)

    def _lane(self, flow: int) -> list[int]:
        """Rows of a flow in lane order."""
        rows = [row for row in self.rows.values() if row.flow_id == flow]
        if self.order is Order.TIME:
            rows.sort(key=lambda row: (row.trigger_time_ms, row.row))
        return [row.row for row in rows]

    @invariant()
    def everything_is_as_it_was_told(self) -> None:
        """P1."""
        states = list(self.states.values())
        assert self.journal.counts() == {state: states.count(state) for state in State}
        outcomes = list(self.journal.outcomes())
        assert [(o.row, o.state) for o in outcomes] == list(self.states.items())
        for outcome in outcomes:
            told = self.events[outcome.row]
            sends = sum(isinstance(e, Step) and e.sent_ms is not None for e in told)
            assert outcome.attempts == sends + (outcome.state is State.SENDING)
        assert self.journal.totals().sends == sum(outcome.attempts for outcome in outcomes)

    @invariant()
    def lanes_hold_what_has_not_ended(self) -> None:
        """P12."""
        for flow in {row.flow_id for row in self.rows.values()}:
            (lane,) = self.journal.look_ahead([(flow, None)], 99)
            assert [job.row for job in lane] == [r for r in self._lane(flow) if self.states[r] not in ENDINGS]
            for before, after in pairwise(lane):
                assert self.journal.look_ahead([(flow, before)], 1) == [[after]]

    @invariant()
    def unfinished_rows_are_found(self) -> None:
        """P8."""
        expected = {row for row in self.rows if self.events[row] and self.states[row] not in ENDINGS}
        found = {item.job.row: item for item in self.journal.unfinished()}
        assert found.keys() == expected
        for row, item in found.items():
            told = self.events[row]
            assert item.steps == tuple(event for event in told if isinstance(event, Step))
            assert item.intent == (told[-1] if self.states[row] is State.SENDING else None)
            assert item.attempt == self.attempts[row] or not item.attempt


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = budget(max_examples=25, stateful_step_count=25, deadline=None)
