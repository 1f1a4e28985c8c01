"""The store does forget: without that, every proof that stands on it would prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
import errno
import os
from pathlib import Path
import random
import sqlite3

from journals import MINUTE, T0, create, intent, job_rows, success
from platter import Content, Loss
import pytest
from store import PowerIsOff, Store

from bulk_trigger.errors import JournalError
from bulk_trigger.files import sync_directory, sync_file, write_whole
from bulk_trigger.journal import Journal
from bulk_trigger.model import Row, State
from bulk_trigger.settings import Durability

MANY = 200


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "disk").mkdir()
    with Store(tmp_path / "disk") as store:
        yield store


def open_journal(store: Store) -> Journal:
    return Journal.open(store.folder / "journal.db", at_ms=T0 + 10**6, durability=Durability.POWER)


def power_cut(store: Store, loss: Loss, seed: int = 0) -> None:
    store.power_off()
    store.power_on(random.Random(seed), loss)


# --- bytes


def test_what_was_synced_survives_and_the_rest_is_up_to_chance() -> None:
    """F80."""
    found = set()
    for seed in range(MANY):
        content = Content(b"0" * 8)
        content.write(0, b"11")
        content.sync()
        content.write(2, b"22")
        content.write(4, b"33")
        found.add(content.survivors(random.Random(seed), Loss.SOME))
        assert content.survivors(random.Random(seed), Loss.ALL) == b"11000000"
        assert content.survivors(random.Random(seed), Loss.NONE) == content.cached() == b"11223300"
    assert found == {b"11000000", b"11220000", b"11003300", b"11223300"}


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_write_tears_at_sectors_and_nowhere_else(sector: int) -> None:
    """F80."""
    found = set()
    for seed in range(MANY):
        content = Content(b"0" * 3 * sector)
        content.write(10, b"1" * 2 * sector)
        torn = content.survivors(random.Random(seed), Loss.TORN)
        assert (torn[:10], torn[10 + 2 * sector :]) == (b"0" * 10, b"0" * (sector - 10))
        found.add((torn[10:11], torn[sector : sector + 1], torn[2 * sector : 2 * sector + 1]))
    assert len(found) == 8


def test_what_a_failed_sync_was_for_is_not_saved_by_a_later_one() -> None:
    """F87: the first is in doubt for good, the second is not."""
    found = set()
    for seed in range(MANY):
        content = Content(b"00")
        content.write(0, b"1")
        content.fail_sync()
        content.write(1, b"2")
        content.sync()
        found.add(content.survivors(random.Random(seed), Loss.SOME))
    assert found == {b"02", b"12"}


# --- names


def test_a_new_name_needs_a_sync_of_its_directory(store: Store) -> None:
    """F81."""
    path = store.folder / "file"
    write_whole(path, b"old")
    os.close(os.open(store.folder / "other", os.O_CREAT))
    power_cut(store, Loss.ALL)

    assert [each.name for each in store.folder.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_a_name_may_survive_without_its_bytes(store: Store) -> None:
    """F81: the reason for the sync before the rename."""
    found = set()
    for seed in range(20):
        path = store.folder / f"file-{seed}"
        with open(os.open(path, os.O_CREAT | os.O_WRONLY), "wb") as file:  # noqa: PTH123 - as the package does
            file.write(b"new")
        power_cut(store, Loss.SOME, seed)
        found.add(path.read_bytes() if path.exists() else None)
    assert found == {None, b"", bytes(3), b"new"}


def test_a_directory_that_was_not_synced_is_gone_with_all_that_is_in_it(store: Store) -> None:
    directory = store.folder / "new"
    directory.mkdir()
    write_whole(directory / "file", b"data")
    power_cut(store, Loss.ALL)
    assert not directory.exists()

    directory.mkdir()
    write_whole(directory / "file", b"data")
    sync_directory(store.folder)
    power_cut(store, Loss.ALL)
    assert (directory / "file").read_bytes() == b"data"


# --- SQLite


def test_a_journal_is_the_same_with_it_and_without_it(tmp_path: Path, store: Store) -> None:
    """What stands in for SQLite is SQLite: both write the same records, and read those of the other."""
    dumps = []
    for folder in (store.folder, tmp_path):
        journal = create(folder, job_rows(1, 2, 1, 3))
        journal.write([intent(1), intent(2)], [])
        journal.write([], [success(1)])
        journal.close()
        reading = sqlite3.connect(f"file:{folder / 'journal.db'}?mode=ro", uri=True)
        tables = ("jobs", "flows", "intents", "steps", "sessions", "fence")
        dumps.append([reading.execute(f"SELECT * FROM {table}").fetchall() for table in tables])
        reading.close()

    assert dumps[0] == dumps[1]
    assert open_journal(store).counts()[State.SUCCEEDED] == 1


def test_commits_survive_a_power_cut_and_the_one_under_way_is_up_to_chance(store: Store) -> None:
    """F80, P20: acknowledged is acknowledged."""
    journal = create(store.folder, [Row(n, n, T0 + n * MINUTE) for n in range(1, 50)])
    journal.write([intent(row) for row in range(1, 20)], [])
    store.cut("sync", 1)
    with pytest.raises(JournalError):
        journal.write([intent(20)], [])
    with pytest.raises(JournalError):
        journal.close()
    store.power_on(random.Random(1), Loss.ALL)

    assert open_journal(store).counts()[State.SENDING] == 19


def test_without_syncs_commits_do_not_survive_a_power_cut(store: Store) -> None:
    """F80, decision 19: the same with `--durability process`; the store tells the two apart."""
    journal = create(store.folder, job_rows(*range(1, 50)), durability=Durability.PROCESS)
    journal.write([intent(row) for row in range(1, 20)], [])
    store.power_off()
    with pytest.raises(JournalError):
        journal.close()
    store.power_on(random.Random(1), Loss.ALL)

    reading = Journal.read(store.folder / "journal.db")
    assert reading.counts()[State.SENDING] == 0
    reading.close()


@pytest.mark.parametrize(
    ("kind", "error", "name"),
    [
        ("write", errno.ENOSPC, "SQLITE_FULL"),
        ("write", errno.EIO, "SQLITE_IOERR_WRITE"),
        ("sync", errno.EIO, "SQLITE_IOERR_FSYNC"),
    ],
)
def test_sqlite_tells_errors_as_it_does_on_a_real_disk(
    store: Store, kind: str, error: int, name: str
) -> None:
    """F84, F87, F89: and only the nth one fails, or all from it on."""
    journal = create(store.folder, job_rows(*range(1, 50)))
    journal.write([intent(1)], [])
    trip = store.fail(kind, 1, error)

    with pytest.raises(JournalError, match=name):
        journal.write([intent(2)], [])
    assert (trip.struck, store.has_failed) == (1, True)
    journal.close()


def test_without_power_nothing_changes_any_more(store: Store) -> None:
    write_whole(store.folder / "file", b"data")
    store.power_off()

    with pytest.raises(PowerIsOff):
        write_whole(store.folder / "file", b"more")
    with pytest.raises(PowerIsOff):
        (store.folder / "file").unlink()
    with pytest.raises(PowerIsOff):
        (store.folder / "new").mkdir()
    with pytest.raises(PowerIsOff):
        sync_file(store.folder / "file")
    assert (store.folder / "file").read_bytes() == b"data"
