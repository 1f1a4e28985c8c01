"""The disk fails at every call of a run in turn: it is full, it reports an error, it does not sync."""

from __future__ import annotations

from collections import Counter
import errno
from fnmatch import fnmatch
from itertools import count
import random
from typing import NamedTuple

from machine import Machine, machine, thinned, virtually
from platter import Loss
import pytest
from store import Event, Trip

from bulk_trigger.errors import JournalError

pytestmark = virtually

VIEW = "*/*progress.json*"  #: for others to look at: no reason to stop
WORDS = ("the disk", "No space", "Input/output", "Read-only", "cannot be opened")
TROUBLE = {"trouble": 0.25, "seed": 3}
FULL, BROKEN, READ_ONLY = errno.ENOSPC, errno.EIO, errno.EROFS


class Fault(NamedTuple):
    """What goes wrong, in which session: at the nth call of a kind, or from it on."""

    kind: str
    error: int
    forever: bool = False
    resumed: bool = False

    @property
    def is_thinned(self) -> bool:
        """With all of the calls, these would take long."""
        return self.kind in {"write", "*"} or (self.kind == "sync" and (self.forever or self.resumed))


FAULTS = {
    "F84 F86 the disk is full": Fault("write", FULL),
    "F84 P21 it stays full while a run is resumed": Fault("write", FULL, forever=True, resumed=True),
    "F89 writes fail": Fault("write", BROKEN, forever=True),
    "F87 F88 one sync fails": Fault("sync", BROKEN),
    "F87 F88 syncs fail": Fault("sync", BROKEN, forever=True),
    "F87 F88 one sync fails while a run is resumed": Fault("sync", BROKEN, resumed=True),
    "F84 F85 F90 no room for one file": Fault("create", FULL),
    "F84 F85 F90 no room for files": Fault("create", FULL, forever=True),
    "F84 F85 F90 no room for files while a run is resumed": Fault("create", FULL, forever=True, resumed=True),
    "F89 one rename fails": Fault("rename", BROKEN),
    "F89 one truncation fails": Fault("truncate", BROKEN),
    "F92 everything becomes read-only": Fault("*", READ_ONLY, forever=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_the_disk_fails_at_any_call_and_nothing_more_is_sent(
    fault: Fault, request: pytest.FixtureRequest
) -> None:
    """P21, P23: exit 4 and clear words after the first error; with the disk mended, each job exactly once."""
    codes: Counter[int] = Counter()
    for nth in thinned(request) if fault.is_thinned else count(1):
        with machine(remote=TROUBLE) as here:
            if fault.resumed:
                here.store.cut("sync", 30)
                await here.die(here.start())
                here.store.power_on(random.Random(1), Loss.NONE)
            trip = here.store.fail(fault.kind, nth, fault.error, forever=fault.forever)
            code, words = await here.die(here.go_on())
            assert_told(here, trip, code, words)
            here.store.end_process()
            here.store.mend()
            ending = await here.go_on()
            here.assert_each_once()
        assert ending.exit_code == 0
        codes[code] += trip.struck > 0
        if not trip.struck:
            break
    assert codes[4] > 5 or fault.kind == "truncate"  # which happens in the last checkpoint only


def assert_told(here: Machine, trip: Trip, code: int, words: str) -> None:
    """What the program says of an error, and that it stops."""
    if not trip.first:
        assert code == 0
    elif code == 0:
        assert is_harmless(here, trip.first), trip.first
    else:
        assert code == 4 or not here.remote.sends
        assert any(text in words for text in WORDS), words
        assert here.remote.late == 0 or fnmatch(trip.first.file, VIEW), "sent after the first error"


def is_harmless(here: Machine, event: Event) -> bool:
    """Errors that change nothing: of the view; of what SQLite syncs for itself; behind the last record."""
    ends = [each.number for each in here.store.events if fnmatch(each.file, "*/summary.json")]
    return fnmatch(event.file, VIEW) or event.file.endswith("/") or (bool(ends) and event.number > ends[0])


async def test_nothing_is_built_upon_what_a_failed_sync_left_in_doubt(request: pytest.FixtureRequest) -> None:
    """F80, F87, P9: syncs fail, the disk is mended, the run resumed; then the power goes.

    What a sync failed for is in memory and may never be on the disk, though every later sync succeeds.
    """
    struck = 0
    for seed in range(request.config.getoption("kills") // 2):
        dice = random.Random(seed)
        with machine() as here:
            here.store.fail("sync", dice.randint(18, 40), BROKEN, forever=True)
            await here.die(here.start())
            here.store.end_process()
            here.store.mend()
            trip = here.store.cut("sync", dice.randint(3, 30))
            await here.die(here.resume())
            struck += trip.struck
            here.store.power_on(dice, dice.choice([Loss.ALL, Loss.SOME]))
            await here.go_on()
            here.assert_each_once()
    assert struck > 10


async def test_a_marker_that_cannot_be_taken_away_ends_in_a_refusal() -> None:
    """F89, P6: the one error behind which a sound journal looks like one whose last commits are lost."""
    with machine() as here:
        here.store.fail("delete", 1, BROKEN, forever=True, file="*/journal.db-open")
        await here.die(here.start())
        here.store.end_process()
        here.store.mend()

        with pytest.raises(JournalError, match="-wal is missing"):
            await here.resume()
        assert Counter(here.remote.sends) == Counter(here.jobs)
