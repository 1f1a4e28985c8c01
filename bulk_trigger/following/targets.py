"""What is followed: the instances that the journal holds as created by its run, and what was seen of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..instances import ENDED, Instance, Status
from ..model import Outcome, State


class Target(msgspec.Struct, frozen=True, gc=False):
    """A row that created an instance. Times are epoch milliseconds."""

    row: int
    flow_id: int
    trigger_time_ms: int
    sent_ms: int  #: 0 if that is not known


class Followed:
    """An instance ID, the rows that were told it, and what is known of it."""

    __slots__ = ("absent_since", "has_namesake", "instance_id", "lost", "seen", "targets", "unseen")

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        self.targets: list[Target] = []  #: more than one only with `--duplicates send`
        self.seen: Instance | None = None  #: as it was last seen
        self.unseen = 0  #: looks in a row that did not show it
        self.absent_since: float | None = None  #: monotonic seconds
        self.has_namesake = False  #: an older one has the same ID, and has not ended
        self.lost = False  #: what became of it cannot be told

    @property
    def flow_id(self) -> int:
        """The flow that it is of."""
        return self.targets[0].flow_id

    @property
    def trigger_time_ms(self) -> int:
        """The time that it was triggered for."""
        return self.targets[0].trigger_time_ms

    @property
    def sent_ms(self) -> int:
        """When it may first have been created."""
        return min(target.sent_ms for target in self.targets)

    @property
    def newest(self) -> tuple[int, int]:
        """By what the newest comes first: when it was sent, and by which row."""
        return max((target.sent_ms, target.row) for target in self.targets)

    @property
    def status(self) -> Status | None:
        """Its last known status; None before it was seen, and if it is lost."""
        return None if self.seen is None or self.lost else Status(self.seen.status or 0)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.lost or (self.seen is not None and self.seen.status in ENDED)

    @property
    def word(self) -> str:
        """What the results say of it; "" if it was not seen yet."""
        if self.lost:
            return State.UNKNOWN.value
        return self.status.word if self.status is not None else ""


def targets_in(outcomes: Iterable[Outcome]) -> list[Followed]:
    """The instances that rows created, in the order of their first rows."""
    found: dict[str, Followed] = {}
    for outcome in outcomes:
        if outcome.state is not State.SUCCEEDED or not outcome.instance_id:
            continue
        followed = found.setdefault(outcome.instance_id, Followed(outcome.instance_id))
        assert isinstance(outcome.flow_id, int)  # noqa: S101 - only invalid rows keep a text
        assert isinstance(outcome.trigger_time_ms, int)  # noqa: S101 - as above
        followed.targets.append(
            Target(outcome.row, outcome.flow_id, outcome.trigger_time_ms, outcome.sent_ms or 0)
        )
    return list(found.values())
