"""Clocks that are wrong, jump, or differ: no duration depends on them, and no row is lost by them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
import json
from pathlib import Path
import re

from clock import EPOCH
import msgspec
from plots import BRIEF, CALM
from running import hourly, rig
from scripted import CREDENTIALS, TOKEN, Request, always, gateway_to, http, serving, settings_for
from victims import Victim, at_once, prove_each_once, victim

from bulk_trigger import Rate, run_jobs
from bulk_trigger.gateway.auth import sign
from bulk_trigger.model import Job

HOUR_S, DAY_S = 3600, 86_400
TOLERANCE_S = 300  #: the gateway's
SKEW_S = 600


def gaps_after(run: Victim, status: int) -> Iterator[float]:
    """After each reply of that status, how long nothing was sent, but for what was on its way."""
    calls = run.sandbox.ledger.calls
    for refused in (call for call in calls if call.status == status):
        done = refused.done or refused.mono
        yield min(call.mono for call in calls if call.mono > done + 0.3) - done


# --- jumps


async def test_a_clock_that_jumps_in_a_run_and_before_its_resume_changes_nothing(tmp_path: Path) -> None:
    """F101, P7, P15: in a run with doubts, a pause and an outage, which is killed later; and at its resume.

    By a day, by an hour as at the end of daylight saving, by a leap second; forward and back.
    """

    async def jump(seconds: int) -> None:
        async with victim(replace(BRIEF, jobs=BRIEF.jobs[:36]), tmp_path / f"by {seconds}") as run:
            killed = await run.session(
                "--jump", f"send.after_body:3:{seconds}", "--kill", "send.after_body:30"
            )
            assert killed.was_killed
            assert run.in_doubt()

            await run.session("--jump", f"lock.taken:1:{-seconds}")
            prove_each_once(run)
            assert ("this machine's clock is" in killed.told) is (abs(seconds) > TOLERANCE_S)

    await at_once(map(jump, (HOUR_S, -HOUR_S, DAY_S, -DAY_S, 1, -1)))


async def test_a_clock_that_jumps_twice_is_followed_twice(tmp_path: Path) -> None:
    """F101, P7."""

    async def jump(seconds: int) -> None:
        async with victim(BRIEF, tmp_path / f"by {seconds}") as run:
            jumps = [f"send.after_body:10:{seconds}", f"reply.complete:25:{seconds}"]
            session = await run.session("--jump", jumps[0], "--jump", jumps[1])

            prove_each_once(run)
            assert session.told.count("this machine's clock is") == 2

    await at_once([jump(HOUR_S), jump(-HOUR_S)])


async def test_a_clock_that_jumps_in_a_pause_or_a_tokens_life_makes_it_neither_shorter_nor_longer(
    tmp_path: Path,
) -> None:
    """F104, P18: both are counted on the monotonic clock."""
    refusal = '[[faults]]\nkind = "status"\nstatus = 429\ncalls = [20]\nheaders = { "Retry-After" = "2" }\n'

    async def jump(seconds: int) -> None:
        async with victim(replace(CALM, scenario=refusal + CALM.scenario), tmp_path / f"by {seconds}") as run:
            await run.session("--jump", f"pause.enter:1:{seconds}")

            prove_each_once(run)
            (gap,) = gaps_after(run, 429)
            assert 1.9 < gap < 30
            tokens = sum(call.api == "token" for call in run.sandbox.ledger.calls)
            assert (
                tokens == 2
            )  # the second because the first call after the jump was signed with the wrong time

    await at_once([jump(HOUR_S), jump(-HOUR_S)])


async def test_a_date_to_wait_for_is_compared_with_the_replys_own_date() -> None:
    """F102, F104, P18: whatever our clock says; without a date beside it, by ours."""
    clock_error_s = 500

    class Wrong:
        def monotonic(self) -> float:
            return 1000.0

        def wall(self) -> float:
            return EPOCH + clock_error_s

        def dice(self) -> float:
            return 0.5

    then = f"Retry-After: {formatdate(EPOCH + 20, usegmt=True)}"
    replies = [http(b"", 429, f"Date: {formatdate(EPOCH, usegmt=True)}", then), http(b"", 429, then)]

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(replies.pop(0))

    async with serving(script) as server, gateway_to(server, clock=Wrong()) as gateway:
        waits = [(await gateway.trigger(Job(1, 3377, 0))).retry_after_s for _ in range(2)]

    assert waits == [20.0, 0.0]


# --- differences


async def test_a_clock_that_is_wrong_by_ten_minutes_is_found_out_and_fails_no_row(tmp_path: Path) -> None:
    """F102, P7: also for rows in doubt, in a run that is killed and resumed; and it is said."""

    async def be_wrong(ahead_s: int, word: str) -> None:
        scenario = f"clock_offset_s = {ahead_s}\n{BRIEF.scenario}"
        plot = replace(BRIEF, scenario=scenario, jobs=BRIEF.jobs[:36])
        async with victim(plot, tmp_path / f"by {ahead_s}") as run:
            first = await run.session("--kill", "send.after_body:20")
            await run.session()

            prove_each_once(run)
            assert re.search(f"this machine's clock is (9m 5[0-9]s|10m) {word} the gateway's", first.told)

    await at_once([be_wrong(SKEW_S, "behind"), be_wrong(-SKEW_S, "ahead of")])


async def test_a_wrong_clock_with_no_date_to_compare_it_with_stops_the_run_and_fails_no_row(
    tmp_path: Path,
) -> None:
    """F102: exit 4, and the text names what may be wrong."""
    refusal = http({"status": 1003, "msg": "encryption is invalid"})
    async with serving(always(b""), token=always(refusal)) as server:
        settings = settings_for(server.origin)
        ending = await run_jobs([(1, 1_704_067_200_000)], tmp_path / "run", settings, credentials=CREDENTIALS)

    assert ending.exit_code == 4
    assert "1003" in ending.reason
    assert "a wrong clock" in ending.reason
    assert ending.summary["counts"]["pending"] == 1
    assert server.requests == []


async def test_a_gateway_whose_clock_drifts_is_followed(tmp_path: Path) -> None:
    """F103, P7: past its tolerance, twice in a run."""
    async with victim(replace(CALM, rate=30), tmp_path / "run") as run:
        process = await run.start()
        for effects, ahead_s in ((10, SKEW_S), (30, 2 * SKEW_S)):
            await run.effects(effects)
            run.sandbox.become(msgspec.structs.replace(run.sandbox.scenario, clock_offset_s=ahead_s))
        session = await run.end(process)

        prove_each_once(run)
        assert session.told.count("this machine's clock is") == 2


async def test_tokens_that_end_early_one_after_the_other_do_not_stop_a_run(tmp_path: Path) -> None:
    """F61, F103: each is refused once, and between them the service answers, if only look-ups."""
    scenario = """
        [[faults]]
        kind = "reset"
        attempts = [1]
        [[faults]]
        kind = "code"
        code = 1203
        on = "get"
        calls = [1, 3]
    """
    jobs = hourly(2, flows=1)
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, reconcile_wait_s=3.0)

        assert ending.exit_code == 0, ending.reason
        run.assert_proven(jobs).assert_each_once()
        assert [call.code for call in run.verdict(jobs).calls if call.api == "get"][:3] == [1203, 0, 1203]


# --- signatures


async def test_every_attempt_is_signed_anew(tmp_path: Path) -> None:
    """F105: no two requests share a signature, each fits its own time, and no attempt uses an older one's."""
    attempts: dict[int, int] = {}

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if "action=trigger" not in request.head:
            writer.write(http({"status": 0, "data": None}))
            return
        job = json.loads(request.body)
        attempts[job["flowId"]] = tries = attempts.get(job["flowId"], 0) + 1
        done = Job(1, job["flowId"], job["triggerTime"]).instance_id
        success = http({"status": 0, "data": {"flowInstanceId": done}})
        writer.write({1: http(b"", 421), 2: http(b"", 429)}.get(tries, success))

    jobs = [(flow, 1_704_067_200_000) for flow in range(3300, 3303)]
    async with serving(script) as server:
        ending = await run_jobs(
            jobs,
            tmp_path / "run",
            settings_for(server.origin, rates=(Rate(100, 1.0),)),
            credentials=CREDENTIALS,
        )
        requests = [request for request in server.requests if "action=trigger" in request.head]

    assert ending.exit_code == 0
    assert len(requests) == 3 * len(jobs)
    signatures = [request.header("apim-signature") for request in requests]
    assert len(set(signatures)) == len(signatures)
    times: dict[bytes, list[int]] = {}
    params = {"action": "trigger", "orgId": "o1", "userId": "u1"}
    for request, signature in zip(requests, signatures, strict=True):
        at_ms = int(request.header("apim-timestamp") or 0)
        assert signature == sign(TOKEN, params, request.body, at_ms, CREDENTIALS.app_secret)
        times.setdefault(request.body, []).append(at_ms)
    assert all(stamps == sorted(set(stamps)) for stamps in times.values())
