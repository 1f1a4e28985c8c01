"""P28, F46: a gateway that repeats, in whatever it says, the key and the tokens that it knows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import canary
from clock import LoopClock
import orjson
import pytest
from virtual_rig import VirtualGateway, VirtualRig, past, virtual_rig, virtually

from bulk_trigger import Ending
from bulk_trigger.sandbox.calls import Call
from bulk_trigger.sandbox.replies import Reply

SAID = 600  #: characters of a reply's text, more than are shown: a secret at the edge is no half secret


def known(run: VirtualRig) -> Iterable[str]:
    """The secret too, which no gateway can know from us."""
    return [run.credentials.app_key, run.credentials.app_secret, *run.sandbox._tokens._ends]


def dressed(run: VirtualRig) -> list[str]:
    return [
        shape.decode("utf-8", "replace")
        for secret in known(run)
        for dress, shape in canary.dresses(secret.encode()).items()
        if not dress.startswith(("percent", "utf"))  # nobody writes them so
    ]


class Echo:
    """Makes every reply repeat what it should not: the n-th takes the n-th thing to say."""

    def __init__(self, run: VirtualRig) -> None:
        self.run = run
        self.said = 0

    def __call__(self, call: Call, reply: Reply) -> Reply:
        words = dressed(self.run)
        word = words[self.said % len(words)] if words else ""
        self.said += 1
        if call.api == "list" and reply.code == 0:
            entry = {"instanceId": f"{call.data['expression'].partition('-')[0]}-{word}", "status": 2}
            data = {"flowInsts": [entry] if call.data["pagination"]["pageNo"] == 0 else [], "count": 1}
            return Reply(body=orjson.dumps({"status": 0, "msg": word, "data": data}))
        headers = {**reply.headers, "Set-Cookie": f"session={word}", "X-Echo": word}
        if "Location" in headers:
            headers["Location"] = f"https://{word}.example/{word}"
        try:
            envelope = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            return Reply(reply.status, f"<p>{word}".encode(), None, "text/html", headers)
        text = ("x" * (300 - len(word) // 2) if self.said % 3 == 0 else f"no good, {word}: ") + word
        envelope |= {"msg": text, "message": text}
        return Reply(reply.status, orjson.dumps(envelope), reply.code, headers=headers)


def assert_told_nothing(run: VirtualRig, ending: Ending, echo: Echo) -> None:
    assert echo.said > 0
    assert canary.found_in(" ".join([ending.reason, *run.notices]).encode()) == []
    assert list(canary.found_below(run.folder)) == []


@virtually
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param('kind = "code"\ncode = 99404', id="a refused row"),
        pytest.param('kind = "code"\ncode = 62104', id="a refused flow"),
        pytest.param('kind = "code"\ncode = 69999', id="an unknown code"),
        pytest.param('kind = "status"\nstatus = 404', id="a status"),
        pytest.param(
            'kind = "status"\nstatus = 502\nbody = "<html>"\ncontent_type = "text/html"', id="a page"
        ),
        pytest.param('kind = "code"\ncode = 62109\nwhen = "after"', id="62109"),
    ],
)
async def test_an_echo_in_a_reply_reaches_no_file_and_no_word_of_ours(tmp_path: Path, trouble: str) -> None:
    """F46: results, failed and unknown rows, journal, summary, progress; the search looks at all of them."""
    jobs = past(120, flows=60)
    scenario = f"[[faults]]\n{trouble}\nrate = 0.4\n"
    async with virtual_rig(tmp_path, scenario) as run:
        echo = run.sandbox.lie = Echo(run)
        ending = await run.trigger(jobs, patience_s=30.0)

        assert_told_nothing(run, ending, echo)
        assert "***" in (run.directory / "journal.db").read_bytes().decode("latin-1")


@virtually
async def test_an_echo_before_anything_is_known_about_ids_is_not_repeated(tmp_path: Path) -> None:
    """F46, F69: an instance that may be ours is named in a message, unless its name is somebody's secret."""
    jobs = past(3, flows=3)
    scenario = '[[faults]]\nkind = "reset"\n[[faults]]\nkind = "status"\nstatus = 502\non = "get"\n'
    async with virtual_rig(tmp_path, scenario) as run:
        echo = run.sandbox.lie = Echo(run)
        ending = await run.trigger(jobs, patience_s=30.0)

        assert_told_nothing(run, ending, echo)
        assert "of an unusual ID" in (run.directory / "results.csv").read_text()


@virtually
@pytest.mark.parametrize("status", [302, 303, 307])
async def test_an_echo_in_the_host_of_a_redirect_is_blackened(tmp_path: Path, status: int) -> None:
    """F45, F46: all that is shown of the target is its host."""
    async with virtual_rig(tmp_path, f'[[faults]]\nkind = "redirect"\nstatus = {status}\n') as run:
        echo = run.sandbox.lie = Echo(run)
        ending = await run.trigger(past(20))

        assert ending.exit_code == 4
        assert "redirects to" in ending.reason
        assert_told_nothing(run, ending, echo)


@virtually
async def test_a_late_echo_of_a_token_that_was_replaced_is_blackened_too(tmp_path: Path) -> None:
    """F46, F61: "token ... has expired" comes when there is a new one already; the old one may still live."""
    jobs = past(60, flows=30)
    scenario = '[[faults]]\nkind = "hang"\nafter_s = 8\nflows = ["3300-3309"]\nattempts = [1]\n'
    async with virtual_rig(tmp_path, "token_lifetime_s = 3\n" + scenario) as run:

        def late(call: Call, reply: Reply) -> Reply:
            first = next(iter(run.sandbox._tokens._ends), "")
            if call.flow_id not in range(3300, 3310):
                return reply
            text = f"token {first} has expired"
            return Reply(body=orjson.dumps({"status": 99404, "msg": text}), code=99404)

        run.sandbox.lie = late
        ending = await run.trigger(jobs)

        assert len(run.sandbox._tokens._ends) > 2
        assert ending.exit_code == 1
        assert "token *** has expired" in (run.directory / "results.csv").read_text()
        assert list(canary.found_below(tmp_path)) == []


@virtually
@pytest.mark.parametrize(
    "reply",
    [
        b'{"status":0,"data":{"accessToken":"sandbox-token-1","expire":7200}} trailing',
        b'{"status":0,"status":0,"data":{"accessToken":"sandbox-token-1"}}',
        b"accessToken=sandbox-token-1",
        b'["sandbox-token-1"]',
        b'{"stauts":0,"msg":"sandbox-token-1","data":{"accessToken":"sandbox-token-1","expire":7200}}',
    ],
)
async def test_a_token_in_a_reply_that_nobody_understands_is_not_quoted(tmp_path: Path, reply: bytes) -> None:
    """F46, P28: we never took it as a token, so no mask knows it."""
    async with virtual_rig(tmp_path) as run:
        run.sandbox.lie = lambda call, honest: Reply(body=reply) if call.api == "token" else honest
        gateway = VirtualGateway(run.settings(), run.credentials, run.sandbox, LoopClock())
        told = await gateway.prepare()
        await gateway.aclose()
        ending = await run.trigger(past(5), patience_s=10.0)

        assert ending.exit_code == 4
        assert canary.found_in(f"{told!r} {ending.reason} {run.notices}".encode()) == []
        assert list(canary.found_below(tmp_path)) == []
