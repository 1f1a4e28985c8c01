"""The knobs of a run: what contradicts itself, or would show credentials, is refused with the cure."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bulk_trigger.errors import SettingsError
from bulk_trigger.quantities import Rate
from bulk_trigger.settings import (
    Duplicates,
    Limit,
    On62109,
    OnFailure,
    OnUnknown,
    Order,
    Settings,
    is_loopback,
)


@pytest.mark.parametrize(
    "url",
    [
        "sandbox",
        "https://apim-ppe1.example.com",
        "https://apim-ppe1.example.com/",
        "https://apim-ppe1.example.com:8443",
        "http://localhost:8080",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "https://[2001:db8::1]",
        "https://10.0.0.1",
        "https://apim.example.com.",
        "https://xn--bcher-kva.example",
    ],
)
def test_an_origin_that_credentials_may_be_sent_to_is_accepted(url: str) -> None:
    """F128."""
    assert Settings(gateway=url).is_sandbox is (url == "sandbox")


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("", "write https://"),
        ("apim.example.com", "write https://"),
        ("ftp://apim.example.com", "write https://"),
        ("https://", "write https://"),
        ("https://apim.example.com:0", "write https://"),
        ("https://apim.example.com:99999", "Port out of range"),
        ("https://apim.example.com:x", "Port could not"),
        ("https://key:secret@apim.example.com", "BULK_TRIGGER_APP_KEY"),
        ("https://@apim.example.com", "BULK_TRIGGER_APP_KEY"),
        ("https://apim.example.com/dataflow", "https://apim.example.com"),
        ("https://apim.example.com?x=1", "https://apim.example.com"),
        ("https://apim.example.com#x", "https://apim.example.com"),
        ("http://apim.example.com", "write https://apim.example.com"),
        ("http://127.evil.example.com", "plain http"),
        ("http://127.0.0.1.example.com", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("http://10.0.0.1", "plain http"),
        ("http://0.0.0.0", "plain http"),
        ("http://169.254.169.254", "plain http"),
        ("http://localhost.", "plain http"),
        ("http://xn--bcher-kva.example", "plain http"),
        ("http://[fe80::1]", "plain http"),
        ("https://apim.example.com/..", "https://apim.example.com"),
    ],
)
def test_any_other_origin_is_refused_with_the_cure(url: str, cure: str) -> None:
    """P29, F128: credentials go to one origin, over TLS; the only plain text is that within this machine."""
    with pytest.raises(SettingsError, match=cure):
        Settings(gateway=url)


@pytest.mark.parametrize("start", ["https://", "http://", "ftp://", "", "https://:99999"])
def test_a_refused_origin_does_not_repeat_its_secret(start: str) -> None:
    """P28, F128."""
    with pytest.raises(SettingsError, match="must not hold a user or password") as refusal:
        Settings(gateway=f"{start}key:canary-secret@apim.example.com:x")

    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.1.2", True),
        ("::1", True),
        ("127.0.0.1.", False),
        ("127.0.0.1.5", False),
        ("127.\u0660.\u0660.\u0661", False),
        ("128.0.0.1", False),
        ("", False),
        ("::", False),
    ],
)
def test_only_what_can_only_mean_this_machine_is_a_loopback(host: str, expected: bool) -> None:
    """P29."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"in_flight": 0}, "--in-flight must be at least 1"),
        ({"retries": -1}, "--retries must be at least 0"),
        ({"drain_s": -0.1}, "--drain must be at least 0"),
        ({"patience_s": -1.0}, "--patience must be at least 0"),
        ({"reconcile_wait_s": -1.0}, "--reconcile-wait must be at least 0"),
        ({"timeout_s": 0.0}, "--timeout must be more than 0"),
        ({"connect_timeout_s": 0.0}, "--connect-timeout must be more than 0"),
        ({"api": "v3"}, "--api 'v3' is not known"),
        ({"rates": (Rate(5, 1.0), Rate(9, 1.0))}, "--rate was given twice"),
    ],
)
def test_a_knob_that_cannot_be_is_refused_by_the_name_of_its_flag(changes: dict[str, Any], flag: str) -> None:
    with pytest.raises(SettingsError, match=flag):
        Settings(gateway="sandbox", **changes)


def test_the_defaults_are_the_careful_ones() -> None:
    """P6, P10, P13: nothing is sent twice, and nothing out of order, unless somebody asks for it."""
    found = Settings(gateway="sandbox")

    assert found.on_62109 is On62109.RECONCILE
    assert found.on_unknown is OnUnknown.STOP_FLOW
    assert found.on_failure is OnFailure.CONTINUE
    assert found.duplicates is Duplicates.REFUSE
    assert found.order is Order.INPUT
    assert (found.rates, found.in_flight, found.retries) == ((Rate(20, 1.0),), 64, 5)
    assert (found.timeout_s, found.drain_s, found.reconcile_wait_s, found.patience_s) == (30, 8, 75, 900)


def test_settings_survive_the_journal() -> None:
    """P22: `resume` takes them from there."""
    before = Settings(
        gateway="https://apim.example.com",
        rates=(Rate(50, 1.0), Rate(2000, 60.0)),
        max_failures=Limit(2.5, percent=True),
        rows=(5, 10),
        order=Order.TIME,
    )

    assert msgspec.json.decode(msgspec.json.encode(before), type=Settings) == before


def test_settings_of_another_version_are_refused() -> None:
    """P22: a knob that this version does not know may have mattered."""
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"gateway":"sandbox","new_knob":1}', type=Settings)


@pytest.mark.parametrize(
    ("limit", "rows", "text"),
    [(Limit(5), 5, "5"), (Limit(10, percent=True), 20, "10%"), (Limit(0.5, percent=True), 1, "0.5%")],
)
def test_a_limit_is_a_number_of_rows_or_a_share(limit: Limit, rows: float, text: str) -> None:
    assert limit.of(200) == rows
    assert str(limit) == text
