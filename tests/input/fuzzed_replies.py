"""Fuzz target: one HTTP reply of any bytes, through the wire's reader, the envelope, and every judge."""

from __future__ import annotations

from collections.abc import Iterable
import json
import random
import re
from typing import Any

from scripted import JOB, SUCCESS, gateway_for, http
from second_readers import Number, Pairs

from bulk_trigger.cells import clean
from bulk_trigger.gateway.answer import Answer
from bulk_trigger.gateway.auth import Credentials, Tokens
from bulk_trigger.gateway.direct_reply import MAX_HEAD, Heads, ReplyReader
from bulk_trigger.gateway.envelope import parse
from bulk_trigger.gateway.headers import LONGEST_S
from bulk_trigger.instances import found_instance, instances_in, judge_lookup
from bulk_trigger.model import Evidence, Reply
from bulk_trigger.reconcile import Calibration
from bulk_trigger.retry import Reconcile, Release, Retry, Settle, decide
from bulk_trigger.settings import Settings
from bulk_trigger.verdicts import judge, judge_probe, judge_token

ID = JOB.instance_id
CODES = ("code", "status", "apim_status")
KEY = "status"  #: what says 0 on success in API v2.0
INSTANCE = {
    "instanceId": ID,
    "flowId": JOB.flow_id,
    "status": 2,
    "triggerTime": "2019-11-22 01:23:44",
    "startTime": "2019-11-22 01:23:45",
}
BODIES = (
    {"status": 0, "msg": "Success", "data": {"flowInstanceId": ID}},
    {"status": 0, "code": 0, "msg": "Success", "data": {"flowInstanceId": ID}},
    {"status": 62109, "msg": "Server internal exception"},
    {"status": 62102, "msg": "do not trigger the same workflow repeatedly in 1 minute"},
    {"status": 62104, "msg": "no task", "data": None},
    {"code": "1203", "message": "token expired"},
    {"apim_status": 4011, "msg": "x", "error_description": "y"},
    {"status": 0, "data": {"flowInsts": [INSTANCE], "count": 1}},
    {"status": 0, "data": [INSTANCE]},
    {"status": 0, "data": {"flowInsts": [], "count": 0}},
    {"status": 0, "data": {"accessToken": "abc", "expire": 7200}},
    {"status": 0, "data": 1574385824000},
)
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
GOOD = (
    SUCCESS,
    *(http(dict(body)) for body in BODIES),
    b"HTTP/1.1 100 Continue\r\n\r\n" + SUCCESS,
    CHUNKS,
    http({"status": 429}, 429, "Retry-After: 120", "Date: Fri, 22 Nov 2019 01:23:44 GMT"),
    http(b"", 503, "Retry-After: Fri, 22 Nov 2019 01:25:44 GMT"),
    http(b"moved", 302, "Location: https://elsewhere:8443/login?token=x"),
    b"HTTP/1.1 200 OK\r\n\r\n" + SUCCESS.partition(b"\r\n\r\n")[2],
)
WORDS = (
    b"HTTP/1.1 ", b" 200 OK", b" 204 ", b"Content-Length: 0\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"Connection: close\r\n", b"\r\n\r\n",
    b"Retry-After: -1\r\n", b"Retry-After: 1e9\r\n", b"Retry-After: 99999999999\r\n",
    b"Keep-Alive: timeout=5\r\n", b"RateLimit: limit=10, remaining=-5, reset=1e99\r\n",
    b"X-RateLimit-Reset: 0\r\n", b"Date: Mon, 99 Foo 99999\r\n", b"Date: Fri, 22 Nov 9999 23:59:59 -9999\r\n",
    b"Location: //\r\n", b"Location: http://[::1\r\n", b"Location: \x1b[31m\r\n", b'"status":0',
    b'"status":"0"', b'"code":0', b'"code":62109', b'"data":', b'"flowInstanceId":', b"null", b"NaN", b"true",
    b"1e400", b"\\u0073", b"\\ud800", b"{" * 500, b"[" * 5000, b"0\r\n\r\n", b"ffffffffffffffff\r\n",
    b'"startTime":"9999-99-99 00:00:00"', b'"flowInsts":', b'"count":0', ID.encode(), b"3377-",
    b"33770-20191122012300",
)  # fmt: skip
_SETTINGS = Settings(gateway="sandbox")


class Reading:
    """The gateway's own way from bytes to a `Reply`, without a wire."""

    def __init__(self) -> None:
        self._gateway = gateway_for("http://127.0.0.1:9")

    def reply(self, answer: Answer) -> Reply:
        return self._gateway._reply(answer, parse(answer.body, KEY), 1)


def told(parts: Iterable[bytes]) -> Answer:
    """What the reader says of a reply that comes in these parts, and then the connection ends.

    With a fault, how much was seen before it depends on the pieces, and nothing is concluded from it.
    """
    reader = ReplyReader(Heads())
    for part in parts:
        if part and reader.feed(memoryview(part)):
            break
    else:
        reader.end(clean=True)
    assert reader.whole is (reader.fault is None)
    if not reader.whole:
        return Answer(fault=reader.fault)
    return Answer(status=reader.status, headers=dict(reader.headers), body=reader.body)


def pieces(data: bytes) -> list[bytes]:
    dice = random.Random(data)
    at = sorted(dice.randrange(len(data) + 1) for _ in range(5))
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


def receive(data: bytes) -> None:
    """F35 to F41, F48, F49, F119, P30: any reply is safe, and only one that proves a success is one."""
    answer = told([data])
    if len(data) <= MAX_HEAD:  # this limit is counted read by read
        assert told(pieces(data)) == answer, "how it is cut into pieces makes a difference"
    if answer.fault is None:
        assert_framed(data, answer)
    reply = Reading().reply(answer)
    assert len(reply.message) <= 300
    assert clean(reply.message, cell=True).isprintable()
    assert not clean(reply.message, cell=True).startswith(("=", "+", "-", "@"))
    assert reply.retry_after_s is None or 0 <= reply.retry_after_s <= LONGEST_S
    assert reply.location is None or re.fullmatch(r"[0-9A-Za-z._:%?-]{1,255}", reply.location)
    verdict = judge(JOB, reply)
    if verdict.evidence is Evidence.APPLIED:
        assert proves_success(answer)
        assert verdict.instance_id == clean(verdict.instance_id or "", cell=True)
    else:
        assert not is_plain(answer.body) or not proves_success(answer), "a plain success was not believed"
    for can_look_up in (True, False):
        decision = decide(
            verdict,
            _SETTINGS,
            charged=1,
            can_look_up=can_look_up,
            retry_after_s=reply.retry_after_s,
            dice=0.5,
        )
        if verdict.evidence is Evidence.UNKNOWN:
            assert not isinstance(decision.fate, Release)
            if can_look_up:
                assert isinstance(decision.fate, Reconcile)
            elif isinstance(decision.fate, Retry):
                assert decision.fate.dup_risk
        if isinstance(decision.fate, Settle) and decision.fate.state == "succeeded":
            assert verdict.evidence is Evidence.APPLIED
    judge_token(reply)
    judge_probe(reply)
    look_up(reply, answer.body)
    take_token(reply)


def look_up(reply: Reply, body: bytes) -> None:
    """The same reply, to a look-up."""
    judge_lookup(reply)
    found = found_instance(reply, ID)
    if found is not None:
        assert reply.status == 200
        assert ID in _strings(json.loads(body, object_pairs_hook=list))
    for zone in (None, 3600.0):
        calibration = Calibration()
        calibration.zone_s = zone
        for instance in instances_in(reply) or ():
            assert calibration.is_ours(instance, JOB, 1.0, 2.0) in {True, False, None}
            calibration.learn_zone(instance, 1.0)
            calibration.learn_id(JOB, instance.instance_id)


def take_token(reply: Reply) -> None:
    tokens = Tokens(Credentials("key", "secret"))
    if tokens.accept(reply.data, 5.0):
        assert tokens.current is not None
        assert re.fullmatch(r"[!-~]{1,4096}", tokens.current.value)
        assert 5.0 <= tokens.current.renew_at < float("inf")


def assert_framed(data: bytes, answer: Answer) -> None:
    """A body with a length is those bytes and no others."""
    head, _, rest = data.partition(b"\r\n\r\n")
    lengths = re.findall(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*(?=\r\n|$)", head, re.IGNORECASE)
    framed = len(lengths) == 1 and b"transfer-encoding" not in head.lower() and b"\n\n" not in head
    if framed and answer.status not in {204, 304} and head.count(b"HTTP/") == 1 and b" 1" not in head[:10]:
        assert answer.body == rest[: int(lengths[0])]


def proves_success(answer: Answer) -> bool:
    """Whether the body says in one way only that it was done, with an ID of the flow (an oracle)."""
    try:
        top = json.loads(
            answer.body.decode(),
            object_pairs_hook=Pairs,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError):
        return False
    if answer.status != 200 or not isinstance(top, Pairs) or not _once(top, {*CODES, "data"}):
        return False
    said = dict(top)
    codes = [said[key] for key in CODES if said.get(key) is not None]
    data = said.get("data")
    if not isinstance(said.get(KEY), Number) or any(
        code != "0" or type(code) is not Number for code in codes
    ):
        return False
    instance_id = (
        dict(data).get("flowInstanceId")
        if isinstance(data, Pairs) and _once(data, {"flowInstanceId"})
        else None
    )
    return type(instance_id) is str and bool(re.fullmatch(r"3377-[0-9][0-9-]{0,39}", instance_id))


def is_plain(body: bytes) -> bool:
    """Whether there is nothing about a body that one reader of JSON could see in another way."""
    return bool(re.fullmatch(rb"[ !#-\[\]-~\"]*", body)) and not re.search(
        rb"-0|[0-9][.eE]|[0-9]{19}|\[\[\[", body
    )


def _once(pairs: Pairs, keys: set[str]) -> bool:
    found = [key for key, _ in pairs if key in keys]
    return len(set(found)) == len(found)


def _refuse(name: str) -> None:
    raise ValueError(name)


def _strings(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    return {text for each in value for text in _strings(each)} if isinstance(value, list | tuple) else set()
