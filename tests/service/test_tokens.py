"""Access tokens: they end, are refused, are revoked, and cannot be had (contract 3.1; design decision 8)."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from virtual_rig import Lie, VirtualRig, later, past, virtual_rig, virtually

from bulk_trigger import Credentials, Rate
from bulk_trigger.sandbox import tokens
from bulk_trigger.sandbox.calls import Call
from bulk_trigger.sandbox.replies import Reply

HALF_AN_HOUR: dict[str, Any] = {"rates": (Rate(10, 60.0),)}  #: for 300 rows
SHORT = "token_lifetime_s = 1200\n"  #: so a renewal is due every ten minutes
STEADY = '[latency]\nshape = "constant"\nmedian_ms = 700\n'


def down(begin: float, end: float) -> str:
    """The token service is out from then to then."""
    return f'[[faults]]\nkind = "status"\nstatus = 500\non = "token"\nfrom_s = {begin}\nto_s = {end}\n'


def says(**changes: object) -> Lie:
    """The token service says something else about the tokens that it gives."""

    def lie(call: Call, reply: Reply) -> Reply:
        if call.api != "token" or reply.code != 0:
            return reply
        envelope = orjson.loads(reply.body)
        envelope["data"] |= changes
        return Reply(body=orjson.dumps(envelope), code=0)

    return lie


def refused(run: VirtualRig) -> int:
    """The calls that were turned away because of their token."""
    calls = run.verdict([]).calls
    return sum(call.api != "token" and (call.status == 401 or call.code == 1203) for call in calls)


def assert_all_done(run: VirtualRig, jobs: list[tuple[int, int]]) -> None:
    run.assert_proven(jobs).assert_each_once()
    assert {row["status"] for row in run.results()} == {"succeeded"}


@virtually
async def test_a_token_is_renewed_in_good_time_and_no_call_meets_an_expired_one(tmp_path: Path) -> None:
    """F61: half an hour, tokens of twenty minutes."""
    jobs = past(300, flows=40)
    async with virtual_rig(tmp_path, SHORT) as run:
        ending = await run.trigger(jobs, **HALF_AN_HOUR)

        assert_all_done(run, jobs)
        assert ending.exit_code == 0
        assert asyncio.get_running_loop().time() > 1700
        assert refused(run) == 0
        assert 3 <= len(run.calls("token")) <= 15  # asking while a token lives gives the same one


@virtually
@pytest.mark.parametrize("expired", ["1203", "401"])
async def test_a_stampede_of_expired_calls_fetches_one_token(tmp_path: Path, expired: str) -> None:
    """F61: sixty calls under way are told at once that their token has ended; one new one serves them all.

    The token service says "two hours" of tokens that end after a second.
    """
    jobs = past(300, flows=100)
    scenario = f'expired_token = "{expired}"\ntoken_lifetime_s = 1\n{STEADY}'
    async with virtual_rig(tmp_path, scenario, lie=says(expire=7200)) as run:
        ending = await run.trigger(jobs, rates=(), in_flight=60)

        assert_all_done(run, jobs)
        assert ending.exit_code == 0
        assert refused(run) >= 60
        assert len(run.calls("token")) <= 1 + refused(run) / 30


@virtually
@pytest.mark.parametrize("wait_s", [0.5, 2.05])
async def test_a_token_that_is_revoked_in_the_middle_is_replaced_once(tmp_path: Path, wait_s: float) -> None:
    """F61: whatever is under way then is sent again, and no row is charged for it."""
    jobs = past(400, flows=100)
    async with virtual_rig(tmp_path, STEADY) as run:
        revoke = later(wait_s, run.sandbox._tokens._ends.clear)
        ending = await run.trigger(jobs, retries=0, watch=revoke)

        assert_all_done(run, jobs)
        assert ending.exit_code == 0
        assert refused(run) > 0
        assert len(run.calls("token")) == 2


@virtually
async def test_a_renewal_that_fails_hurts_nobody_while_the_old_token_lives(tmp_path: Path) -> None:
    """F61: from 590 s on the token service is out; the token that is renewed at 600 s lives until 1200 s."""
    jobs = past(300, flows=40)
    async with virtual_rig(tmp_path, SHORT + down(590, 1150)) as run:
        ending = await run.trigger(jobs, **HALF_AN_HOUR)

        assert_all_done(run, jobs)
        assert sum(call.fault is not None for call in run.calls("token")) > 10
        assert refused(run) == 0
        assert ending.summary["notes"]["waits"].get("outage", 0.0) == 0
        sends = [call.mono for call in run.calls("trigger")]
        assert max(after - before for before, after in pairwise(sends)) < 30  # some slots go to the renewals


@virtually
async def test_without_any_token_the_run_waits_and_no_row_fails(tmp_path: Path) -> None:
    """F61, P18: the token service is out for longer than the token lives."""
    jobs = past(300, flows=40)
    async with virtual_rig(tmp_path, SHORT + down(590, 1500)) as run:
        ending = await run.trigger(jobs, **HALF_AN_HOUR)

        assert_all_done(run, jobs)
        assert ending.exit_code == 0
        assert ending.summary["notes"]["waits"]["outage"] > 200
        assert refused(run) == 0  # nobody tries an old token
        assert not [call for call in run.calls("trigger") if 1210 < call.mono < 1500]


@virtually
async def test_a_token_service_that_stays_out_ends_the_run_resumable(tmp_path: Path) -> None:
    """F61: exit 4 after the patience, and nothing failed; `resume` does the rest."""
    jobs = past(300, flows=40)
    async with virtual_rig(tmp_path, SHORT + down(590, 3000)) as run:
        first = await run.trigger(jobs, **HALF_AN_HOUR)

        assert first.exit_code == 4
        assert "no good reply" in first.reason
        assert first.summary["counts"]["failed"] == 0
        await asyncio.sleep(3001 - asyncio.get_running_loop().time())
        assert (await run.resume()).exit_code == 0
        assert_all_done(run, jobs)


@virtually
@pytest.mark.parametrize("how", ["expired at once", "nobody knows it", "401 to everything"])
async def test_tokens_that_are_never_accepted_stop_the_run_after_two(tmp_path: Path, how: str) -> None:
    """F61, design decision 8: it is not the rows; exit 4, nothing sent in vain, and `resume` goes on."""
    scenario = {
        "expired at once": "token_lifetime_s = 0\n",
        "nobody knows it": "",
        "401 to everything": '[[faults]]\nkind = "status"\nstatus = 401\n',
    }[how]
    lie = says(accessToken="sandbox-token-forged") if how == "nobody knows it" else says(expire=7200)
    jobs = past(100, flows=40)
    async with virtual_rig(tmp_path, scenario, lie=lie) as run:
        first = await run.trigger(jobs)

        assert first.exit_code == 4
        assert "does not accept our access tokens" in first.reason
        assert first.summary["counts"] | {"pending": 100} == first.summary["counts"]
        assert len(run.calls("token")) == 2
        assert run.verdict(jobs).effects == []

    async with virtual_rig(tmp_path) as run:
        assert (await run.resume()).exit_code == 0
        assert_all_done(run, jobs)


@virtually
@pytest.mark.parametrize("expire", [0, -1, 1, "soon", None])
async def test_a_token_without_a_sensible_life_is_used_as_long_as_it_works(
    tmp_path: Path, expire: object
) -> None:
    """F61: hardly more than a request per second is made for another one."""
    jobs = past(600, flows=40)
    async with virtual_rig(tmp_path, lie=says(expire=expire)) as run:
        ending = await run.trigger(jobs)

        assert_all_done(run, jobs)
        assert ending.exit_code == 0
        assert refused(run) == 0
        assert len(run.calls("token")) <= 2 + asyncio.get_running_loop().time()


@virtually
async def test_a_secret_that_is_rotated_in_the_middle_stops_the_run_and_the_new_one_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F62, P7: all signatures are wrong from one call to the next; a new token cannot be had either."""
    jobs = past(300, flows=60)
    async with virtual_rig(tmp_path, STEADY) as run:
        rotate = later(2.0, lambda: monkeypatch.setattr(tokens, "APP_SECRET", "sandbox-app-secret-2"))
        first = await run.trigger(jobs, watch=rotate)

        done = len(run.verdict(jobs).effects)
        assert 0 < done < 300
        assert first.exit_code == 4
        assert "1003" in first.reason
        assert first.summary["counts"]["succeeded"] == done
        assert first.summary["counts"]["failed"] == first.summary["counts"]["unknown"] == 0
        assert (await run.resume()).exit_code == 4  # still with the old one

        run.credentials = Credentials(run.credentials.app_key, "sandbox-app-secret-2")
        assert (await run.resume()).exit_code == 0
        assert_all_done(run, jobs)
