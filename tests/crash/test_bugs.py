"""An error that nobody foresaw, out of any function and any callback: told, never a hang, and resumed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
import signal
import sqlite3

from campaign import Campaign, aims_at, count_hits
from plots import BRIEF
from points import CALLBACKS, POINTS
import pytest
from victims import Plot, Victim, prove_each_once, victim

pytestmark = pytest.mark.timeout(3600)

_ELSEWHERE = {"baseline", "skip"}
_DIALS = {"send.before_connect", "send.after_connect"}  #: what comes of these is an answer: a doubt

SILENT = '[[faults]]\nkind = "hang"\nwhen = "after"\ncalls = [5]\n'
#: Callbacks that a brief run does not come to, and runs that do.
RARE = {
    "callback.expired": Plot(SILENT, BRIEF.jobs, flags=("--timeout", "1s")),
    "callback.told": replace(BRIEF, flags=("-o", "-")),
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
    async with victim(BRIEF, tmp_path / "run") as run:
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
    async with victim(BRIEF, tmp_path / "run") as run:
        await run.session("--raise", f"{name}:2")

        prove_each_once(run)
        with closing(sqlite3.connect(run.directory / "journal.db")) as journal:
            query = "SELECT count(*) FROM steps WHERE message = 'unforeseen RuntimeError: injected'"
            assert journal.execute(query).fetchone()[0] >= 1


async def test_an_error_while_the_journal_is_closed_does_not_make_it_look_damaged(tmp_path: Path) -> None:
    """F77, F82, P7: the marker beside it goes in any case, or `resume` would miss commits that are there."""
    async with victim(BRIEF, tmp_path / "run") as run:
        assert (await run.session("--raise", "classify.done:10", "--raise", "shutdown.leave:1")).met_a_bug

        await run.session()
        prove_each_once(run)
