"""Credentials go to the configured origin over verified TLS, or nowhere (1.1: F7-F11; P29)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
import ssl

from behind import behind
from evening import WAYS, Way
from loops import ResolvingLoop, resolving
from proxy import Exchange, FaultProxy, Request, Toxic
import pytest
from running import hourly
from scripted import listening, tls_of
from test_before_send import CONNECT_S, PACED, nothing_was_in_doubt
from toxics import always, for_triggers, passed, passed_and_closed, toxic
import trustme

HOST, NAME = "127.0.0.1", "gateway.example"
AUTHORITY = trustme.CA()
EXPIRED = datetime(2020, 1, 1, tzinfo=UTC)
THREE_WAYS = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def certified(*names: str, not_after: datetime | None = None) -> ssl.SSLContext:
    """A server with a certificate of the authority that everybody here trusts."""
    return tls_of(AUTHORITY, *names, not_after=not_after)[0]


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server whose certificate is its own authority."""
    own, path = trustme.CA(), folder / "own.pem"
    own.private_key_pem.write_to_path(str(path))
    own.cert_pem.write_to_path(str(path), append=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def trusting() -> ssl.SSLContext:
    """A client that trusts that authority."""
    return tls_of(AUTHORITY, HOST)[1]


def trust(folder: Path) -> dict[str, str]:
    """What makes the program trust it."""
    path = folder / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return {"SSL_CERT_FILE": str(path)}


CERTIFICATES: dict[str, tuple[Callable[[Path], ssl.SSLContext], str]] = {
    "F7 expired": (lambda _: certified(HOST, not_after=EXPIRED), "certificate has expired"),
    "F7 of another host": (lambda _: certified("other.example"), "IP address mismatch"),
    "F7 self-signed": (self_signed, "self-signed certificate"),
    "F7 of an unknown authority": (lambda _: tls_of(trustme.CA(), HOST)[0], "unable to get local issuer"),
}


@pytest.mark.parametrize(("make", "word"), CERTIFICATES.values(), ids=CERTIFICATES)
async def test_a_bad_certificate_stops_the_program_before_a_byte_is_sent(
    tmp_path: Path, make: Callable[[Path], ssl.SSLContext], word: str
) -> None:
    """F7, P28, P29: exit 4, the reason in words, every row still there; with a good one `resume` goes on."""
    jobs = hourly(5)
    async with behind(tmp_path, always(passed), tls=make(tmp_path)) as rig:
        program = rig.program(trust(tmp_path))
        ended = await program.send(jobs)

        assert ended.exit_code == 4
        assert "tls" in ended.told
        assert word in ended.told
        assert rig.proxy.connections == 0  # none whose handshake was completed
        assert '"pending": 5' in (rig.directory / "summary.json").read_text()

        await renew(rig.proxy, certified(HOST))
        assert (await program.go_on()).exit_code == 0
        rig.assert_proven(jobs).assert_each_once()


@THREE_WAYS
def test_a_certificate_that_goes_bad_while_it_runs_stops_the_run_and_puts_no_row_in_doubt(
    tmp_path: Path, way: Way
) -> None:
    """F7, P4: the token is there, connections were good, and then one is not."""
    jobs = hourly(24, flows=4)

    @toxic("pass, and the certificate goes bad")
    async def spoiling(exchange: Exchange) -> None:
        await passed_and_closed.act(exchange)
        await renew(exchange.proxy, certified("other.example"))

    def script(request: Request) -> Toxic:
        if request.api != "trigger":
            return passed
        return spoiling if request.job == jobs[7] else passed_and_closed

    async def main() -> None:
        async with behind(tmp_path, script, tls=certified(HOST)) as rig:
            rig.wire, rig.options["tls"] = way.wire, trusting()
            ending = await rig.send(jobs, **{**way.settings, "in_flight": 2})

            assert ending.exit_code == 4
            assert "tls" in ending.reason
            assert rig.proxy.did[spoiling.name] == 1
            counts = ending.summary["counts"]
            refused = counts["waiting"]  # while the door was closed for the other certificate
            assert counts["pending"] + refused + counts["succeeded"] == 24
            assert counts["succeeded"] >= 7

            await renew(rig.proxy, certified(HOST))
            assert (await rig.go_on()).exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            assert rig.ending is not None
            assert rig.ending.summary["reconciled"] == 0

    with asyncio.Runner(loop_factory=way.loop) as runner:
        runner.run(main())


async def renew(proxy: FaultProxy, tls: ssl.SSLContext) -> None:
    """Give the gateway another certificate; connections that are there stay."""
    proxy.close_door()
    proxy.tls = tls
    await proxy.open_door()


ALERTS = {
    "F8 no common cipher": b"\x15\x03\x03\x00\x02\x02\x28",
    "F8 no common version": b"\x15\x03\x03\x00\x02\x02\x46",
    "F8 no TLS at all": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("words", ALERTS.values(), ids=ALERTS)
async def test_a_handshake_that_fails_stops_the_program_and_no_lower_security_is_tried(
    tmp_path: Path, words: bytes
) -> None:
    """F8, P29: exit 4 at the first, and nothing was sent."""
    heard: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.write(words)
        await writer.drain()
        await reader.read()

    async with behind(tmp_path, always(passed)) as rig, listening(refuse) as port:
        ended = await rig.program(trust(tmp_path)).send(hourly(5), gateway=f"https://{HOST}:{port}")

        assert ended.exit_code == 4
        assert "tls" in ended.told
        assert len(heard) == 1
        assert heard[0][:1] == b"\x16"  # a handshake, and nothing else
        assert '"pending": 5' in (rig.directory / "summary.json").read_text()


@pytest.mark.parametrize("wire", ["direct", "aiohttp"])
@pytest.mark.parametrize("words", [b"", b"\x16\x03\x03\x01\x00"], ids=["F9 no word", "F8 half a handshake"])
def test_a_handshake_that_stalls_ends_in_time_and_puts_no_row_in_doubt(
    tmp_path: Path, wire: str, words: bytes
) -> None:
    """F8, F9: something else accepts on the gateway's port for a while; what it was told is no request."""
    jobs = hourly(90, flows=9)

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        began = asyncio.get_running_loop().time()
        while data := await reader.read(65536):
            heard.append(data)
        held.append(asyncio.get_running_loop().time() - began)

    heard: list[bytes] = []
    held: list[float] = []

    async def main(loop: ResolvingLoop) -> None:
        async with (
            behind(tmp_path, for_triggers(passed_and_closed), tls=certified(NAME)) as rig,
            listening(stall) as staller,
        ):
            rig.wire, rig.options["tls"] = wire, trusting()
            rig.target["gateway"] = f"https://{NAME}:{rig.proxy.port}"
            loop.detours[rig.proxy.port] = lambda now: staller if 20 < now < 45 else rig.proxy.port
            ending = await rig.send(jobs, **PACED)

            assert ending.exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            assert nothing_was_in_doubt(rig)
            assert held
            assert all(seconds < 1.1 * CONNECT_S for seconds in held)
            assert not any(b"apim" in data or b"flowId" in data for data in heard)

    resolving(main, lambda _: (HOST,))
