"""An HTTP proxy is used where it was asked for, and only there (F10, F11; P29)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from behind import behind
from loops import ResolvingLoop, resolving
import pytest
from running import hourly
from scripted import listening, tls_of
from test_before_send import HERE, PACED, nothing_was_in_doubt
from toxics import always, for_triggers, passed, passed_and_closed
from trap import trap
import trustme


async def connect_through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """What a proxy does after CONNECT."""
    there, away = await asyncio.open_connection(HERE, port)
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    await asyncio.gather(pump(reader, away), pump(there, writer))


REFUSALS = {
    "F10 407": (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", 4),
    "F10 502": (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 0),
    "F10 503": (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 0),
    "F10 dropped": (b"", 0),
}


@pytest.mark.parametrize(("words", "exit_code"), REFUSALS.values(), ids=REFUSALS)
def test_a_proxy_that_refuses_is_waited_for_or_stops_the_run_and_is_never_gone_around(
    tmp_path: Path, words: bytes, exit_code: int
) -> None:
    """F10, P4, P29: the proxy answers CONNECT with that for 20 s in the middle of the run."""
    jobs = hourly(80, flows=8)
    server, client = tls_of(trustme.CA(), "gateway.example")
    asked: list[bytes] = []

    async def main(loop: ResolvingLoop) -> None:
        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if 15 < loop.time() < 35:
                writer.write(words)
                await writer.drain()
                refused.append(loop.time())
            else:
                await connect_through(reader, writer, rig.proxy.port)

        refused: list[float] = []
        async with (
            behind(tmp_path, for_triggers(passed_and_closed), tls=server) as rig,
            listening(proxy) as port,
        ):
            rig.options |= {"tls": client, "proxy": f"http://{HERE}:{port}"}
            rig.wire = "as the gateway chooses"
            rig.target["gateway"] = "https://gateway.example"
            ending = await rig.send(jobs, **PACED)

            assert ending.exit_code == exit_code
            assert nothing_was_in_doubt(rig)
            assert refused
            if exit_code == 4:
                counts = ending.summary["counts"]
                assert counts["pending"] + counts["succeeded"] == 80
                assert len(refused) <= 3
                await asyncio.sleep(30)
                assert (await rig.go_on()).exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
            assert loop.failed == 0  # the name was left to the proxy
            assert {head.split(b"\r\n")[0] for head in asked} == {b"CONNECT gateway.example:443 HTTP/1.1"}
            assert not any(b"apim" in head for head in asked)

    resolving(main, lambda _: ())


OUR_HEADERS = {
    "host",
    "user-agent",
    "accept-encoding",
    "content-type",
    "content-length",
    "apim-accesstoken",
    "apim-timestamp",
    "apim-signature",
}


async def test_the_program_takes_no_proxy_and_no_login_from_its_environment(tmp_path: Path) -> None:
    """F11, P29: whatever the environment names, calls go to the gateway, with nothing but our own headers."""
    logins = tmp_path / ".netrc"
    logins.write_text("machine 127.0.0.1 login somebody password else\ndefault login a password b\n")
    logins.chmod(0o600)
    names = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "ws_proxy")
    jobs = hourly(10)
    with trap() as there:
        proxies = dict.fromkeys([*names, *(name.upper() for name in names)], there.origin)
        async with behind(tmp_path, always(passed)) as rig:
            program = rig.program({**proxies, "NETRC": str(logins), "HOME": str(tmp_path)})
            ended = await program.send(jobs)

            assert ended.exit_code == 0
            rig.assert_proven(jobs).assert_each_once()
        assert there.knocks == 0
    lines = [line for each in rig.proxy.seen for line in each.head.lower().split("\r\n")[1:] if line]
    assert {line.partition(":")[0] for line in lines} == OUR_HEADERS
