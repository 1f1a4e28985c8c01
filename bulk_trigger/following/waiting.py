"""Looks again and again until every instance has ended, and tells what was seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import anyio

from ..instances import BAD, Status
from ..model import Sighting, State
from ..ports import Clock
from ..reconcile.calibration import text_to_epoch
from .lookout import Lookout
from .targets import Followed
from .windows import FRONT

_OFTEN_S = 1.0
_SELDOM_S = 30.0  #: the scheduler itself looks no more often (contract 5.1)
_SHARE = 0.1  #: of the time that it took so far passes between two looks

_WAITING, _RUNNING, _SUCCEEDED, _FAILED = "waiting", "running", State.SUCCEEDED.value, State.FAILED.value
_SHOWN_AS: Mapping[Status, str] = {
    Status.RUNNING: _RUNNING,
    Status.RERUN: _RUNNING,
    Status.SUCCESS: _SUCCEEDED,
    **dict.fromkeys(BAD, _FAILED),
    Status.SKIP: State.SKIPPED.value,
}
ORDER = (_WAITING, _RUNNING, _SUCCEEDED, _FAILED, State.SKIPPED.value, State.UNKNOWN.value)


async def wait_for_end(lookout: Lookout, clock: Clock, timeout_s: float | None) -> bool:
    """Wait until every instance has ended; False: the time was over first. It looks once at least.

    Raises `GatewayError`.
    """
    started = clock.monotonic()
    await lookout.compare_clocks()
    more = await lookout.look(FRONT)
    with anyio.move_on_after(timeout_s):
        while lookout.waiting:
            if not more:
                await anyio.sleep(_pause_s(clock.monotonic() - started))
            more = await lookout.look(FRONT)
    return not lookout.waiting


def counts_of(instances: Iterable[Followed]) -> dict[str, int]:
    """How many instances wait, run, and ended how; without those that there are none of."""
    counts = Counter(_shown_as(each) for each in instances)
    return {word: counts[word] for word in ORDER if counts[word]}


def sightings_of(lookout: Lookout) -> Iterator[Sighting]:
    """What was seen, for each row of each instance that was seen or is lost."""
    for each in lookout.instances:
        if not each.word:
            continue
        started = ended = None
        if each.seen and not each.lost:
            started, ended = _ms(each.seen.start_time, lookout), _ms(each.seen.end_time, lookout)
        for target in each.targets:
            yield Sighting(target.row, each.instance_id, each.word, started, ended if each.is_over else None)


def _pause_s(took_s: float) -> float:
    return min(max(_SHARE * took_s, _OFTEN_S), _SELDOM_S)


def _shown_as(each: Followed) -> str:
    if each.lost:
        return State.UNKNOWN.value
    return _WAITING if each.status is None else _SHOWN_AS.get(each.status, _WAITING)


def _ms(text: str, lookout: Lookout) -> int | None:
    """A time text in epoch milliseconds; None without one, or if its zone is not known."""
    shown = text_to_epoch(text)
    return None if shown is None or lookout.zone_s is None else int((shown - lookout.zone_s) * 1000)
