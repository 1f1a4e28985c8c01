"""Signatures against the published and derived vectors, and the life of an access token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import orjson
import pytest

from bulk_trigger.gateway.auth import Credentials, Signer, Tokens, encryption, sign
from bulk_trigger.model import predict_instance_id

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text())
WRONG = {vector["id"]: vector for vector in VECTORS["known_wrong"]}
CREDENTIALS = Credentials("key", "secret")


def data(value: object = "abc", expire: object = 7200) -> dict[str, object]:
    return {"accessToken": value, "expire": expire}


def signature_of(vector: dict[str, Any]) -> str:
    return sign(
        vector["accessToken"],
        vector["query"],
        vector["body"].encode(),
        int(vector["timestamp"]),
        vector["appSecret"],
    )


@pytest.mark.parametrize("vector", VECTORS["token_mode_signature"], ids=lambda vector: vector["id"])
def test_a_signature_equals_the_vector(vector: dict[str, Any]) -> None:
    assert signature_of(vector) == vector["sha256_hex"]


@pytest.mark.parametrize("vector", VECTORS["token_get_encryption"], ids=lambda vector: vector["id"])
def test_the_encryption_of_a_token_request_equals_the_vector(vector: dict[str, Any]) -> None:
    assert encryption(vector["appKey"], vector["timestamp"], vector["appSecret"]) == vector["sha256_hex"]


@pytest.mark.parametrize("vector", VECTORS["flow_instance_id"], ids=lambda vector: vector["flowInstanceId"])
def test_a_predicted_instance_id_equals_the_vector(vector: dict[str, Any]) -> None:
    assert predict_instance_id(vector["flowId"], vector["triggerTime"]) == vector["flowInstanceId"]


def test_published_values_that_are_known_to_be_wrong_do_not_match() -> None:
    body, token, pair = (
        WRONG[name]
        for name in ("published-en-body-WRONG", "published-token-get", "published-trigger-sample-pair")
    )

    assert signature_of(body) == body["actual_sha256_hex"] != body["published_hex"]
    assert encryption(token["appKey"], token["timestamp"], "xxxappSecretxxx") != token["published_hex"]
    assert (
        predict_instance_id(pair["flowId"], pair["triggerTime"]) == pair["actual_id"] != pair["published_id"]
    )
    assert len(WRONG) == 3


@given(
    token=st.text(),
    params=st.dictionaries(st.text(), st.text()),
    body=st.binary(),
    timestamp_ms=st.integers(0, 10**15),
    secret=st.text(),
)
def test_a_prepared_signer_signs_like_the_plain_rule(
    token: str, params: dict[str, str], body: bytes, timestamp_ms: int, secret: str
) -> None:
    prepared = Signer(dict(reversed(params.items())), secret)

    assert prepared.sign(token, body, str(timestamp_ms)) == sign(token, params, body, timestamp_ms, secret)


def test_no_repr_shows_a_secret() -> None:
    """P28: key, secret and token are masked wherever an object is printed."""
    tokens = Tokens(Credentials("canary-key", "canary-secret"))
    tokens.accept(data("canary-token"), 0.0)

    shown = f"{Credentials('canary-key', 'canary-secret')!r} {tokens!r} {tokens.current!r} {tokens.current}"

    assert "canary" not in shown


def test_two_token_requests_of_one_millisecond_have_different_timestamps() -> None:
    tokens = Tokens(CREDENTIALS)

    asked = [orjson.loads(tokens.ask(wall_ms)) for wall_ms in (1000, 1000, 999, 1002, 1003)]

    assert [each["timestamp"] for each in asked] == [1000, 1001, 1002, 1003, 1004]
    assert all(each["encryption"] == encryption("key", each["timestamp"], "secret") for each in asked)
    assert {each["appKey"] for each in asked} == {"key"}


def test_a_clock_that_was_set_back_by_a_second_is_believed_again() -> None:
    """Or every request would have a time of the future until the clock is there again."""
    tokens = Tokens(CREDENTIALS)

    asked = [orjson.loads(tokens.ask(wall_ms))["timestamp"] for wall_ms in (10_000, 9_001, 9_001, 9_001)]

    assert asked == [10_000, 10_001, 9_001, 9_002]


@pytest.mark.parametrize(
    ("expire", "renewed_after_s"),
    [
        (7200, 6600),
        (1200, 600),
        (1000, 500),
        (600, 300),
        (3, 1.5),
        (1, 1),
        (0, 1),
        ("7200", 6600),
        (7200.0, 6600),
        (None, 300),
        ("soon", 300),
        (-5, 300),
        (-0.5, 300),
        ("999999999", 30 * 86400 - 600),
        ("9999999999", 300),
        ("\N{SUPERSCRIPT TWO}", 300),
        ("\N{FULLWIDTH DIGIT SEVEN}\N{FULLWIDTH DIGIT TWO}00", 300),
        (True, 300),
        (10**30, 30 * 86400 - 600),
    ],
)
def test_a_token_is_renewed_in_time(expire: object, renewed_after_s: float) -> None:
    tokens = Tokens(CREDENTIALS)

    assert not tokens.usable(100.0)
    assert tokens.accept(data(expire=expire), 100.0)
    assert tokens.usable(100.0 + renewed_after_s - 0.01)
    assert not tokens.usable(100.0 + renewed_after_s)


@pytest.mark.parametrize(
    "unusable",
    [
        None,
        [],
        "abc",
        {},
        data(None),
        data(""),
        data(5),
        data("a b"),
        data("a\r\nX:y"),
        data("ä"),
        data("x" * 4097),
    ],
)
def test_what_cannot_be_sent_in_a_header_is_no_token(unusable: object) -> None:
    tokens = Tokens(CREDENTIALS)

    assert tokens.accept(unusable, 0.0) is False
    assert tokens.current is None


@pytest.mark.parametrize("value", ["x", "x" * 4096, "A-b_c.d/e+f==~"])
def test_a_token_may_be_of_any_length_that_a_header_takes(value: str) -> None:
    tokens = Tokens(CREDENTIALS)

    assert tokens.accept(data(value), 0.0) is True
    assert tokens.current is not None
    assert tokens.current.value == value


def test_a_refused_token_is_forgotten_but_not_its_successor() -> None:
    tokens = Tokens(CREDENTIALS)
    tokens.accept(data("one"), 0.0)
    tokens.accept(data("two"), 0.0)

    tokens.refuse(1)
    assert tokens.current is not None
    assert tokens.current.serial == 2

    tokens.refuse(2)
    assert tokens.current is None


def test_a_failed_renewal_leaves_a_living_token_in_use() -> None:
    tokens = Tokens(CREDENTIALS)
    tokens.accept(data(), 0.0)

    assert not tokens.usable(6600.0)
    tokens.postpone(6600.0)
    assert tokens.usable(6629.0)
    assert not tokens.usable(6630.0)
    for now, again_at in ((7180.0, 7190.0), (7199.0, 7200.0)):  # half of what is left, at least a second
        tokens.postpone(now)
        assert tokens.usable(again_at - 0.01)
        assert not tokens.usable(again_at)
    tokens.postpone(7200.0)
    assert not tokens.usable(7200.0)
