"""The disk fails at every call of a run in turn: it is full, it reports an error, it does not sync."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
import errno
from fnmatch import fnmatch
from itertools import count
from pathlib import Path

from machine import Machine, machine, virtually
import pytest
from sqlite_files import Kind
from store import Event, Trip

pytestmark = virtually

VIEW = "*/*progress.json*"  #: for others to look at: no reason to stop
FULL, BROKEN = errno.ENOSPC, errno.EIO


@pytest.mark.parametrize("forever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        pytest.param("write", FULL, id="F84 F86 disk full"),
        pytest.param("write", BROKEN, id="F89 write error"),
        pytest.param("sync", BROKEN, id="F87 F88 sync error"),
        pytest.param("create", FULL, id="F84 no room for a file"),
        pytest.param("rename", BROKEN, id="F89 rename error"),
        pytest.param("truncate", BROKEN, id="F89 truncate error"),
    ],
)
async def test_the_disk_fails_at_any_call_and_nothing_more_is_sent(
    tmp_path: Path, kind: Kind, error: int, forever: bool, thinned: Iterator[int]
) -> None:
    """P21, P23: exit 4 and clear words after the first error; with the disk mended, each job exactly once."""
    codes: Counter[int] = Counter()
    for nth in thinned if kind == "write" else count(1):
        with machine(tmp_path / str(nth), remote={"trouble": 0.2, "seed": 4}) as here:
            trip = here.store.fail(kind, nth, error, forever=forever)
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
    assert codes[4] > 5 or kind == "truncate"  # which happens in the last checkpoint only


def assert_told(here: Machine, trip: Trip, code: int, words: str) -> None:
    """What the program says of an error, and that it stops."""
    if not trip.first:
        assert code == 0
    elif code == 0:
        assert is_harmless(here, trip.first), trip.first
    else:
        assert code == 4 or not here.remote.sends
        assert any(text in words for text in ("the disk", "No space", "Input/output", "cannot be opened")), (
            words
        )
        assert here.remote.late == 0 or fnmatch(trip.first.file, VIEW), "sent after the first error"


def is_harmless(here: Machine, event: Event) -> bool:
    """Errors that change nothing: of the view; of what SQLite syncs for itself; behind the last record."""
    ends = [each.number for each in here.store.events if fnmatch(each.file, "*/summary.json")]
    return fnmatch(event.file, VIEW) or event.file.endswith("/") or (bool(ends) and event.number > ends[0])
