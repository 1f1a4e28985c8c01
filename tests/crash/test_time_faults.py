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
from plots import CALM, DOUBTFUL
from running import hourly, rig
from scripted import CREDENTIALS, TOKEN, Request, always, gateway_to, http, serving, settings_for, triggered
from victims import Victim, at_once, prove, prove_each_once, victim

from bulk_trigger import Rate, run_jobs
from bulk_trigger.gateway.auth import sign
from bulk_trigger.model import Job

HOUR_S, DAY_S = 3600, 86_400
TOLERANCE_S = 300  #: the gateway's
SKEW_S = 600
OTHER_CLOCK = "this machine's clock is"


def gaps_after(run: Victim, status: int) -> Iterator[float]:
    """After each reply of that status, how long nothing was sent, but for what was on its way."""
    calls = run.sandbox.ledger.calls
    for refused in (call for call in calls if call.status == status):
        done = refused.done or refused.mono
        yield min(call.mono for call in calls if call.mono > done + 0.3) - done


# --- whole runs


async def test_a_clock_that_jumps_differs_or_drifts_changes_nothing(tmp_path: Path) -> None:
    """F101, F102, F103, F104: each of these scenes in a run of its own, side by side: they mostly wait.

    By a day, by an hour as at the end of daylight saving, by a leap second; forward and back.
    """
    await at_once(
        [
            *(jump_between(tmp_path / f"between, by {each}", each) for each in (HOUR_S, -HOUR_S, DAY_S, -1)),
            *(jump_and_die(tmp_path / f"and die, by {each}", each) for each in (HOUR_S, -HOUR_S)),
            jump_twice(tmp_path / "jump twice"),
            jump_in_a_pause(tmp_path / "forward in a pause", HOUR_S),
            jump_in_a_pause(tmp_path / "back in a pause", -HOUR_S),
            be_wrong(tmp_path / "behind", SKEW_S, "behind"),
            be_wrong(tmp_path / "ahead", -SKEW_S, "ahead of"),
            drift(tmp_path / "drift"),
        ]
    )


async def jump_between(place: Path, seconds: int) -> None:
    """F101, P7: between a run that is killed and its resume."""
    async with victim(DOUBTFUL, place) as run:
        await run.session("--kill", "send.after_body:30")
        assert run.in_doubt()

        resumed = await run.session("--jump", f"lock.taken:1:{seconds}")
        prove_each_once(run)
        assert (OTHER_CLOCK in resumed.told) is (abs(seconds) > TOLERANCE_S)


async def jump_and_die(place: Path, seconds: int) -> None:
    """F101, P6, P15: what was in doubt at the kill was sent by one clock or the other; nobody knows which."""
    async with victim(DOUBTFUL, place) as run:
        killed = await run.session("--jump", f"send.after_body:10:{seconds}", "--kill", "send.after_body:25")
        assert killed.was_killed
        assert OTHER_CLOCK in killed.told
        await run.session()

        prove(run)
        unknown = [row for row in run.results() if row["status"] == "unknown"]
        assert all("of a time that cannot be compared" in row["message"] for row in unknown), unknown


async def jump_twice(place: Path) -> None:
    """F101, P7: the second jump is found out like the first."""
    async with victim(DOUBTFUL, place) as run:
        jumps = [f"send.after_body:5:{HOUR_S}", f"reply.complete:20:{HOUR_S}"]
        session = await run.session("--jump", jumps[0], "--jump", jumps[1])

        prove_each_once(run)
        assert session.told.count(OTHER_CLOCK) == 2


async def jump_in_a_pause(place: Path, seconds: int) -> None:
    """F104, P18: a pause, like the life of a token, is counted on the monotonic clock."""
    refusal = '[[faults]]\nkind = "status"\nstatus = 429\ncalls = [20]\nheaders = { "Retry-After" = "2" }\n'
    async with victim(replace(CALM, scenario=refusal + CALM.scenario), place) as run:
        await run.session("--jump", f"pause.enter:1:{seconds}")

        prove_each_once(run)
        (gap,) = gaps_after(run, 429)
        assert 1.9 < gap < 30
        # One more, because the first call after the jump was signed with the wrong time.
        assert sum(call.api == "token" for call in run.sandbox.ledger.calls) == 2


async def be_wrong(place: Path, ahead_s: int, word: str) -> None:
    """F102, P7: by ten minutes, in a run that is killed, also for what was in doubt then; and it is said."""
    scenario = f"clock_offset_s = {ahead_s}\n{DOUBTFUL.scenario}"
    async with victim(replace(DOUBTFUL, scenario=scenario), place) as run:
        first = await run.session("--kill", "send.after_body:20")
        await run.session()

        prove_each_once(run)
        assert re.search(f"{OTHER_CLOCK} (9m 5[0-9]s|10m( [0-9]s)?) {word} the gateway's", first.told)


async def drift(place: Path) -> None:
    """F103, P7: past the gateway's tolerance, twice in a run."""
    async with victim(replace(CALM, rate=30), place) as run:
        process = await run.start()
        for effects, ahead_s in ((10, SKEW_S), (30, 2 * SKEW_S)):
            await run.effects(effects)
            run.sandbox.become(msgspec.structs.replace(run.sandbox.scenario, clock_offset_s=ahead_s))
        session = await run.end(process)

        prove_each_once(run)
        assert session.told.count(OTHER_CLOCK) == 2


# --- single calls


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
        waits = [(await triggered(gateway, Job(1, 3377, 0))).retry_after_s for _ in range(2)]

    assert waits == [20.0, 0.0]


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
        calls = [1, 2]
    """
    jobs = hourly(2, flows=1)
    async with rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs, reconcile_wait_s=1.0)

        assert ending.exit_code == 0, ending.reason
        run.assert_proven(jobs).assert_each_once()
        assert [call.code for call in run.verdict(jobs).calls if call.api == "get"][:2] == [1203, 1203]


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

    jobs = [(flow, 1_704_067_200_000) for flow in range(3300, 3302)]
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
