"""The import: whole or not at all, with everything that only the whole list can tell."""

from collections.abc import Iterator
import json
from pathlib import Path
import stat
import subprocess
import sys

from journals import MINUTE, T0, bad_row, create, intent, job_rows, success
from msgspec.structs import replace
import pytest

from bulk_trigger.errors import IllegalMove, InputError, JournalError, RunRefused
from bulk_trigger.header import find_same, read_sidecar
from bulk_trigger.journal import Journal
from bulk_trigger.journal.filesystem import check_room, filesystem_of
from bulk_trigger.model import BadRow, Row, State
from bulk_trigger.settings import Duplicates, Durability, Order


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_list_with_bad_rows_makes_no_run_and_all_of_them_are_counted(tmp_path: Path) -> None:
    """P24: nothing is sent until the whole input is valid."""
    rows: list[Row | BadRow] = [*job_rows(1), *(bad_row(row) for row in range(2, 30)), *job_rows(1, first=30)]

    with pytest.raises(InputError, match=r"^28 bad rows: 2, 3, .*, 20, 21$"):
        create(tmp_path, rows)
    assert names(tmp_path) == set()


def test_bad_rows_can_be_left_out_and_end_as_invalid(tmp_path: Path) -> None:
    """P1, P24."""
    journal = create(tmp_path, [bad_row(1), *job_rows(7, first=2), bad_row(3)], skip_invalid=True)
    journal.write([intent(2)], [])
    journal.write([], [success(2)])

    outcomes = list(journal.outcomes())

    assert [outcome.state for outcome in outcomes] == ["invalid", "succeeded", "invalid"]
    assert outcomes[0].message == "'x' is not a number; write a number"
    assert (journal.header.rows, journal.header.invalid) == (3, 2)
    assert journal.check() == []
    journal.close()


def test_what_goes_wrong_while_reading_leaves_nothing(tmp_path: Path) -> None:
    def torn() -> Iterator[Row]:
        yield from job_rows(1, 2)
        raise InputError("jobs.csv:4: the quote is never closed")

    with pytest.raises(InputError, match="never closed"):
        create(tmp_path, torn())
    assert names(tmp_path) == set()


def test_a_row_that_the_reader_left_out_is_noticed(tmp_path: Path) -> None:
    """P1: no row is silently lost."""
    with pytest.raises(IllegalMove, match="left out a row"):
        create(tmp_path, [*job_rows(1, 2), *job_rows(3, first=4)])


def test_the_leftovers_of_an_import_that_died_are_replaced(tmp_path: Path) -> None:
    for name in ("journal.db.part", "journal.db.part-journal"):
        (tmp_path / name).write_bytes(b"half of something")

    create(tmp_path, job_rows(1)).close()

    assert names(tmp_path) == {"journal.db", "run.json"}


def test_a_symbolic_link_in_the_place_of_the_import_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / "journal.db.part").symlink_to(victim)

    create(run, job_rows(1)).close()

    assert victim.read_text() == "mine"


def test_a_run_directory_is_used_once(tmp_path: Path) -> None:
    """P22."""
    create(tmp_path, job_rows(1)).close()

    with pytest.raises(RunRefused, match="holds a run already"):
        create(tmp_path, job_rows(1))


def test_only_the_owner_can_read_a_run(tmp_path: Path) -> None:
    journal = create(tmp_path, job_rows(1))

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert modes == {
        "journal.db": 0o600,
        "journal.db-wal": 0o600,
        "journal.db-open": 0o600,
        "run.json": 0o600,
    }
    journal.close()


TWINS = [
    Row(1, 7, T0 + 59_000),
    Row(2, 7, T0 + MINUTE),
    Row(3, 8, T0),
    Row(4, 7, T0 + MINUTE + 1),
    Row(5, 7, T0),
]


def test_rows_that_would_share_an_instance_id_are_refused_with_both_numbers(tmp_path: Path) -> None:
    """P3: T0 is 20 s into its UTC minute, so 59 s later is the next minute."""
    with pytest.raises(InputError) as refused:
        create(tmp_path, TWINS)

    text = str(refused.value)
    assert text.startswith("jobs.csv: 2 rows would get the instance ID of an earlier row")
    assert "row 2 has the same flow and UTC minute as row 1" in text
    assert "row 4 has the same flow and UTC minute as row 1" in text
    assert "--duplicates skip" in text
    assert names(tmp_path) == set()


def test_many_duplicates_are_named_up_to_twenty(tmp_path: Path) -> None:
    rows = [Row(n, flow, T0) for n, flow in enumerate((flow for flow in range(1, 31) for _ in range(2)), 1)]

    with pytest.raises(InputError, match="and 10 more") as refused:
        create(tmp_path, rows)
    assert str(refused.value).count("has the same flow") == 20


@pytest.mark.parametrize(("order", "kept"), [(Order.INPUT, [1, 3, 5]), (Order.TIME, [5, 1, 3])])
def test_of_duplicates_the_first_in_lane_order_can_be_kept(
    tmp_path: Path, order: Order, kept: list[int]
) -> None:
    journal = create(tmp_path, TWINS, duplicates=Duplicates.SKIP, order=order)

    lanes = journal.look_ahead([(7, None), (8, None)], 9)

    assert sorted(job.row for lane in lanes for job in lane) == sorted(kept)
    assert not any(job.duplicate for lane in lanes for job in lane)
    assert [(o.row, o.code) for o in journal.outcomes() if o.state is State.SKIPPED] == [
        (2, "duplicate"),
        (4, "duplicate"),
    ]
    assert journal.longest_flows(0, 1)[0].rows == 2
    assert (journal.header.duplicates, journal.check()) == (2, [])
    journal.close()


def test_duplicates_that_are_sent_know_that_they_are_some(tmp_path: Path) -> None:
    journal = create(tmp_path, TWINS, duplicates=Duplicates.SEND)

    (lane,) = journal.look_ahead([(7, None)], 9)

    assert [(job.row, job.duplicate) for job in lane] == [(1, True), (2, True), (4, True), (5, False)]
    journal.close()


def test_the_sidecar_lets_other_processes_find_the_same_input_again(tmp_path: Path) -> None:
    """P22: a running run holds its journal alone, so they read beside it."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    journal = create(tmp_path / "one", job_rows(1))
    (tmp_path / "two" / "run.json").write_bytes(
        (tmp_path / "one" / "run.json").read_bytes()
    )  # its import died

    header = journal.header
    other_input = replace(header, input=replace(header.input, sha256="cd" * 32))
    other_org = replace(header, settings=replace(header.settings, org_id="o2"))
    assert find_same(tmp_path / "three", header) == tmp_path / "one"
    assert find_same(tmp_path / "one", header) is None
    assert find_same(tmp_path / "three", other_input) is None
    assert find_same(tmp_path / "three", other_org) is None
    assert read_sidecar(tmp_path / "one") == journal.header
    journal.close()


def test_a_sidecar_of_another_version_is_refused_with_text(tmp_path: Path) -> None:
    create(tmp_path, job_rows(1)).close()
    facts = json.loads((tmp_path / "run.json").read_bytes())
    facts["settings"]["warp"] = 9
    (tmp_path / "run.json").write_text(json.dumps(facts))

    with pytest.raises(RunRefused, match="cannot be read by this version"):
        read_sidecar(tmp_path)


@pytest.mark.parametrize(("content", "error"), [(b"", RunRefused), (b"x" * 8192, JournalError)])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    """F91."""
    (tmp_path / "journal.db").write_bytes(content)

    with pytest.raises(error, match=r"journal\.db"):
        Journal.open(tmp_path / "journal.db", at_ms=T0, durability=Durability.POWER)


def test_a_directory_without_a_journal_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match="holds no run"):
        Journal.read(tmp_path / "journal.db")


@pytest.mark.parametrize(
    ("directory", "kind"),
    [("/data/runs", "ext4"), ("/data/share", "nfs4"), ("/data/share/a b", "cifs"), ("/", "ext4")],
)
def test_the_innermost_mount_tells_the_filesystem(tmp_path: Path, directory: str, kind: str) -> None:
    """F94."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nserver:/x /data/share nfs4 rw 0 0\n//s/y /data/share/a\\040b cifs rw 0 0\n\n"
    )

    assert filesystem_of(Path(directory), mounts) == kind


def test_a_run_that_does_not_fit_on_the_disk_is_refused(tmp_path: Path) -> None:
    """F84: before anything is sent."""
    """P21: short disk stops us before the first send."""
    with pytest.raises(JournalError, match="make room"):
        check_room(tmp_path, 10**13)


_IMPORT = """
import resource, sys
from pathlib import Path
from journals import create
from bulk_trigger.model import Row

def peak():
    # ru_maxrss of a child begins with what its parent had when it was started; VmHWM is this program's own.
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

rows = (Row(n, n % 999, 1_600_000_000_000 + n * 60_000, b'{"a":1}') for n in range(1, 300_001))
create(Path(sys.argv[1]), rows).close()
print(peak())
"""


def test_memory_does_not_grow_with_the_list(tmp_path: Path) -> None:
    """P26."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, str(tmp_path)],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": f"{Path(__file__).parent.parent}"},
    )

    assert int(done.stdout) < 200 * 2**20


def test_rows_with_one_instance_id_that_are_sent_are_in_their_lanes(tmp_path: Path) -> None:
    """P1: `--duplicates send` loses none of them."""
    rows = [Row(1, 7, T0), Row(2, 7, T0 + 1000), Row(3, 8, T0)]

    journal = create(tmp_path, rows, duplicates=Duplicates.SEND)

    assert {flow.flow_id: flow.rows for flow in journal.next_flows(0, 10)} == {7: 2, 8: 1}
    journal.close()


@pytest.mark.parametrize(("twins", "more"), [(20, ""), (21, "and 1 more")])
def test_of_many_rows_with_one_instance_id_the_first_are_named(tmp_path: Path, twins: int, more: str) -> None:
    rows = [Row(n, 7, T0) for n in range(1, twins + 2)]

    with pytest.raises(InputError) as refusal:
        create(tmp_path, rows)

    assert str(refusal.value).count("has the same flow and UTC minute") == 20
    assert ("more" in str(refusal.value)) == bool(more)
    assert more in str(refusal.value)
