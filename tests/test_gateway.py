"""The EnOS calls as they leave: addresses, signatures, tokens, clocks; and what comes through of replies."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
import json
from urllib.parse import parse_qsl, urlsplit

import pytest
import scripted
from scripted import (
    CREDENTIALS,
    JOB,
    SUCCESS,
    TOKEN,
    WIRES,
    Request,
    always,
    gateway_to,
    http,
    serving,
    settings_for,
    silence,
    token_reply,
    triggered,
)

from bulk_trigger.errors import SettingsError
from bulk_trigger.gateway.auth import encryption, sign
from bulk_trigger.gateway.http import HttpGateway
from bulk_trigger.model import Fault, Job
from bulk_trigger.ports import Gateway, InstanceQuery
from bulk_trigger.settings import Settings

QUERY = InstanceQuery(expression="3377-x", type=1, from_ms=5, to_ms=9, page=2, page_size=50, status="-1,4")


class Clock:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.epoch = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.epoch

    def dice(self) -> float:
        return 0.5


def target(request: Request) -> tuple[str, str, dict[str, str]]:
    method, address, _ = request.head.split("\r\n")[0].split()
    parts = urlsplit(address)
    return method, parts.path, dict(parse_qsl(parts.query))


@pytest.fixture(autouse=True, params=WIRES)
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All of this file holds for both wires."""
    monkeypatch.setattr(scripted, "WIRE", request.param)
    return str(request.param)


# --- what leaves


@pytest.mark.parametrize(
    ("api", "service"), [("v2.0", "/dataflow-batch-service/v2.0"), ("v2.1", "/batch-processing-service/v2.1")]
)
async def test_calls_go_where_the_documentation_says(api: str, service: str) -> None:
    both = {"orgId": "o1", "userId": "u1"}
    async with serving(always(SUCCESS)) as server, gateway_to(server, api=api) as gateway:
        await triggered(gateway, JOB)
        await gateway.get_instance("3377-20191122012300")
        await gateway.list_instances(QUERY)
        await gateway.current_time()

    assert [target(request) for request in server.requests] == [
        ("POST", f"{service}/flows", {"action": "trigger", **both}),
        ("GET", f"{service}/flowInstances", {"action": "get", "flowInstId": "3377-20191122012300", **both}),
        ("POST", f"{service}/flowInstances", {"action": "search", **both}),
        ("GET", f"{service}/time", {"action": "getCurrentTime"}),
    ]
    assert server.requests[0].body == b'{"flowId":3377,"triggerTime":1574385824000}'
    assert server.requests[0].header("Content-Type") == "application/json"
    assert json.loads(server.requests[2].body) == {
        "type": 1,
        "expression": "3377-x",
        "owner": "",
        "fromTriggerTime": 5,
        "toTriggerTime": 9,
        "status": "-1,4",
        "pagination": {"pageNo": 2, "pageSize": 50},
    }


async def test_what_is_signed_is_what_is_sent() -> None:
    """Names and values are signed decoded, whatever they look like on the wire."""
    odd = {"org_id": "o 1&x=描述+%", "user_id": "ü/u?#"}
    async with serving(always(SUCCESS)) as server, gateway_to(server, **odd) as gateway:
        await triggered(gateway, JOB)
        await gateway.get_instance("3377-2019 %")
        await gateway.list_instances(QUERY)
        await gateway.current_time()

    for request in server.requests:
        timestamp, params = request.header("apim-timestamp"), target(request)[2]
        assert timestamp is not None
        expected = sign(TOKEN, params, request.body, int(timestamp), CREDENTIALS.app_secret)
        assert request.header("apim-signature") == expected
        assert request.header("apim-accesstoken") == TOKEN
    assert target(server.requests[0])[2] == {
        "action": "trigger",
        "orgId": odd["org_id"],
        "userId": odd["user_id"],
    }


async def test_a_whole_trigger_request_holds_nothing_unexpected() -> None:
    async with serving(always(SUCCESS)) as server, gateway_to(server) as gateway:
        await triggered(gateway, JOB)

    lines = server.requests[0].head.strip().split("\r\n")
    assert lines[0] == "POST /dataflow-batch-service/v2.0/flows?action=trigger&orgId=o1&userId=u1 HTTP/1.1"
    assert sorted(line.partition(":")[0].lower() for line in lines[1:]) == [
        "accept-encoding",
        "apim-accesstoken",
        "apim-signature",
        "apim-timestamp",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ]


async def test_a_token_request_proves_the_secret_without_sending_it() -> None:
    """P28."""
    asked: list[Request] = []

    async def token(request: Request, writer: asyncio.StreamWriter) -> None:
        asked.append(request)
        writer.write(token_reply())

    async with serving(always(SUCCESS), token=token) as server, gateway_to(server):
        pass

    body = json.loads(asked[0].body)
    assert target(asked[0]) == ("POST", "/apim-token-service/v2.0/token/get", {})
    assert body == {
        "appKey": CREDENTIALS.app_key,
        "encryption": encryption(CREDENTIALS.app_key, body["timestamp"], CREDENTIALS.app_secret),
        "timestamp": body["timestamp"],
    }
    assert CREDENTIALS.app_secret not in asked[0].head + asked[0].body.decode()
    assert "apim-" not in asked[0].head.replace("apim-token-service", "")


@pytest.mark.parametrize(
    "origin",
    [
        "http://gateway.example",
        "ftp://x",
        "https://user:pw@x",
        "https://x/path",
        "https://" + "a" * 70 + ".x",
        "sandbox",
    ],
)
def test_credentials_are_not_taken_to_a_doubtful_origin(origin: str) -> None:
    """P29."""
    with pytest.raises(SettingsError):
        HttpGateway(Settings(gateway=origin), CREDENTIALS)


# --- the token


async def test_a_gateway_is_ready_once_it_has_a_token_and_until_its_renewal_is_due() -> None:
    clock = Clock()
    async with serving(always(SUCCESS)) as server:
        gateway: Gateway = HttpGateway(settings_for(server.origin), CREDENTIALS, clock=clock)
        assert not gateway.ready
        unready = await triggered(gateway, JOB)
        reply = await gateway.prepare()
        assert gateway.ready
        first = await triggered(gateway, JOB)
        clock.now += 6600
        assert not gateway.ready
        await gateway.prepare()
        second = await triggered(gateway, JOB)
        gateway.refuse_token(first.token)
        assert gateway.ready
        gateway.refuse_token(second.token)
        assert not gateway.ready
        await gateway.aclose()

    assert (unready.code, unready.token, len(server.requests)) == (1203, 0, 2)
    assert (reply.success, reply.data) == (True, None)
    assert (first.token, second.token) == (1, 2)


async def test_two_preparations_at_once_fetch_one_token() -> None:
    fetched = 0

    async def token(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal fetched
        fetched += 1
        writer.write(token_reply())

    async with serving(always(SUCCESS), token=token) as server:
        gateway = HttpGateway(settings_for(server.origin), CREDENTIALS)
        replies = await asyncio.gather(*(gateway.prepare() for _ in range(5)))
        await gateway.aclose()

    assert all(reply.success for reply in replies)
    assert fetched == 1


async def test_a_token_that_still_lives_is_used_while_its_renewal_fails() -> None:
    clock = Clock()
    replies = [token_reply(), http({"status": 1005, "msg": "internal"})]

    async def token(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(replies.pop(0))

    async with serving(always(SUCCESS), token=token) as server, gateway_to(server, clock=clock) as gateway:
        clock.now += 6600
        reply = await gateway.prepare()

        assert (reply.success, reply.code) == (False, 1005)
        assert gateway.ready
        assert (await triggered(gateway, JOB)).success


@pytest.mark.parametrize(
    "reply",
    [
        http({"status": 0, "data": {}}),
        http({"status": 0, "data": {"accessToken": "a\nb", "expire": 7200}}),
        http({"status": 1002, "msg": "appKey does not exist"}),
        http({"stauts": 0, "data": {"accessToken": "abc"}}),
        http(json.dumps({"status": 0, "data": {"accessToken": "abc"}}).encode(), 500),
        http(b"<html>", 200),
    ],
)
async def test_without_a_usable_token_a_gateway_is_not_ready(reply: bytes) -> None:
    async with serving(always(SUCCESS), token=always(reply)) as server, gateway_to(server) as gateway:
        answer = await gateway.prepare()

        assert not answer.success
        assert not gateway.ready


async def test_a_lost_token_call_is_a_reply_too() -> None:
    async with serving(always(SUCCESS), token=silence) as server:
        gateway = HttpGateway(settings_for(server.origin, timeout_s=0.4), CREDENTIALS)
        reply = await gateway.prepare()
        await gateway.aclose()

    assert reply.fault is Fault.TIMEOUT


# --- what comes back


async def test_a_success_is_passed_on_whole() -> None:
    async with serving(always(SUCCESS)) as server, gateway_to(server) as gateway:
        reply = await triggered(gateway, JOB)

    assert (reply.fault, reply.status, reply.code, reply.success) == (None, 200, 0, True)
    assert reply.data == {"flowInstanceId": "3377-20191122012300"}
    assert reply.message == "Success"
    assert (reply.token, reply.bytes_out) == (1, len(server.requests[0].body))
    assert 0 < reply.latency_s < 5


async def test_the_success_of_another_api_version_is_none() -> None:
    """P30: F38."""
    async with serving(always(SUCCESS)) as server, gateway_to(server, api="v2.1") as gateway:
        reply = await triggered(gateway, JOB)

    assert (reply.success, reply.code) == (False, 0)


async def test_a_refusal_is_passed_on_with_its_hints() -> None:
    """P18: F48."""
    refusal = http({"message": "API rate limit exceeded"}, 429, "Retry-After: 7")
    async with serving(always(refusal)) as server, gateway_to(server) as gateway:
        reply = await triggered(gateway, JOB)

    assert (reply.fault, reply.status, reply.code, reply.success) == (None, 429, None, False)
    assert (reply.retry_after_s, reply.message) == (7.0, "API rate limit exceeded")


async def test_a_secret_that_the_gateway_repeats_is_masked() -> None:
    """P28: F46. In an envelope, in plain text, at the edge of what is shown, and in a fault's text."""
    secrets = [TOKEN, CREDENTIALS.app_secret, CREDENTIALS.app_key]
    for secret in secrets:
        for leak in (
            http({"status": 62102, "msg": f"bad token {secret}!"}),
            http(f"<p>{secret}</p>".encode(), 502),
            http({"status": 62102, "msg": "x" * (300 - len(secret) // 2) + secret}),
            http(b"", 200, f"Content-Encoding: {secret}"),
        ):
            async with serving(always(leak)) as server, gateway_to(server) as gateway:
                reply = await triggered(gateway, JOB)

            assert "canary" not in repr(reply)
            assert len(reply.message) <= 300


async def test_no_secret_is_in_the_repr_or_in_a_token_reply() -> None:
    """P28."""
    for leak in (token_reply(), http({"status": 1003, "msg": CREDENTIALS.app_secret})):
        async with serving(always(SUCCESS), token=always(leak)) as server:
            gateway = HttpGateway(settings_for(server.origin), CREDENTIALS)
            reply = await gateway.prepare()
            await gateway.aclose()

        assert "canary" not in f"{gateway!r} {reply!r}"


async def test_a_text_of_many_lines_becomes_one() -> None:
    """P27: F47."""
    message = http({"status": 62102, "msg": "one\r\ntwo\n\tthree"})
    async with serving(always(message)) as server, gateway_to(server) as gateway:
        assert (await triggered(gateway, JOB)).message == "one two three"


# --- clocks


@pytest.mark.parametrize(
    ("status", "content"), [(401, {"message": "Invalid credentials"}), (200, {"status": 497})]
)
async def test_after_a_refusal_the_gateways_clock_is_used(status: int, content: dict[str, object]) -> None:
    clock = Clock()
    ahead_s = [300, 900]

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        if ahead_s:
            date = formatdate(clock.epoch + ahead_s.pop(0), usegmt=True)
            writer.write(http(content, status, f"Date: {date}"))
        else:
            writer.write(SUCCESS)

    async with serving(script) as server, gateway_to(server, clock=clock) as gateway:
        for _ in range(3):
            await triggered(gateway, JOB)

    stamps = [
        int(request.header("apim-timestamp") or 0) - round(clock.epoch * 1000) for request in server.requests
    ]
    assert stamps == [0, 300_000, 900_000]


@pytest.mark.parametrize(
    "date", ["Date: nonsense", "X: y", f"Date: {formatdate(1_700_000_000 + 29, usegmt=True)}"]
)
async def test_a_clock_that_is_near_enough_or_unreadable_changes_nothing(date: str) -> None:
    clock = Clock()
    async with serving(always(http(b"", 401, date))) as server, gateway_to(server, clock=clock) as gateway:
        for _ in range(2):
            await triggered(gateway, JOB)

    assert {request.header("apim-timestamp") for request in server.requests} == {"1700000000000"}


async def test_many_calls_at_once_get_each_their_own_reply() -> None:
    """P3."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        job = json.loads(request.body)
        await asyncio.sleep(job["flowId"] % 7 / 1000)
        writer.write(http({"status": 0, "data": {"flowInstanceId": f"{job['flowId']}-{job['triggerTime']}"}}))

    jobs = [Job(row, row, row * 60_000) for row in range(1, 101)]
    async with serving(script) as server, gateway_to(server) as gateway:
        replies = await asyncio.gather(*(triggered(gateway, job) for job in jobs))

    for job, reply in zip(jobs, replies, strict=True):
        assert reply.data == {"flowInstanceId": f"{job.flow_id}-{job.trigger_time_ms}"}
    assert len(server.requests) == len(jobs)
