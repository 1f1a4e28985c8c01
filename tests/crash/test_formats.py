"""Another program than the one that began the run: journals of this format, of older and newer ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
import json
from pathlib import Path
import shutil
import sqlite3

from command import Place
from oracle import read_results
import pytest

from bulk_trigger.header import SCHEMA
from bulk_trigger.sandbox import Ledger

HERE = Path(__file__).parent
HOUR = 3_600_000
FIRST = 1_704_067_200_000
JOBS = [(flow, FIRST + hour * HOUR) for hour in range(2) for flow in (3301, 3302, 3303, 3304)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A run of 8 rows as version 0.1.0 left it when it was killed: 4 done, one looked up, one being sent."""
    run = tmp_path / "r"
    run.mkdir(mode=0o700)
    with closing(sqlite3.connect(run / "journal.db")) as journal:
        journal.executescript((HERE / "format_1.sql").read_text(encoding="utf-8"))
        journal.execute("PRAGMA journal_mode = wal").fetchone()
    shutil.copy(HERE / "format_1_ledger.jsonl", run / "ledger.jsonl")
    return Place(tmp_path)


@contextmanager
def journal_of(place: Place) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(place.directory / "r" / "journal.db")) as journal, journal:
        yield journal


def effects(place: Place) -> Counter[tuple[int, int]]:
    return Ledger.read(place.directory / "r" / "ledger.jsonl").effects_by_job


def rewrite_header(place: Place, old: str, new: str) -> None:
    """As another version would have written it."""
    with journal_of(place) as journal:
        journal.execute("DROP TRIGGER header_stand_UPDATE")
        (text,) = journal.execute("SELECT json FROM header").fetchone()
        assert old in text.decode()
        journal.execute("UPDATE header SET json = ?", (text.decode().replace(old, new).encode(),))


def test_a_journal_of_this_format_is_resumed_whatever_version_wrote_it(place: Place) -> None:
    """F83, P7: the format counts, not the version of the program."""
    rewrite_header(place, '"tool":"0.1.0"', '"tool":"7.0.0"')

    resumed = place.call("resume", "r", "--no-progress")

    assert resumed.returncode == 0, resumed.stderr
    assert effects(place) == Counter(JOBS)
    results = read_results(place.directory / "r" / "results.csv")
    assert {row["status"] for row in results} == {"succeeded"}
    assert [row["site"] for row in results][:4] == ["Köln", "Brno", "Łódź", "Porto"]
    assert json.loads(place.call("verify", "r", "--json").stdout)["ok"]


@pytest.mark.parametrize("command", [("resume", "r"), ("export", "r", "-o", "-"), ("verify", "r")])
@pytest.mark.parametrize("format_found", [SCHEMA - 1, SCHEMA + 1])
def test_a_journal_of_another_format_is_refused_and_left_alone(
    place: Place, format_found: int, command: tuple[str, ...]
) -> None:
    """F83: the text names both formats and the cure; nothing is sent."""
    with journal_of(place) as journal:
        journal.execute(f"PRAGMA user_version = {format_found}")
    before = (place.directory / "r" / "journal.db").read_bytes(), effects(place)

    refused = place.call(*command)

    assert refused.returncode == 2
    assert f"has format {format_found}" in refused.stderr
    assert "go on with the version that started the run" in refused.stderr
    assert ((place.directory / "r" / "journal.db").read_bytes(), effects(place)) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"baseline":false', '"baseline":false,"colour":"blue"'),  # a setting that we do not know
        ('"on_unknown":"stop-flow"', '"on_unknown":"ask"'),  # a word that we do not know
        ('"first_row":1,', ""),  # something that we need
    ],
)
def test_a_header_that_says_what_we_do_not_know_is_refused(place: Place, old: str, new: str) -> None:
    """F83: a setting of a newer version may be a promise that we would break."""
    rewrite_header(place, old, new)
    before = effects(place)

    refused = place.call("resume", "r", "--no-progress")

    assert refused.returncode == 2, refused.stderr
    assert "cannot be read by this version of bulk-trigger" in refused.stderr
    assert effects(place) == before
