"""The library's door: `run_jobs` is in most run tests; here are the stream, and ways to leave it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import pytest
from running import hourly, rig

from bulk_trigger import (
    GatewayError,
    JobStream,
    Settings,
    SettingsError,
    State,
    resume_run,
    run_jobs,
    stream_jobs,
)

SLOW = "[latency]\nshape = 'constant'\nmedian_ms = 20\n"


async def test_a_stream_gives_every_outcome_and_then_how_it_ended(tmp_path: Path) -> None:
    jobs = hourly(40)
    async with rig(tmp_path) as run:
        settings = run.settings()
        async with stream_jobs(jobs, run.directory, settings, credentials=run.credentials) as stream:
            rows = [outcome.row async for outcome in stream]

        assert sorted(rows) == list(range(1, 41))
        assert stream.ending.exit_code == 0


@pytest.mark.parametrize("how", ["break", "at once", "exception"])
async def test_a_stream_that_is_left_early_drains_and_can_be_resumed(tmp_path: Path, how: str) -> None:
    """P7, P31: nothing more is sent, and nothing that was sent is lost."""
    jobs = hourly(300)
    async with rig(tmp_path, SLOW) as run:

        async def leave() -> None:
            settings = run.settings()
            async with stream_jobs(jobs, run.directory, settings, credentials=run.credentials) as stream:
                if how == "at once":
                    return
                async for _ in stream:
                    if how == "break":
                        break
                    raise KeyError("mine")

        if how == "exception":
            with pytest.raises(KeyError, match="mine"):
                await leave()
        else:
            await leave()

        assert len(run.verdict(jobs).sends) < 150
        ending = await resume_run(run.directory, credentials=run.credentials)
        assert ending.exit_code == 0
        run.assert_proven(jobs).assert_each_once()


async def test_a_cancelled_run_has_in_doubt_only_what_was_sent(tmp_path: Path) -> None:
    """P8: cancelled from outside, by a scope of anyio, at many moments."""
    jobs = hourly(400, flows=100)
    async with rig(tmp_path, SLOW) as run:
        for n in range(12):
            directory = tmp_path / f"run-{n}"
            with anyio.move_on_after(0.02 + n * 0.006):
                settings = run.settings(in_flight=32)
                await run_jobs(jobs, directory, settings, credentials=run.credentials, again=True)
            if not (directory / "summary.json").exists():
                continue  # cancelled during the import
            in_doubt = int((directory / "summary.json").read_text().partition('"sending": ')[2].split(",")[0])
            assert in_doubt <= 32


async def test_errors_of_a_stream_are_those_of_run_jobs(tmp_path: Path) -> None:
    settings = Settings(gateway="https://apim.example", org_id="o", user_id="u")
    with pytest.raises(SettingsError, match="credentials"):
        await run_jobs(hourly(2), tmp_path / "a", settings)
    with pytest.raises(SettingsError, match="credentials"):
        await _drink(stream_jobs(hourly(2), tmp_path / "a", settings))
    assert list(tmp_path.iterdir()) == []
    target = Settings(gateway="sandbox", scenario="nonsense = 1")
    with pytest.raises(GatewayError, match="did not start"):
        await run_jobs(hourly(2), tmp_path / "b", target)
    with pytest.raises(GatewayError, match="did not start"):
        await _drink(stream_jobs(hourly(2), tmp_path / "c", target, again=True))


async def _drink(stream: AbstractAsyncContextManager[JobStream]) -> None:
    async with stream as outcomes:
        async for _ in outcomes:
            pass


async def test_failures_that_are_taken_back_were_never_told(tmp_path: Path) -> None:
    """Design decision 8: five refusals, and the rows go back to pending."""
    jobs = hourly(5, flows=5)
    async with rig(tmp_path, '[[faults]]\nkind = "status"\nstatus = 404\n') as run:
        settings = run.settings()
        async with stream_jobs(jobs, run.directory, settings, credentials=run.credentials) as stream:
            heard = [outcome async for outcome in stream]

        assert heard == []
        assert stream.ending.exit_code == 4
        assert stream.ending.summary["counts"][State.PENDING] == 5
