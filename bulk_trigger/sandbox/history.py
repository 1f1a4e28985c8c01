"""The scheduled instances that a scenario says were there before: which, and how they ended."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from .chance import dice
from .flows import FlowSet
from .scenario import History, Instance

_SUCCESS = 1


def remember(histories: Sequence[History], seed: int) -> Iterator[tuple[Instance, int]]:
    """Yield those that were created, each with the digits of its id. The same seed gives the same ones."""
    for history in histories:
        at = history.since
        while at < history.until:
            trigger_time = int(at.timestamp()) * 1000
            for flow in FlowSet(history.flows):
                status = _end(history, dice(seed, "history", flow, trigger_time))
                if status is not None:
                    yield Instance(flow=flow, trigger_time=trigger_time, status=status), history.digits
            at += timedelta(seconds=history.every_s)


def _end(history: History, chance: float) -> int | None:
    """Return the status that falls to a time; None if it never had an instance."""
    shares = (
        (None, history.missing),
        (-1, history.failed),
        (4, history.internal_error),
        (7, history.timeout),
        (8, history.cancelled),
    )
    for status, share in shares:
        if chance < share:
            return status
        chance -= share
    return _SUCCESS
