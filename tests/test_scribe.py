"""The journal's thread: batches keep their order, intents come first, the first error is the last word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
import json
import os
from pathlib import Path
import subprocess
import sys
import threading

from journals import T0, create, intent, job_rows, step, success
import pytest

from bulk_trigger.errors import JournalError
from bulk_trigger.journal import Journal
from bulk_trigger.model import Intent, State, Step
from bulk_trigger.run.scribe import LINGER_S, Scribe
from bulk_trigger.settings import Durability

THREADED = pytest.mark.parametrize("threaded", [True, False], ids=["threaded", "inline"])


class Book:
    """A journal with rows of a flow each, its scribe, and what the scribe has said."""

    def __init__(self, journal: Journal, *, threaded: bool) -> None:
        self.journal = journal
        self.told: list[tuple[list[Intent], list[Step]]] = []
        self.listen: Callable[[Sequence[Intent]], None] = lambda _: None
        self.scribe = Scribe(journal, self._committed, threaded=threaded)

    def _committed(self, intents: Sequence[Intent], steps: Sequence[Step]) -> None:
        self.told.append((list(intents), list(steps)))
        self.listen(intents)

    @property
    def intents(self) -> list[int]:
        return [each.row for intents, _ in self.told for each in intents]


@asynccontextmanager
async def a_book(directory: Path, rows: int, *, threaded: bool) -> AsyncIterator[Book]:
    book = Book(create(directory, job_rows(*range(1, rows + 1))), threaded=threaded)
    try:
        yield book
    finally:
        if not book.scribe.broken:
            await book.scribe.aclose()


async def until(condition: Callable[[], bool], every_s: float = 0.001) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(every_s)


@THREADED
async def test_an_intent_is_in_the_journal_before_it_is_said_to_be(tmp_path: Path, threaded: bool) -> None:
    """P20: intent before send."""
    async with a_book(tmp_path, 30, threaded=threaded) as book:
        seen: list[bool] = []
        book.listen = lambda intents: seen.extend(
            book.journal.attempts(each.row) == [each] for each in intents
        )
        for row in range(1, 31):
            book.scribe.intend(intent(row))
            if row % 7 == 0:
                book.scribe.hurry()
                await asyncio.sleep(0)
        assert not book.intents or book.intents[0] == 1
        await book.scribe.flushed()

        assert book.intents == list(range(1, 31))
        assert seen == [True] * 30


async def test_what_was_said_to_be_on_disk_survives_the_process(tmp_path: Path) -> None:
    """P20: another process that finds the files as they are, sees every committed intent."""
    script = """
import asyncio, json, os, sys
from pathlib import Path
from journals import create, intent, job_rows
from bulk_trigger.run.scribe import Scribe


async def main():
    journal = create(Path(sys.argv[1]), job_rows(*range(1, 51)))
    said = []
    scribe = Scribe(journal, lambda intents, steps: said.extend(each.row for each in intents))
    for row in range(1, 51):
        scribe.intend(intent(row))
        scribe.hurry()
        await asyncio.sleep(0)
    while len(said) < 20:
        await asyncio.sleep(0)
    print(json.dumps(said), flush=True)
    os._exit(9)

asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    said = json.loads(done.stdout)

    journal = Journal.open(tmp_path / "journal.db", at_ms=T0, durability=Durability.POWER)
    open_rows = [each.job.row for each in journal.unfinished() if each.intent]
    journal.close()
    assert done.returncode == 9
    assert said == list(range(1, len(said) + 1))
    assert len(said) >= 20
    assert set(said) <= set(open_rows)


@THREADED
async def test_batches_are_written_in_the_order_of_their_making(tmp_path: Path, threaded: bool) -> None:
    """P12, P20: a row's outcome is on disk before, or together with, what was added after it."""
    async with a_book(tmp_path, 40, threaded=threaded) as book:
        for row in range(1, 41):
            book.scribe.intend(intent(row))
            book.scribe.hurry()
            await until(lambda row=row: row in book.intents)  # type: ignore[misc]  # mypy sees no default
            book.scribe.record(success(row))
        await book.scribe.flushed()

        assert [each.row for _, steps in book.told for each in steps] == list(range(1, 41))
        assert book.journal.counts()[State.SUCCEEDED] == 40
        assert book.journal.check() == []


@THREADED
async def test_what_collects_during_a_write_is_the_next_batch(tmp_path: Path, threaded: bool) -> None:
    """Group commit: a slow disk makes larger batches, not more of them."""
    async with a_book(tmp_path, 100, threaded=threaded) as book:
        book.scribe.intend(intent(1))
        book.scribe.hurry()
        await asyncio.sleep(0)
        for row in range(2, 101):
            book.scribe.intend(intent(row))
            book.scribe.hurry()
        await until(lambda: len(book.intents) == 100)

        assert [len(intents) for intents, _ in book.told] == [1, 99]


@pytest.mark.asyncio(loop_factories=["virtual"])
async def test_who_waits_for_a_batch_does_not_wait_for_others_to_join_it(tmp_path: Path) -> None:
    """A batch lingers only while nobody hurries, also when it collected during a write."""
    loop = asyncio.get_running_loop()
    async with a_book(tmp_path, 3, threaded=False) as book:
        book.scribe.intend(intent(1))
        book.scribe.hurry()
        await asyncio.sleep(0)
        book.scribe.intend(intent(2))
        book.scribe.hurry()
        await until(lambda: book.intents == [1, 2], every_s=1e-4)
        assert loop.time() < LINGER_S / 2

        book.scribe.record(success(1))
        await until(lambda: bool(book.told[-1][1]), every_s=1e-4)
        assert LINGER_S <= loop.time() < 2 * LINGER_S


@THREADED
async def test_a_step_is_written_soon_though_nobody_waits_for_it(tmp_path: Path, threaded: bool) -> None:
    async with a_book(tmp_path, 2, threaded=threaded) as book:
        book.scribe.intend(intent(1))
        await book.scribe.flushed()
        book.scribe.record(success(1))
        await until(lambda: bool(book.told[-1][1]))

        assert book.journal.state(1) is State.SUCCEEDED


@THREADED
async def test_who_hurries_during_a_write_does_not_spoil_the_next(tmp_path: Path, threaded: bool) -> None:
    """P14: a hurry that found its batch under way already must not swallow a later one."""
    async with a_book(tmp_path, 2, threaded=threaded) as book:
        book.scribe.intend(intent(1))
        book.scribe.hurry()
        await asyncio.sleep(0)  # the batch is on its way
        book.scribe.hurry()
        await until(lambda: book.intents == [1])

        book.scribe.intend(intent(2))
        book.scribe.hurry()
        await until(lambda: book.intents == [1, 2])


@THREADED
async def test_who_hurries_during_a_write_does_not_stop_a_flush(tmp_path: Path, threaded: bool) -> None:
    async with a_book(tmp_path, 2, threaded=threaded) as book:
        book.scribe.intend(intent(1))
        book.scribe.hurry()
        await asyncio.sleep(0)
        book.scribe.hurry()
        await until(lambda: book.intents == [1])
        book.scribe.count_call(T0)

        async with asyncio.timeout(5):
            await book.scribe.flushed()
        assert book.journal.calls_since(T0 - 1)[0][0] == T0 + 1


@THREADED
async def test_flushed_means_that_everything_before_it_is_on_disk(tmp_path: Path, threaded: bool) -> None:
    async with a_book(tmp_path, 20, threaded=threaded) as book:
        await book.scribe.flushed()
        for row in range(1, 21):
            book.scribe.intend(intent(row))
        book.scribe.count_call(T0 + 5)
        await asyncio.gather(*(book.scribe.flushed() for _ in range(3)))

        assert book.journal.counts()[State.SENDING] == 20
        assert sum(count for _, count in book.journal.calls_since(0)) == 21


@THREADED
async def test_a_question_runs_where_the_journal_lives(tmp_path: Path, threaded: bool) -> None:
    async with a_book(tmp_path, 3, threaded=threaded) as book:
        where = await book.scribe.ask(threading.current_thread)
        flows = await book.scribe.ask(book.journal.next_flows, 0, limit=2)

        assert (where.name == "journal") is threaded
        assert [flow.flow_id for flow in flows] == [1, 2]
        with pytest.raises(ZeroDivisionError):
            await book.scribe.ask(divmod, 1, 0)
        assert book.scribe.broken is None


@THREADED
async def test_a_question_behind_a_flush_sees_what_was_added(tmp_path: Path, threaded: bool) -> None:
    """P6: or the lanes would be fed rows that have ended."""
    async with a_book(tmp_path, 1, threaded=threaded) as book:
        book.scribe.intend(intent(1))
        await book.scribe.flushed()
        book.scribe.record(success(1))
        await book.scribe.flushed()

        assert await book.scribe.ask(book.journal.look_ahead, [(1, None)], 10) == [[]]


@THREADED
async def test_the_first_error_is_the_last_word(tmp_path: Path, threaded: bool) -> None:
    """P21: after a failed write nothing is said to be on disk any more, and nothing is written."""
    async with a_book(tmp_path, 3, threaded=threaded) as book:
        book.scribe.record(success(1))  # was never sent: the journal refuses the move
        book.scribe.intend(intent(2))
        with pytest.raises(JournalError, match="row 1"):
            await book.scribe.flushed()
        told = list(book.told)
        book.scribe.intend(intent(3))
        book.scribe.hurry()
        book.scribe.record(step(3, State.PENDING))
        await asyncio.sleep(0.01)

        assert told == [([], [])]
        assert book.told == told
        assert book.scribe.broken is not None
        with pytest.raises(JournalError):
            await book.scribe.flushed()
        assert book.journal.counts()[State.PENDING] == 3
        with pytest.raises(JournalError):
            await book.scribe.aclose()


@THREADED
async def test_an_error_reaches_everyone_who_waits(tmp_path: Path, threaded: bool) -> None:
    """P21."""
    async with a_book(tmp_path, 3, threaded=threaded) as book:
        book.scribe.intend(intent(1))
        book.scribe.hurry()
        await asyncio.sleep(0)
        book.scribe.record(success(2))
        waiting = [asyncio.ensure_future(book.scribe.flushed()) for _ in range(3)]

        async with asyncio.timeout(5):
            errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(error, JournalError) for error in errors)
        assert book.intents == [1]
        with pytest.raises(JournalError):
            await book.scribe.aclose()


@THREADED
async def test_closing_writes_what_is_left_and_closes_the_journal(tmp_path: Path, threaded: bool) -> None:
    book = Book(create(tmp_path, job_rows(1, 2)), threaded=threaded)
    book.scribe.intend(intent(1))

    await book.scribe.aclose()

    journal = Journal.read(tmp_path / "journal.db")
    assert journal.attempts(1) == [intent(1)]
    journal.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "journal"]
