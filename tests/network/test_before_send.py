"""What goes wrong before the request has left: nothing was sent, so nothing is in doubt (1.1)."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
import socket
import sys
from typing import Any

from behind import DEFAULTS, Behind, behind, full_backlog
from evening import WAYS, Way
from loops import ResolvingLoop, resolving
from proxy import Exchange, FaultProxy, Request, Toxic
import pytest
from running import hourly
from toxics import always, for_triggers, passed, passed_and_closed, toxic

from bulk_trigger import Rate

PACED: dict[str, Any] = {**DEFAULTS, "rates": (Rate(2, 1.0),)}  #: slow enough to meet what happens later
MOVES_AT_S = 10.0
CONNECT_S = 10.0  #: the default; no flag changes it
HERE, MOVED, NOWHERE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")


def nothing_was_in_doubt(rig: Behind) -> bool:
    """No look-up but those by which the first success teaches how look-ups answer."""
    assert rig.ending is not None
    return (
        rig.ending.summary["reconciled"] == 0 and sum(c.api in {"get", "list"} for c in rig.proxy.seen) <= 2
    )


def named(rig: Behind) -> Behind:
    """The gateway by a name, which the loop resolves."""
    rig.target["gateway"] = rig.proxy.origin.replace(HERE, "localhost")
    return rig


@pytest.mark.parametrize("wire", ["direct", "aiohttp"])
def test_a_name_that_does_not_resolve_fails_no_row_and_stops_the_run_in_the_end(
    tmp_path: Path, wire: str
) -> None:
    """F1: exit 4 after the patience, everything pending; when the name is there again, `resume` goes on."""
    jobs = hourly(20)

    async def main(loop: ResolvingLoop) -> None:
        async with behind(tmp_path, always(passed)) as rig:
            named(rig).wire = wire
            ending = await rig.send(jobs, **DEFAULTS)

            assert ending.exit_code == 4
            assert ending.summary["counts"]["pending"] == 20
            assert rig.proxy.seen == []
            assert 900 < loop.time() < 1000
            assert loop.failed > 20

            loop.answers = lambda _: (HERE,)
            assert (await rig.go_on()).exit_code == 0
            rig.assert_proven(jobs).assert_each_once()

    resolving(main, lambda _: ())


def test_a_name_that_fails_for_a_while_is_waited_for(tmp_path: Path) -> None:
    """F2, P4: from 20 s to 50 s. Each send needs a connection of its own; an address is good for 30 s."""
    jobs = hourly(120, flows=12)

    async def main(loop: ResolvingLoop) -> None:
        async with behind(tmp_path, for_triggers(passed_and_closed)) as rig:
            ending = await named(rig).send(jobs, **PACED)

            assert ending.exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            assert nothing_was_in_doubt(rig)
            assert loop.failed >= 3
            quiet = [call.at for call in rig.proxy.seen if call.api == "trigger" and 30.1 < call.at < 50]
            assert not quiet

    resolving(main, lambda now: () if 20 < now < 50 else (HERE,))


@on_linux
@pytest.mark.parametrize("wire", ["direct", "aiohttp"])
@pytest.mark.parametrize("death", ["refused", "black hole"])
def test_a_gateway_that_moves_is_found_at_its_new_address(tmp_path: Path, wire: str, death: str) -> None:
    """F3: the old address dies with all its connections; sends go on as soon as the first call knows it."""
    jobs = hourly(80, flows=8)

    async def main(loop: ResolvingLoop) -> None:
        async with behind(tmp_path, always(passed)) as rig:
            old, new = rig.proxy, FaultProxy(rig.proxy.sandbox_port, always(passed), host=MOVED)
            new.port = old.port
            named(rig).wire = wire
            with ExitStack() as stack:

                async def move() -> None:
                    await asyncio.sleep(MOVES_AT_S)
                    old.close_door()
                    old.hang_up_all()
                    if death == "black hole":
                        stack.enter_context(full_backlog(HERE, old.port))
                    await new.open_door()

                moving = asyncio.create_task(move())
                ending = await rig.send(jobs, **PACED)
                await moving
            await new.aclose()

            assert ending.exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            arrivals = [call.at for call in new.seen if call.api == "trigger"]
            assert len(arrivals) > 40
            known_at = MOVES_AT_S + (CONNECT_S if death == "black hole" else 0.0)
            assert known_at < arrivals[0] < known_at + 3

    resolving(main, lambda now: (HERE,) if now < MOVES_AT_S else (MOVED,))


@pytest.mark.parametrize("wire", ["direct", "aiohttp"])
@pytest.mark.parametrize("dead", ["::1", pytest.param(NOWHERE, marks=on_linux)])
def test_an_address_that_does_not_answer_holds_nothing_up_while_another_does(
    tmp_path: Path, wire: str, dead: str
) -> None:
    """F4: the name has two addresses, and the first of them, of IPv6 or not, is a black hole."""
    jobs = hourly(30)

    async def main(loop: ResolvingLoop) -> None:
        async with behind(tmp_path, for_triggers(passed_and_closed)) as rig:
            named(rig).wire = wire
            with full_backlog(dead, rig.proxy.port):
                ending = await rig.send(jobs, **DEFAULTS)

            assert ending.exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            assert {row["attempts"] for row in rig.results()} == {"1"}
            assert len(loop.calls_to(dead)) >= 2
            assert loop.time() < CONNECT_S

    try:
        socket.create_server((dead, 0), family=socket.AF_INET6 if ":" in dead else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {dead}")
    resolving(main, lambda _: (dead, HERE))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_refused_connection_was_not_sent_and_needs_no_look_up(tmp_path: Path, way: Way) -> None:
    """F5, P4: the gateway is down for a while between two sends."""
    jobs = hourly(24, flows=4)

    @toxic("pass, and the gateway goes down")
    async def last_words(exchange: Exchange) -> None:
        await passed_and_closed.act(exchange)
        exchange.proxy.close_door()
        exchange.proxy.hang_up_all()

    def script(request: Request) -> Toxic:
        if request.api != "trigger":
            return passed
        return last_words if request.job == jobs[7] else passed_and_closed

    async def main() -> None:
        async with behind(tmp_path, script) as rig:

            async def come_back() -> None:
                while rig.run is None or rig.run.dispatcher.outage is None:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
                await rig.proxy.open_door()

            rig.wire = way.wire
            back = asyncio.create_task(come_back())
            ending = await rig.send(jobs, **{**way.settings, "in_flight": 1})
            await back

            assert ending.exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            assert nothing_was_in_doubt(rig)
            assert rig.proxy.did["pass, and the gateway goes down"] == 1
            assert sum(int(row["attempts"]) for row in rig.results()) >= len(jobs) + 3

    with asyncio.Runner(loop_factory=way.loop) as runner:
        runner.run(main())


@on_linux
@pytest.mark.parametrize("wire", ["direct", "aiohttp"])
def test_a_gateway_that_does_not_answer_a_handshake_is_given_up_in_time(tmp_path: Path, wire: str) -> None:
    """F6: each attempt to connect ends after the connect timeout; nothing was sent, nothing is looked up."""
    jobs = hourly(90, flows=9)

    async def main(loop: ResolvingLoop) -> None:
        async with behind(tmp_path, for_triggers(passed_and_closed)) as rig:
            named(rig).wire = wire
            with full_backlog(NOWHERE, rig.proxy.port):
                ending = await rig.send(jobs, **PACED)

            assert ending.exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            assert nothing_was_in_doubt(rig)
            waited = [each.took for each in loop.calls_to(NOWHERE) if each.took is not None]
            assert waited
            assert all(0.9 * CONNECT_S < seconds < 1.1 * CONNECT_S for seconds in waited)

    resolving(main, lambda now: (NOWHERE,) if 20 < now < 50 or (wire == "aiohttp" and now < 30) else (HERE,))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_more_calls_than_a_pool_would_hold_are_all_under_way_at_once(tmp_path: Path, way: Way) -> None:
    """F12, P15: no second queue, in which an attempt's time would run: 150 at once, one attempt each."""
    jobs = hourly(300, flows=150)
    under_way = most = 0
    everybody = asyncio.Event()

    @toxic("held until all are there")
    async def held(exchange: Exchange) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == 150:
            everybody.set()
        await everybody.wait()
        await passed.act(exchange)
        under_way -= 1

    async def main() -> None:
        async with behind(tmp_path, for_triggers(held)) as rig:
            rig.wire = way.wire
            ending = await rig.send(jobs, **{**way.settings, "in_flight": 150, "timeout_s": 30.0})

            assert (ending.exit_code, most) == (0, 150)
            rig.assert_proven(jobs).assert_each_once()
            assert {row["attempts"] for row in rig.results()} == {"1"}

    with asyncio.Runner(loop_factory=way.loop) as runner:
        runner.run(main())
