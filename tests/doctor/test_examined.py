"""The doctor's questions to the real sandbox, over sockets: one thing is wrong at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
import ssl
import time
from typing import Any

import msgspec
import pytest
from running import Rig, rig
from scripted import Request, always, free_port, http, serving, tls_of, token_reply
import trustme

from bulk_trigger.calls import Calls
from bulk_trigger.doctor.diagnosis import diagnose
from bulk_trigger.doctor.page import Line, Mark, is_fit
from bulk_trigger.doctor.questions import ask_all
from bulk_trigger.gateway import Credentials, HttpGateway
from bulk_trigger.quantities import Rate
from bulk_trigger.sandbox import Sandbox
from bulk_trigger.settings import Settings

FLOWS = (3, 1, 2, 4)


async def ask_gateway(
    settings: Settings,
    credentials: Credentials,
    flow_ids: Sequence[int] = FLOWS,
    tls: ssl.SSLContext | None = None,
) -> dict[str, Line]:
    gateway = HttpGateway(settings, credentials, tls=tls)
    try:
        answers = await ask_all(
            Calls(gateway, settings), gateway, flow_ids=flow_ids, user_id=settings.user_id
        )
    finally:
        await gateway.aclose()
    return {line.name: line for line in diagnose(answers, settings, time.time())}


async def examined(ours: Rig, flow_ids: Sequence[int] = FLOWS, **changes: Any) -> dict[str, Line]:
    return await ask_gateway(ours.settings(**{"patience_s": 0.5, **changes}), ours.credentials, flow_ids)


def marks(lines: dict[str, Line]) -> dict[str, Mark]:
    """All verdicts but ok."""
    return {name: line.mark for name, line in lines.items() if line.mark is not Mark.OK}


def calls_of(sandbox: Sandbox) -> Counter[str]:
    return Counter(call.api for call in sandbox.ledger.calls)


def nothing_was_done(sandbox: Sandbox) -> bool:
    return not sandbox.ledger.effects and not calls_of(sandbox).keys() & {"trigger", "cancel", "switch"}


@pytest.mark.parametrize("api", ["v2.0", "v2.1"])
async def test_a_good_gateway_is_fit_and_each_flow_is_asked_about_once(tmp_path: Path, api: str) -> None:
    async with rig(tmp_path) as ours:
        lines = await examined(ours, tuple(range(1, 41)), api=api)

        assert marks(lines) == {}
        assert is_fit(lines.values())
        assert nothing_was_done(ours.sandbox)
        asked = Counter(call.flow_id for call in ours.sandbox.ledger.calls if call.api == "flow")
        assert asked == Counter(range(1, 41))
        assert calls_of(ours.sandbox)["token"] == 1


async def test_without_a_list_there_is_no_line_about_flows(tmp_path: Path) -> None:
    async with rig(tmp_path) as ours:
        lines = await examined(ours, ())

        assert marks(lines) == {}
        assert not any(name.startswith("flows") for name in lines)
        assert not calls_of(ours.sandbox)["flow"]


WRONG = {
    "a missing flow": ("[flows]\nmissing = [2]", {"flows exist": Mark.WRONG}),
    "a missing flow, told otherwise": (
        "[flows]\nmissing = [2]\nmissing_code = 99404",
        {"flows exist": Mark.WRONG},
    ),
    "a foreign flow": ("[flows]\nforeign = [2]", {"flows owned": Mark.WRONG}),
    "a locked flow": ("[flows]\nlocked = [2]", {"flows unlocked": Mark.WRONG}),
    "a flow without a task": ("[flows]\nno_task = [2]", {"flows have tasks": Mark.WRONG}),
    "a paused flow": ("[flows]\npaused = [2]", {"flows enabled": Mark.WARNING}),
    "a clock that is a little off": ("clock_offset_s = 30", {"clock": Mark.WARNING}),
    "a clock that is off": ("clock_offset_s = -200", {"clock": Mark.WRONG}),
    "a clock that costs the token": ("clock_offset_s = 3600", {"clock": Mark.WRONG}),
    "look-ups forbidden": ('lookup = "forbidden"', {"look-ups": Mark.WARNING}),
    "look-ups forbidden otherwise": ('lookup = "forbidden-99403"', {"look-ups": Mark.WARNING}),
    "look-ups forbidden by status": ('lookup = "403"', {"look-ups": Mark.WARNING}),
    "look-ups that do not exist": ('lookup = "404"', {"look-ups": Mark.WARNING}),
    "look-ups not implemented": ('lookup = "501"', {"look-ups": Mark.WARNING}),
    "look-ups that are down": ('lookup = "down"', {"look-ups": Mark.NOT_KNOWN}),
}


@pytest.mark.parametrize(("scenario", "found"), WRONG.values(), ids=WRONG)
async def test_one_thing_that_is_wrong_is_on_one_line(
    tmp_path: Path, scenario: str, found: dict[str, Mark]
) -> None:
    async with rig(tmp_path, scenario) as ours:
        lines = await examined(ours)

        assert marks(lines) == found
        assert all(lines[name].cure for name in found if found[name] is not Mark.NOT_KNOWN)
        assert is_fit(lines.values()) is (set(found.values()) == {Mark.WARNING})
        assert nothing_was_done(ours.sandbox)


@pytest.mark.parametrize("answer", ["null-data", "62102", "99404", "404"])
@pytest.mark.parametrize("base", [0, 1])
async def test_what_a_missing_instance_or_page_looks_like_is_no_refusal(
    tmp_path: Path, answer: str, base: int
) -> None:
    async with rig(tmp_path, f'missing_instance = "{answer}"\npage_base = {base}') as ours:
        assert marks(await examined(ours)) == {}


@pytest.mark.parametrize(
    ("key", "secret", "word"),
    [("nobody", "sandbox-app-secret", "1002"), ("sandbox-app-key", "guessed", "1003")],
)
async def test_a_refused_token_ends_the_questions(tmp_path: Path, key: str, secret: str, word: str) -> None:
    async with rig(tmp_path) as ours:
        lines = await ask_gateway(ours.settings(), Credentials(key, secret))

        assert lines["token"].mark is Mark.WRONG
        assert word in lines["token"].found
        assert secret not in str(lines)
        assert [name for name, line in lines.items() if line.mark is Mark.OK] == ["address", "TLS"]
        assert calls_of(ours.sandbox) == {"token": 1}


async def test_a_token_that_no_call_is_accepted_with_is_wrong(tmp_path: Path) -> None:
    scenario = '[[faults]]\non = "time"\nkind = "status"\nstatus = 401\n'
    async with rig(tmp_path, scenario) as ours:
        lines = await examined(ours)

        assert lines["token"].mark is Mark.WRONG
        assert "not accepted" in lines["token"].found
        assert not calls_of(ours.sandbox)["flow"]


async def test_an_unknown_user_ends_the_questions(tmp_path: Path) -> None:
    async with rig(tmp_path) as ours:
        lines = await examined(ours, user_id="nobody")

        assert lines["user"].mark is Mark.WRONG
        assert "--user-id" in lines["user"].cure
        assert lines["token"].mark is Mark.OK
        assert lines["flows exist"].mark is Mark.NOT_KNOWN
        assert not calls_of(ours.sandbox)["flow"]


async def test_nobody_at_the_address_is_told_within_the_patience() -> None:
    gone = Settings(
        gateway=f"http://127.0.0.1:{free_port()}", org_id="o", user_id="u", rates=(), patience_s=0.5
    )
    lines = await ask_gateway(gone, Credentials("key-of-nobody", "secret-of-nobody"))

    assert lines["address"].mark is Mark.WRONG
    assert {line.mark for name, line in lines.items() if name not in {"address", "TLS"}} == {Mark.NOT_KNOWN}


async def test_a_certificate_that_is_not_trusted_is_the_tls_line(tmp_path: Path) -> None:
    server, _ = tls_of(trustme.CA(), "127.0.0.1")
    _, client = tls_of(trustme.CA(), "127.0.0.1")
    async with serving(always(token_reply()), tls=server) as seen:
        settings = Settings(gateway=seen.origin, org_id="o", user_id="u", rates=(), patience_s=0.5)
        lines = await ask_gateway(settings, Credentials("some-key", "some-secret"), tls=client)

    assert lines["TLS"].mark is Mark.WRONG
    assert "certificate" in lines["TLS"].found
    assert [name for name, line in lines.items() if line.mark is Mark.OK] == ["address"]
    assert not seen.requests


async def test_a_web_site_is_not_taken_for_a_gateway() -> None:
    async def page(request: Request, writer: Any) -> None:
        writer.write(http(b"<html>Welcome</html>", 404))

    async with serving(page, token=page) as seen:
        settings = Settings(gateway=seen.origin, org_id="o", user_id="u", rates=(), patience_s=0.5)
        lines = await ask_gateway(settings, Credentials("some-key", "some-secret"))

    assert lines["address"].mark is Mark.WRONG
    assert "no EnOS API gateway" in lines["address"].cure


async def test_a_service_of_another_version_is_told_and_no_flow_is_asked_about(tmp_path: Path) -> None:
    faults = "".join(
        f'[[faults]]\non = "{on}"\nkind = "status"\nstatus = 404\n' for on in ("time", "get", "list", "flow")
    )
    async with rig(tmp_path, faults) as ours:
        lines = await examined(ours)

        assert lines["service"].mark is Mark.WRONG
        assert "--api" in lines["service"].cure
        assert not calls_of(ours.sandbox)["flow"]


async def test_flows_that_were_told_before_the_gateway_went_away_count(tmp_path: Path) -> None:
    scenario = '[flows]\nmissing = [1]\n[[faults]]\non = "flow"\nflows = ["50-99"]\nkind = "close"\n'
    async with rig(tmp_path, scenario) as ours:
        lines = await examined(ours, tuple(range(1, 100)), patience_s=0.3)

        exist = lines["flows exist"]
        assert exist.mark is Mark.WRONG
        assert "not there: 1 (62102 The workflow does not exist);" in exist.found
        assert "no answer about 50 " in exist.found
        assert lines["flows owned"].mark is Mark.NOT_KNOWN
        assert max(call.flow_id or 0 for call in ours.sandbox.ledger.calls) < 99  # it gave up


async def test_flows_that_may_not_be_seen_are_not_known_rather_than_missing(tmp_path: Path) -> None:
    scenario = '[[faults]]\non = "flow"\nkind = "status"\nstatus = 403\n'
    async with rig(tmp_path, scenario) as ours:
        lines = await examined(ours)

        assert marks(lines).keys() == {name for name in lines if name.startswith("flows")}
        assert "http-403" in lines["flows exist"].found
        assert set(marks(lines).values()) == {Mark.NOT_KNOWN}


async def test_a_passing_fault_is_not_a_finding(tmp_path: Path) -> None:
    faults = "".join(
        f'[[faults]]\non = "{on}"\nkind = "code"\ncalls = [1]\n' for on in ("time", "list", "get", "flow")
    )
    async with rig(tmp_path, faults) as ours:
        assert marks(await examined(ours, patience_s=10.0)) == {}


async def test_the_questions_stay_within_the_rate(tmp_path: Path) -> None:
    async with rig(tmp_path) as ours:
        lines = await examined(ours, tuple(range(1, 61)), rates=(Rate(30, 1.0),))

        assert marks(lines) == {}
        begun = sorted(call.mono for call in ours.sandbox.ledger.calls)
        assert len(begun) == 65
        assert (
            begun[-1] - begun[0] > 1.5
        )  # two windows were full; a first one that arrives late makes it shorter


async def test_a_gateway_that_asks_for_a_pause_gets_it(tmp_path: Path) -> None:
    async with rig(tmp_path, 'rate_limit = "20/s"\nretry_after_s = 1') as ours:
        lines = await examined(ours, tuple(range(1, 41)))

        assert marks(lines) == {}
        assert any(call.status == 429 for call in ours.sandbox.ledger.calls)


@pytest.mark.parametrize(
    ("on", "unknown"), [("token", {"token", "service", "clock"}), ("time", {"service", "clock"})]
)
async def test_a_gateway_that_is_always_too_busy_is_given_up(
    tmp_path: Path, on: str, unknown: set[str]
) -> None:
    scenario = f'[[faults]]\non = "{on}"\nkind = "status"\nstatus = 429\n'
    async with rig(tmp_path, scenario) as ours:
        lines = await examined(ours)

        assert {lines[name].mark for name in unknown} == {Mark.NOT_KNOWN}
        assert lines["address"].mark is Mark.OK
        assert not is_fit(lines.values())
        assert not calls_of(ours.sandbox)["flow"]


async def test_a_paused_flow_can_be_enabled_in_the_sandbox(tmp_path: Path) -> None:
    """The scenario says how it begins; calls may change it."""
    async with rig(tmp_path, "[flows]\npaused = [2]") as ours:
        assert marks(await examined(ours)) == {"flows enabled": Mark.WARNING}
        ours.sandbox._service._flows.switch(2, on=True)
        assert marks(await examined(ours)) == {}
        paused = msgspec.structs.replace(ours.sandbox.scenario.flows, paused=("1-4",))
        ours.sandbox.become(msgspec.structs.replace(ours.sandbox.scenario, flows=paused))
        assert (await examined(ours))["flows enabled"].flow_ids == (1, 2, 3, 4)
