"""The power goes at every sync point, and of what was not synced chance decides what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import count
from pathlib import Path
import random
from typing import Any

from machine import IN_FLIGHT, Machine, hourly, machine, thinned, virtually
from platter import Loss
import pytest
from sqlite_files import Kind
from store import Trip

from bulk_trigger.cli.standing import look
from bulk_trigger.errors import JournalError
from bulk_trigger.header import JOURNAL
from bulk_trigger.journal import database
from bulk_trigger.launch import look_into
from bulk_trigger.model import State
from bulk_trigger.settings import Durability

pytestmark = virtually

TROUBLE: Mapping[str, Any] = {"trouble": 0.25, "seed": 3}
BLIND: Mapping[str, Any] = {"look_ups": False}
LOSSES = [Loss.ALL, Loss.SOME, Loss.TORN]
OUTPUTS = ("results.csv", "failed.csv", "unknown.csv")


async def lose_power(here: Machine, kind: Kind, nth: int, loss: Loss) -> Trip:
    """Run until the power goes before the nth event of that kind; it comes back."""
    trip = here.store.cut(kind, nth)
    await here.die(here.start())
    here.store.power_on(random.Random(nth), loss)
    return trip


@pytest.mark.parametrize("loss", LOSSES)
async def test_the_power_goes_at_every_sync_and_each_job_still_runs_exactly_once(loss: Loss) -> None:
    """F80, P7, P9, P20: import, first session, sending, closing and results, with look-ups."""
    met: Counter[str] = Counter()
    for nth in count(1):
        with machine(remote=TROUBLE) as here:
            trip = await lose_power(here, "sync", nth, loss)
            ending = await here.go_on()
            here.assert_each_once()
            assert ending.exit_code == 0
        met += here.remote.met
        if not trip.struck:
            break
    assert nth > 40  # the import, the commits, the end
    assert min(met[what] for what in ("applied, no reply", "62109, applied", "62109, not applied")) > 0


@pytest.mark.parametrize("loss", LOSSES)
async def test_the_power_goes_without_look_ups_and_no_job_runs_twice(loss: Loss) -> None:
    """F80, P8, P9: the rows in doubt are named, and they are at most twice the in-flight cap."""
    jobs, doubts, hidden = hourly(16, flows=16), 0, 0
    for nth in count(1):
        with machine(jobs, remote=BLIND) as here:
            trip = await lose_power(here, "sync", nth, loss)
            ending = await here.go_on()
            rows = here.assert_proven()
        states = Counter(row["status"] for row in rows)
        assert states.keys() <= {"succeeded", "unknown"}
        assert states["unknown"] <= 2 * IN_FLIGHT
        assert ending.exit_code == (5 if states["unknown"] else 0)
        doubts += states["unknown"]
        hidden += len(here.remote.effects) - states["succeeded"]
        if not trip.struck:
            break
    assert nth > 30
    assert doubts >= hidden > 0


@pytest.mark.parametrize("loss", LOSSES)
async def test_the_power_goes_while_the_journal_moves_its_commits_to_their_place(
    loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F80, P9: a checkpoint every few commits, and every one of its writes can be the last."""
    monkeypatch.setattr(database, "_WAL_PAGES", 4)
    inside = 0
    for nth in count(1):
        with machine() as here:
            trip = here.store.cut("write", nth, file="*/journal.db")
            await here.die(here.start())
            inside += here.store.count("create", "*/.results*") == 0
            here.store.power_on(random.Random(nth), loss)
            await here.go_on()
            here.assert_each_once()
        if not trip.struck:
            break
    assert inside > 10  # not only the checkpoint when it is closed


async def test_the_power_goes_again_and_again_at_any_instant(request: pytest.FixtureRequest) -> None:
    """F74, F80, P7, P8, P9: up to four cuts in a row, while resuming too, each at any event of any kind."""
    found: Counter[str] = Counter()
    for seed in range(request.config.getoption("kills")):
        dice = random.Random(seed)
        remote = {"trouble": dice.choice((0.0, 0.2)), "seed": seed, "look_ups": dice.random() < 0.7}
        if not remote["look_ups"]:
            remote["trouble"] = 0.0  # without look-ups, 62109 may be sent twice: decision 1
        with machine(remote=remote) as here:
            for _ in range(dice.randint(1, 4)):
                kind: Kind = dice.choice(("write", "write", "sync", "sync", "create", "rename", "delete"))
                at = dice.randint(1, {"write": 90, "sync": 40}.get(kind, 12))
                trip = here.store.cut(kind, at, after=dice.random() < 0.5)
                await here.die(here.go_on())
                found[kind] += trip.struck
                here.store.power_on(dice, dice.choice(list(Loss)))
            ending = await here.go_on()
            rows = here.assert_proven()
            if remote["look_ups"]:
                here.assert_each_once()
                assert ending.exit_code == 0
            found[f"look-ups {remote['look_ups']}"] += 1
            found["unknown"] += sum(row["status"] == "unknown" for row in rows)
    assert min(found[what] for what in ("write", "sync", "create", "rename", "unknown")) > 0
    assert found["look-ups False"] > 0


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        *(("sync", loss) for loss in LOSSES),
        ("create", Loss.SOME),
        ("rename", Loss.ALL),
        ("rename", Loss.SOME),
    ],
)
async def test_result_files_are_the_old_or_the_new_ones_whenever_the_power_goes(
    loss: Loss, kind: Kind
) -> None:
    """F81, P23: rows run again, and the power goes while results take the place of the older ones."""
    old_ones = new_ones = 0
    for nth in count(1):
        with machine(remote={"refuses": 3}) as here:
            await here.start()
            old = _read(here.directory)
            here.store.power_on(random.Random(0), Loss.ALL)  # nothing of it was left to chance
            assert _read(here.directory) == old
            trip = here.store.cut(kind, nth)
            await here.die(here.resume(rerun=[State.FAILED]))
            here.store.power_on(random.Random(nth), loss)
            left = _read(here.directory)
            await here.resume()
            if any(row["status"] == "failed" for row in here.results()):  # that they run again was lost
                await here.resume(rerun=[State.FAILED])
            new = _read(here.directory)
            here.assert_each_once(in_order=False)
        assert old.keys() == new.keys() == set(OUTPUTS)
        assert old != new
        for name, data in left.items():
            assert data in {old[name], new[name]}, f"{name} is neither the old nor the new one"
            old_ones += data == old[name]
            new_ones += data == new[name]
        if not trip.struck:
            break
    assert old_ones > 0
    assert new_ones > 0


@pytest.mark.parametrize("loss", [Loss.ALL, Loss.TORN])
async def test_what_status_says_after_a_power_cut_is_not_rosier_than_the_journal(loss: Loss) -> None:
    """F80, P5: a second session dies; the summary of the first, or half a file of numbers, is not its end."""
    seen: Counter[str] = Counter()
    for nth in count(1):
        with machine(remote={"refuses": 3}) as here:
            await here.start()
            trip = here.store.cut("write", nth, file="*/journal.db-wal")
            await here.die(here.resume(rerun=[State.FAILED]))
            here.store.power_on(random.Random(nth), loss)
            standing = look(here.directory)
            assert standing.in_words()
            with look_into(here.directory) as opened:
                counts = opened.journal.counts()
        seen[standing.state] += 1
        if standing.summary:
            assert standing.summary["counts"] == {state.value: n for state, n in counts.items()}
        if not trip.struck:
            break
    assert seen["died"] > 5
    assert seen["finished"] > 0


def _read(directory: Path) -> dict[str, bytes]:
    """The files that are there: while rows run again, there are none."""
    return {name: (directory / name).read_bytes() for name in OUTPUTS if (directory / name).exists()}


@pytest.mark.parametrize(("kind", "loss"), [("write", Loss.ALL), ("write", Loss.TORN), ("sync", Loss.ALL)])
async def test_a_run_that_only_survives_its_process_is_not_resumed_after_a_power_cut(
    kind: Kind, loss: Loss, request: pytest.FixtureRequest
) -> None:
    """F80, P6, decision 19: refused when commits may be lost; `--new --baseline` then sends only the rest."""
    refused = lost = exist = 0
    for nth in thinned(request) if kind == "write" else count(1):
        with machine(durability=Durability.PROCESS) as here:
            trip = await lose_power(here, kind, nth, loss)
            problems = _problems(here)
            if problems:
                lost += len(here.remote.effects) - _known(here)
                sends = len(here.remote.sends)
                with pytest.raises(JournalError, match="the machine went down") as refusal:
                    await here.resume()
                assert str(refusal.value).endswith(problems[0])
                assert len(here.remote.sends) == sends
                await here.start_afresh(baseline=True)
                refused += 1
                exist += sum(row["code"] == "exists" for row in here.results())
            else:
                await here.go_on()
            assert Counter(here.remote.effects) == Counter(here.jobs)
        if not trip.struck:
            break
    assert lost > refused > 5
    assert exist > refused


def _problems(here: Machine) -> list[str]:
    """What `verify` says; nothing if there is no run."""
    if not (here.directory / JOURNAL).exists():
        return []
    with look_into(here.directory) as opened:
        return opened.journal.check()


def _known(here: Machine) -> int:
    with look_into(here.directory) as opened:
        return opened.journal.counts()[State.SUCCEEDED]


async def test_a_run_that_only_survives_its_process_does_survive_it(request: pytest.FixtureRequest) -> None:
    """P7, decision 19: killed at its writes, on a machine that stays up."""
    for nth in thinned(request):
        with machine(remote=TROUBLE, durability=Durability.PROCESS) as here:
            trip = await lose_power(here, "write", nth, Loss.NONE)
            ending = await here.go_on()
            here.assert_each_once()
            assert ending.exit_code == 0
        if not trip.struck:
            break
    assert nth > 90
