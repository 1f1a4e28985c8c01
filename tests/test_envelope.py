"""Bodies and headers of replies: what counts as an envelope, and what is not believed."""

from __future__ import annotations

from email.utils import formatdate
import json
import time

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.gateway.envelope import SUCCESS_KEY, Envelope, Successes, parse
from bulk_trigger.gateway.headers import http_date, retry_after, target_host

NOW = 1_700_000_000.0

#: body of a v2.0 reply -> (success, code)
BODIES = {
    b'{"status":0,"msg":" Success","data":{"flowInstanceId":"1-2"}}': (True, 0),
    b' {"status" : 0 } ': (True, 0),
    b'{"status":0,"code":0}': (True, 0),
    b'{"status":0,"code":null}': (True, 0),
    b'{"status":0,"msg":"a \\" quote"}': (True, 0),
    b'{"status":0,"data":[{"status":1},{"status":2}]}': (True, 0),
    b'{"status":0,"data":"2019-08-08"}': (True, 0),
    b'{"code":0}': (False, 0),
    b'{"status":"0"}': (False, 0),
    b'{"status":0,"code":"0"}': (False, 0),
    b'{"status":62109,"msg":"x"}': (False, 62109),
    b'{"status":"62109"}': (False, 62109),
    b'{"code":62104}': (False, 62104),
    b'{"apim_status":4011,"apim_refreshtoken":"r"}': (False, 4011),
    b'{"code":62104,"status":400}': (False, 62104),
    b'{"code":"E1","status":62104}': (False, 62104),
    b'{"status":-1}': (False, -1),
    # says two things at once
    b'{"status":0,"code":62109}': (False, None),
    b'{"status":0,"code":[]}': (False, None),
    b'{"status":62104,"code":"0"}': (False, None),
    b'{"status":62104,"code":false}': (False, None),
    b'{"status":0,"apim_status":4011}': (False, None),
    b'{"status":0,"status":62109}': (False, None),
    b'{"status":62104,"status":0}': (False, None),
    b'{"status":0,"st\\u0061tus":62109}': (False, None),
    b'{"status":0,"data":{},"data":{"flowInstanceId":"1-2"}}': (False, None),
    b'{"status":0,"data":{"flowInstanceId":"1-2","flowInstanceId":"1-3"}}': (False, None),
    # is not exactly the integer 0
    b'{"status":0.0}': (False, None),
    b'{"status":-0}': (False, None),
    b'{"status":0e0}': (False, None),
    b'{"status":false}': (False, None),
    b'{"status":true}': (False, None),
    b'{"status":null}': (False, None),
    b'{"status":[]}': (False, None),
    b'{"status":{}}': (False, None),
    b'{"status":""}': (False, None),
    b'{"status":"00"}': (False, None),
    b'{"status":"+62109"}': (False, None),
    b'{"status":" 62109"}': (False, None),
    b'{"status":"6_2109"}': (False, None),
    '{"status":"\N{FULLWIDTH DIGIT SIX}2109"}'.encode(): (False, None),
    b'{"status":62109.0}': (False, None),
    b'{"stauts":0}': (False, None),
    # is no object, or no JSON
    b"": (False, None),
    b"null": (False, None),
    b"[]": (False, None),
    b'"ok"': (False, None),
    b"{}": (False, None),
    b"0": (False, None),
    b'[{"status":0}]': (False, None),
    b'{"status":NaN}': (False, None),
    b'{"status":1e400}': (False, None),
    b'{"status":' + b"9" * 5000 + b"}": (False, None),
    b'{"status":00}': (False, None),
    b'{"status":0}{"status":0}': (False, None),
    b'{"status":0} x': (False, None),
    b'{"status":0': (False, None),
    b"\xef\xbb\xbf" + b'{"status":0}': (False, None),
    b'{"status":0,"msg":"\\ud800"}': (False, None),
    b'{"status":0,"msg":"\xff"}': (False, None),
    '{"status":0}'.encode("utf-16"): (False, None),
    b"[" * 100_000: (False, None),
    b"<html><title>Login</title></html>": (False, None),
}


def test_a_deep_reply_is_read_or_not_but_never_an_error() -> None:
    """P30: F41. How deep is too deep is the interpreter's affair; no instance ID is that deep."""
    body = b'{"status":0,"data":' + b"[" * 1000 + b"]" * 1000 + b',"x":"\\n"}'

    assert not isinstance(parse(body, "status").data, dict)


@pytest.mark.parametrize(("body", "said"), BODIES.items(), ids=lambda value: repr(value)[:60])
def test_only_the_configured_form_is_a_success(body: bytes, said: tuple[bool, int | None]) -> None:
    """P30: F37, F38, F41, F44."""
    envelope = parse(body, "status")

    assert (envelope.success, envelope.code) == said


def test_each_api_version_has_its_own_form_of_success() -> None:
    """P30: F38."""
    assert parse(b'{"code":0}', "code").success
    assert not parse(b'{"status":0}', "code").success
    assert not parse(b'{"code":0}', "status").success
    assert SUCCESS_KEY == {"v2.0": "status", "v2.1": "code"}


def test_a_body_that_is_no_envelope_shows_itself_as_the_message() -> None:
    assert (
        parse(b"<h1>Bad \xff Gateway</h1>", "status").message
        == "<h1>Bad \N{REPLACEMENT CHARACTER} Gateway</h1>"
    )
    assert parse(b'{"message":"API rate limit exceeded"}', "status").message == "API rate limit exceeded"
    assert parse(b'{"msg":7,"error":"Not Found"}', "status").message == "Not Found"


def test_only_the_text_of_an_envelope_is_its_message() -> None:
    assert parse(b'{"status":62109}', "status").message == ""
    assert parse(b'{"status":0,"code":62109,"msg":"no"}', "status").message == "no"


def test_no_repr_of_an_envelope_shows_its_data() -> None:
    """P28: the token service's envelopes hold a token."""
    envelope = parse(b'{"status":0,"data":{"accessToken":"canary-token"}}', "status")

    assert repr(envelope) == "<Envelope 0>"


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["status", "code", "data", "x"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_body_is_safe_to_read(body: bytes) -> None:
    """P30: whatever the bytes are, there is an envelope, and success means what `json` reads too."""
    envelope = parse(body, "status")

    assert isinstance(envelope, Envelope)
    assert envelope.code is None or type(envelope.code) is int
    if envelope.success:
        content = json.loads(body)
        assert type(content["status"]) is int
        assert content["status"] == 0
        assert content.get("code") in {0, None}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("9" * 40, 1e9),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9),
        ("-5", None),
        ("1e9", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("120, Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("١٢", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str | None, seconds: float | None) -> None:
    """P18: F48."""
    assert retry_after(text, NOW) == seconds


@given(st.text() | st.none())
def test_any_header_is_safe_to_read(text: str | None) -> None:
    """P30: F48, F49."""
    seconds = retry_after(text, NOW)

    assert seconds is None or 0 <= seconds <= 1e9
    assert http_date(text) is None or isinstance(http_date(text), float)
    assert target_host(text, "own") is None or len(target_host(text, "own") or "") <= 255


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, None),
        ("https://evil.example/login?token=x", "evil.example"),
        ("http://user:password@169.254.169.254/latest", "169.254.169.254"),
        ("//other.example/x", "other.example"),
        ("/flows", "own"),
        ("http://[::1", "?"),
        ("http://a b\x1b[31m/", "?"),
        ("https://[::1]:8/", "::1"),
    ],
)
def test_of_a_redirect_only_the_host_is_kept(location: str | None, host: str | None) -> None:
    """P28: F45. Path and query can hold secrets."""
    assert target_host(location, "own") == host


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of this process cannot be set")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai"])
def test_a_date_is_read_by_its_own_zone_and_without_one_as_utc(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    texts = ("14 Nov 2023 22:13:20 GMT", "14 Nov 2023 22:13:20 -0000", "15 Nov 2023 06:13:20 +0800")
    read = [http_date(text) for text in texts]
    monkeypatch.undo()
    time.tzset()

    assert read == [NOW] * 3


def test_a_date_of_more_than_64_characters_is_none() -> None:
    date = formatdate(NOW, usegmt=True)

    assert http_date(date.ljust(64)) == NOW
    assert http_date(date.ljust(65)) is None


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, None),
        ("https://evil.example:8443/path?secret=1", "evil.example"),
        ("//evil.example/path", "evil.example"),
        ("/path?secret=1", "own.example"),
        ("", "own.example"),
        ("https://[::1]/", "::1"),
        ("https://[::1", "?"),
        ("https://evil\x1b[31m.example/", "?"),
        (f"https://{'x' * 256}/", "?"),
    ],
)
def test_of_a_redirect_only_the_host_is_shown(location: str | None, host: str | None) -> None:
    """P28, P29: a path can hold secrets, and a terminal runs what it is shown."""
    assert target_host(location, "own.example") == host


IDS = st.sampled_from(["3377-20240101000000", "1-2", "-", "1-0", "x", "", "1\\u002d2", "9" * 60, "9" * 61])
SHAPES = st.sampled_from(
    [
        '{"status":0,"msg":" Success","data":{"flowInstanceId":"%s"}}',
        '{"data": {"flowInstanceId": "%s"}, "msg": "x", "status": 0}',
        '{"status":0,"x":1,"x":1,"data":{"flowInstanceId":"%s"}}',
        '{"status":0,"msg":"\\u0041","submsg":null,"data":{"flowInstanceId":"%s"}}',
        '{"status":0,"msg":"1-2","id":"1-2","data":{"flowInstanceId":"%s"}}',
        '{"status":0,"data":{"flowInstanceId":"1-2","flowInstanceId":"%s"}}',
        '{"status":0,"data":{"flowInstanceId":"%s","more":1}}',
        '{"status":62109,"msg":"no","data":{"flowInstanceId":"%s"}}',
        '{"code":0,"data":{"flowInstanceId":"%s"}}',
        '{"status":0,"data":{"flowInstanceId":"%s"}} ',
        '{"status":0,"data":{"flowInstanceId":"%s"}}x',
    ]
)
TRIGGER_BODIES = st.builds(lambda shape, given: (shape % given).encode(), SHAPES, IDS)


@given(st.lists(TRIGGER_BODIES | st.sampled_from(sorted(BODIES)), max_size=20))
def test_a_success_is_recognised_as_what_it_would_be_read_as(bodies: list[bytes]) -> None:
    """P3: whatever was read before."""
    for key in ("status", "code"):
        successes = Successes(key)
        for body in bodies:
            assert successes.read(body) == parse(body, key)


def test_what_was_learned_is_used_and_lessons_end() -> None:
    body = b'{"status":0,"n":%d,"data":{"flowInstanceId":"1-%d"}}'
    alike = Successes("status")
    for n in range(20):
        assert alike.read(body % (0, n)).data == {"flowInstanceId": f"1-{n}"}
    assert alike._lessons == Successes.lessons - 1

    each_another = Successes("status")
    for n in range(20):
        assert each_another.read(body % (n, n)).data == {"flowInstanceId": f"1-{n}"}
    assert each_another._lessons == 0
