"""An error that nobody foresaw, out of any function and any callback: told, never a hang, and resumed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
import gc
from pathlib import Path
import signal
import sqlite3

from campaign import Campaign, aims_at, count_hits
from journals import T0, create, intent, job_rows
from plots import BRIEF, CALM
from points import CALLBACKS, POINTS
import pytest
from victims import Plot, Victim, prove_each_once, victim

from bulk_trigger.errors import JournalError
from bulk_trigger.journal import Journal
from bulk_trigger.model import State
from bulk_trigger.settings import Durability

pytestmark = pytest.mark.timeout(3600)

_ELSEWHERE = {"baseline", "skip"}
_DIALS = {"send.before_connect", "send.after_connect"}  #: what comes of these is an answer: a doubt

SILENT = '[[faults]]\nkind = "hang"\nwhen = "after"\ncalls = [5]\n'
#: Callbacks that a brief run does not come to, and runs that do.
RARE = {
    "callback.expired": Plot(SILENT + CALM.scenario, CALM.jobs, flags=("--timeout", "1s")),
    "callback.told": replace(CALM, flags=("-o", "-")),
}


def prove_resumed(run: Victim, _: set[int]) -> None:
    prove_each_once(run)


async def test_an_error_at_any_failpoint_stops_the_run_and_resume_completes_it(tmp_path: Path) -> None:
    """F82, P1, P7: the exit code is no success, the error is told, and each job runs exactly once."""
    names = {name for name in POINTS if name.partition(".")[0] not in _ELSEWHERE} - _DIALS
    names |= CALLBACKS.keys() - RARE.keys() - {"callback.signal"}
    campaign = Campaign(BRIEF, tmp_path, prove_resumed, act="raise")

    await campaign.strike(aims_at(names, await count_hits(BRIEF, tmp_path), len(names), seed=1))

    assert {aim.name for aim in campaign.struck} >= names


@pytest.mark.parametrize("name", RARE)
async def test_an_error_in_a_callback_is_no_silent_hang(tmp_path: Path, name: str) -> None:
    """F82: an event loop only logs what a callback raises, and who waits for it would wait for ever."""
    async with victim(RARE[name], tmp_path / "run") as run:
        assert (await run.session("--raise", f"{name}:1")).met_a_bug, run

        await run.session()
        prove_each_once(run)


async def test_an_error_while_a_signal_is_handled_ends_the_run_as_well(tmp_path: Path) -> None:
    """F82, P31."""
    async with victim(CALM, tmp_path / "run") as run:
        armed = ("--raise", "callback.signal:1")
        process = await run.start(*armed)
        await run.effects(5)
        process.send_signal(signal.SIGINT)
        session = await run.end(process, *armed)
        assert session.met_a_bug
        assert "injected" in session.told

        await run.session()
        prove_each_once(run)


@pytest.mark.parametrize("name", sorted(_DIALS))
async def test_an_unforeseen_error_on_the_way_to_the_gateway_puts_the_row_in_doubt(
    tmp_path: Path, name: str
) -> None:
    """F82, P6, P7: what no table lists is unknown; it is looked up, and the journal says what it was."""
    async with victim(CALM, tmp_path / "run") as run:
        await run.session("--raise", f"{name}:2")

        prove_each_once(run)
        with closing(sqlite3.connect(run.directory / "journal.db")) as journal:
            query = "SELECT count(*) FROM steps WHERE message = 'unforeseen RuntimeError: injected'"
            assert journal.execute(query).fetchone()[0] >= 1


def test_a_journal_that_could_not_be_closed_at_once_does_not_look_damaged_later(tmp_path: Path) -> None:
    """F77, F82, P7: the marker beside it goes as soon as it can: without the WAL it means a loss."""
    journal = create(tmp_path, job_rows(1, 2))
    journal.write([intent(1)], [])
    marker, aside = tmp_path / "journal.db-open", tmp_path / "aside"
    marker.rename(aside)
    marker.mkdir()
    with pytest.raises(JournalError):
        journal.close()
    marker.rmdir()
    aside.rename(marker)

    del journal
    gc.collect()

    again = Journal.open(tmp_path / "journal.db", at_ms=T0, durability=Durability.POWER)
    assert again.counts()[State.SENDING] == 1
    again.close()
