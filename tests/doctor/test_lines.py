"""The doctor's verdicts, from replies alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.doctor.answers import Answers, concerns_all
from bulk_trigger.doctor.census import Census, Flow, read_flow
from bulk_trigger.doctor.clock import clock_line, zone_line
from bulk_trigger.doctor.connection import connection_lines
from bulk_trigger.doctor.diagnosis import diagnose
from bulk_trigger.doctor.flows import flow_lines, user_line
from bulk_trigger.doctor.jobs import job_lines
from bulk_trigger.doctor.lookup import lookup_line
from bulk_trigger.doctor.page import Line, Mark, is_fit, not_asked, worst
from bulk_trigger.model import Fault, Reply
from bulk_trigger.settings import Settings

SETTINGS = Settings(gateway="https://apim.example", org_id="o1", user_id="u1")
NOW_S = 1_704_067_200.0
TIME = Reply(status=200, code=0, success=True, data=1_704_067_200_000)


def success(data: Any) -> Reply:
    return Reply(status=200, code=0, success=True, data=data)


def code(number: int, status: int = 200, text: str = "") -> Reply:
    return Reply(status=status, code=number, message=text)


def status(number: int) -> Reply:
    return Reply(status=number)


def fault(which: Fault) -> Reply:
    return Reply(fault=which, message="as it happened")


def connection(answers: Answers) -> dict[str, Mark]:
    return {line.name: line.mark for line in connection_lines(answers, SETTINGS)}


@pytest.mark.parametrize(
    ("token", "wrong", "cure"),
    [
        (fault(Fault.NAME), "address", "DNS"),
        (fault(Fault.REFUSED), "address", "nobody listens"),
        (fault(Fault.UNREACHABLE), "address", "firewall"),
        (fault(Fault.CONNECT_TIMEOUT), "address", "VPN"),
        (fault(Fault.PROXY), "address", "proxy"),
        (fault(Fault.TIMEOUT), "address", "no whole reply"),
        (fault(Fault.RESET), "address", "no whole reply"),
        (fault(Fault.MALFORMED), "address", "no whole reply"),
        (fault(Fault.TLS), "TLS", "SSL_CERT_FILE"),
        (status(302), "address", "no EnOS API gateway"),
        (status(404), "address", "no EnOS API gateway"),
        (status(200), "address", "no EnOS API gateway"),
        (status(403), "address", "IP list"),
        (code(404, 404), "address", "no EnOS API gateway"),
        (status(401), "token", "APP_SECRET"),
        (code(1002), "token", "APP_KEY is not known"),
        (code(1003), "token", "clock"),
        (code(1004), "token", "APP_KEY"),
        (code(1202), "token", "APP_KEY"),
    ],
)
def test_a_token_that_is_not_given_has_one_reason_and_the_rest_is_not_known(
    token: Reply, wrong: str, cure: str
) -> None:
    lines = list(diagnose(Answers(token=token), SETTINGS, NOW_S))

    assert [line.name for line in lines if line.mark is Mark.WRONG] == [wrong]
    assert cure in next(line.cure for line in lines if line.name == wrong)
    order = [line.name for line in lines]
    later = lines[order.index("service") :]
    assert {line.mark for line in later} == {Mark.NOT_KNOWN}
    assert not is_fit(lines)


@pytest.mark.parametrize("token", [status(429), status(500), status(503), code(1005), code(1001)])
def test_a_token_service_that_is_busy_proves_nothing_but_the_address(token: Reply) -> None:
    marks = connection(Answers(token=token))

    assert marks == {
        "address": Mark.OK,
        "TLS": Mark.OK,
        "token": Mark.NOT_KNOWN,
        "service": Mark.NOT_KNOWN,
    }


def test_nothing_is_asked_without_credentials_and_that_is_the_tokens_line() -> None:
    lines = list(diagnose(Answers(no_credentials="BULK_TRIGGER_APP_KEY is not set"), SETTINGS, NOW_S))

    assert {line.name: line.mark for line in lines if line.mark is not Mark.NOT_KNOWN} == {
        "token": Mark.WRONG
    }


@pytest.mark.parametrize(
    ("clock", "token", "service"),
    [
        (TIME, Mark.OK, Mark.OK),
        (status(401), Mark.WRONG, Mark.NOT_KNOWN),
        (code(1203), Mark.WRONG, Mark.NOT_KNOWN),
        (code(497), Mark.WRONG, Mark.NOT_KNOWN),
        (status(403), Mark.NOT_KNOWN, Mark.WRONG),
        (status(404), Mark.NOT_KNOWN, Mark.WRONG),
        (code(0), Mark.NOT_KNOWN, Mark.WRONG),
        (status(500), Mark.NOT_KNOWN, Mark.NOT_KNOWN),
        (fault(Fault.RESET), Mark.NOT_KNOWN, Mark.NOT_KNOWN),
        (code(62109), Mark.OK, Mark.OK),
    ],
)
def test_a_token_is_good_when_the_service_itself_speaks(clock: Reply, token: Mark, service: Mark) -> None:
    marks = connection(Answers(ready=True, clock=clock))

    assert (marks["token"], marks["service"]) == (token, service)
    assert (marks["address"], marks["TLS"]) == (Mark.OK, Mark.OK)


@pytest.mark.parametrize(
    ("ahead_s", "mark", "words"),
    [
        (0.0, Mark.OK, "0.0s"),
        (-9.9, Mark.OK, "ahead of"),
        (11.0, Mark.WARNING, "11s behind"),
        (-60.0, Mark.WARNING, "1m ahead of"),
        (60.1, Mark.WRONG, "1m behind"),
        (-7200.0, Mark.WRONG, "2h ahead of"),
    ],
)
def test_a_clock_is_judged_by_how_far_it_is_off(ahead_s: float, mark: Mark, words: str) -> None:
    line = clock_line(Answers(ready=True, clock=TIME, ahead_s=ahead_s))

    assert line.mark is mark
    assert words in line.found


def test_a_clock_that_cost_the_token_is_wrong() -> None:
    refused = Reply(status=200, code=1003, clock_ahead_s=600.0)

    assert clock_line(Answers(token=refused)).mark is Mark.WRONG


def test_a_clock_that_is_not_told_matters_only_where_nothing_else_is_accepted() -> None:
    silent = Answers(ready=True, clock=status(403))
    assert clock_line(silent).mark is Mark.NOT_KNOWN
    silent.zone = success({"timezone": "GMT+8"})
    assert clock_line(silent).mark is Mark.WARNING


@pytest.mark.parametrize(
    ("reply", "given", "mark", "words"),
    [
        (success({"timezone": "GMT+8"}), None, Mark.OK, "16:00:00 UTC"),
        (success({"timezone": "GMT-5"}), None, Mark.OK, "5:00:00 UTC"),
        (success({"timezone": "GMT+8"}), "Asia/Shanghai", Mark.OK, "Asia/Shanghai"),
        (success({"timezone": "GMT+8"}), "Europe/Berlin", Mark.WARNING, "7h away"),
        (success({"timezone": "here"}), None, Mark.WARNING, "does not tell"),
        (success(None), None, Mark.WARNING, "does not tell"),
        (code(62109), None, Mark.WARNING, "62109"),
        (None, None, Mark.NOT_KNOWN, "not asked"),
    ],
)
def test_a_zone_is_told_and_compared_with_the_one_of_the_list(
    reply: Reply | None, given: str | None, mark: Mark, words: str
) -> None:
    line = zone_line(reply, given, NOW_S)

    assert line.mark is mark
    assert words in line.found


PAGE = success({"flowInsts": [], "count": 0})


@pytest.mark.parametrize(
    ("listed", "got", "mark"),
    [
        (PAGE, success(None), Mark.OK),
        (PAGE, code(62102), Mark.OK),
        (PAGE, code(99404), Mark.OK),
        (PAGE, status(404), Mark.OK),
        (PAGE, code(404, 404), Mark.OK),
        (PAGE, code(62103), Mark.WARNING),
        (PAGE, status(403), Mark.WARNING),
        (PAGE, status(500), Mark.NOT_KNOWN),
        (code(62103), code(62103), Mark.WARNING),
        (code(99403), success(None), Mark.WARNING),
        (status(404), status(404), Mark.WARNING),
        (status(501), status(501), Mark.WARNING),
        (status(500), status(500), Mark.NOT_KNOWN),
        (fault(Fault.RESET), None, Mark.NOT_KNOWN),
        (None, None, Mark.NOT_KNOWN),
    ],
)
def test_look_ups_are_permitted_or_a_warning(listed: Reply | None, got: Reply | None, mark: Mark) -> None:
    assert lookup_line(listed, got).mark is mark


FLOW = {
    "flowId": 7,
    "owner": "zhang;u1",
    "hasEditPri": True,
    "locked": False,
    "isUserLocked": False,
    "active": 1,
    "graph": '{"tasks": [{"taskId": 1}]}',
}
GOOD = Flow(exists=True, owned=True, free=True, filled=True, on=True)


@pytest.mark.parametrize(
    ("changes", "aspect", "value"),
    [
        ({}, "owned", True),
        ({"flowId": "7"}, "exists", True),
        ({"hasEditPri": False, "owner": "zhang;li"}, "owned", False),
        ({"hasEditPri": False}, "owned", None),  # it contradicts itself
        ({"hasEditPri": None}, "owned", True),
        ({"hasEditPri": None, "owner": "zhang;u12"}, "owned", None),  # owners are told by name
        ({"locked": True}, "free", False),
        ({"locked": "true"}, "free", False),
        ({"locked": 1}, "free", False),
        ({"locked": None}, "free", None),
        ({"locked": {}}, "free", None),
        ({"active": 0}, "on", False),
        ({"active": "0"}, "on", False),
        ({"active": 7}, "on", None),
        ({"graph": '{"tasks": []}'}, "filled", False),
        ({"graph": {"tasks": []}}, "filled", False),
        ({"graph": {"tasks": [{}]}}, "filled", True),
        ({"graph": '{"tasks": ["runMode": "{"a"}"]}'}, "filled", None),  # as the English pages print it
        ({"graph": "[" * 100_000}, "filled", None),
        ({"graph": None}, "filled", None),
        ({"isUserLocked": True}, "user_locked", True),
        ({"flowId": 8}, "answered", False),  # of another flow
        ({"flowId": [7]}, "answered", False),
    ],
)
def test_a_flow_is_read_leniently_and_nothing_is_guessed(
    changes: dict[str, Any], aspect: str, value: bool | None
) -> None:
    for data in ({**FLOW, **changes}, [{**FLOW, **changes}]):
        assert getattr(read_flow(7, success(data), "u1"), aspect) is value


@pytest.mark.parametrize(
    ("reply", "flow"),
    [
        (success(FLOW), GOOD),
        (success(None), Flow(exists=False)),
        (success({}), Flow(exists=False)),
        (success([]), Flow(exists=False)),
        (code(62102), Flow(exists=False)),
        (code(99404, 404), Flow(exists=False)),
        (code(62103), Flow(owned=False)),
        (code(99403), Flow(answered=False)),
        (status(404), Flow(answered=False)),
        (status(403), Flow(answered=False)),
        (success("gone"), Flow(answered=False)),
        (fault(Fault.CUT), Flow(answered=False)),
    ],
)
def test_a_flow_is_missing_only_when_the_service_says_so(reply: Reply, flow: Flow) -> None:
    assert read_flow(7, reply, "u1") == flow


def lines_of(*flows: Flow, more: int = 0) -> dict[str, Line]:
    census = Census()
    census.total = len(flows) + more
    for number, flow in enumerate(flows, 1):
        census.add(number, flow)
    return {line.name: line for line in flow_lines(census, "http-500")}


@pytest.mark.parametrize(
    ("flow", "name", "mark"),
    [
        (Flow(exists=False), "flows exist", Mark.WRONG),
        (Flow(exists=True, owned=False, free=True, filled=True, on=True), "flows owned", Mark.WRONG),
        (Flow(exists=True, owned=True, free=False, filled=True, on=True), "flows unlocked", Mark.WRONG),
        (Flow(exists=True, owned=True, free=True, filled=False, on=True), "flows have tasks", Mark.WRONG),
        (Flow(exists=True, owned=True, free=True, filled=True, on=False), "flows enabled", Mark.WARNING),
        (Flow(exists=True, owned=True, free=True, filled=None, on=True), "flows have tasks", Mark.WARNING),
    ],
)
def test_what_ails_a_flow_is_on_one_line_that_names_it(flow: Flow, name: str, mark: Mark) -> None:
    lines = lines_of(GOOD, flow)

    assert {line.name: line.mark for line in lines.values() if line.mark is not Mark.OK} == {name: mark}
    assert ": 2" in lines[name].found
    assert "1 of 2" in lines[name].found
    assert lines[name].cure


def test_many_flows_are_counted_and_all_of_them_told_to_programs() -> None:
    line = lines_of(*[Flow(exists=False)] * 12)["flows exist"]

    assert line.found == "0 of 12 there; not there: 1, 2, 3, 4, 5 and 7 more"
    assert line.flow_ids == tuple(range(1, 13))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(FLOW)), inner),
    max_leaves=12,
)


@given(JSON, st.dictionaries(st.sampled_from([*FLOW, "timezone"]), JSON))
def test_any_payload_is_safe_to_read(data: Any, fields: dict[str, Any]) -> None:
    """P30: whatever a gateway says."""
    for payload in (data, {**FLOW, **fields}, fields, [fields]):
        reply = success(payload)
        census = Census()
        census.total = 1
        census.add(7, read_flow(7, reply, "u1"))
        answers = Answers(
            ready=True, clock=reply, zone=reply, listed=reply, got=reply, census=census, token=reply
        )

        assert all(line.found.isprintable() for line in diagnose(answers, SETTINGS, NOW_S))


def test_flows_without_an_answer_are_not_known_and_say_why() -> None:
    lines = lines_of(GOOD, more=3)

    assert {line.mark for line in lines.values()} == {Mark.NOT_KNOWN}
    assert "no answer about 3 (http-500)" in lines["flows exist"].found
    assert lines_of(Flow(exists=False), more=3)["flows exist"].mark is Mark.WRONG


@pytest.mark.parametrize(
    ("listed", "mark"),
    [
        (code(62101), Mark.WRONG),
        (code(62105), Mark.WRONG),
        (PAGE, Mark.OK),
        (code(62103), Mark.NOT_KNOWN),
        (None, Mark.NOT_KNOWN),
    ],
)
def test_a_user_is_known_by_a_call_that_succeeds_in_its_name(listed: Reply | None, mark: Mark) -> None:
    assert user_line(Answers(ready=True, listed=listed), "u1", "o1").mark is mark


def test_a_locked_user_is_wrong_whatever_calls_succeed() -> None:
    answers = Answers(ready=True, listed=PAGE)
    answers.census.add(7, read_flow(7, success({**FLOW, "isUserLocked": True}), "u1"))

    assert user_line(answers, "u1", "o1").mark is Mark.WRONG


FACTS = {
    "rows": 5,
    "flows": 2,
    "toSend": 5,
    "invalid": 0,
    "duplicates": 0,
    "estimate": {"seconds": 200.0, "decidedBy": "--rate 20/s", "assumedLatencyMs": 50},
}


@pytest.mark.parametrize(
    ("changes", "problem", "mark"),
    [
        ({}, "", Mark.OK),
        ({"invalid": 1}, "", Mark.WARNING),
        ({"duplicates": 1}, "", Mark.WARNING),
        ({"invalid": 1}, "jobs.csv:3: flowId: 'x'\nand more", Mark.WRONG),
    ],
)
def test_a_job_list_is_what_check_says_it_is(changes: dict[str, int], problem: str, mark: Mark) -> None:
    listed, takes = job_lines("jobs.csv", {**FACTS, **changes}, problem)

    assert listed.mark is mark
    assert "\n" not in listed.found
    assert (takes.mark, takes.found[:15]) == (Mark.OK, "3m 20s or more:")


def test_a_damaged_list_has_no_duration() -> None:
    listed, takes = job_lines("jobs.csv", None, "jobs.csv: is empty")

    assert (listed.mark, takes.mark) == (Mark.WRONG, Mark.NOT_KNOWN)


@pytest.mark.parametrize(
    ("reply", "ends"),
    [
        (TIME, False),
        (code(62103), False),
        (status(403), False),
        (status(501), False),
        (status(500), False),
        (code(62101), True),
        (code(62105), True),
        (code(1003), True),
        (status(401), True),
        (status(429), True),
        (fault(Fault.RESET), True),
    ],
)
def test_questions_end_with_what_concerns_every_call(reply: Reply, ends: bool) -> None:
    assert concerns_all(reply) is ends


def test_only_what_a_run_can_do_without_is_fit() -> None:
    assert worst([]) is Mark.OK
    assert worst([Mark.WARNING, Mark.WRONG, Mark.NOT_KNOWN]) is Mark.WRONG
    assert worst([Mark.WARNING, Mark.NOT_KNOWN]) is Mark.NOT_KNOWN
    assert is_fit([Line("a", Mark.OK, ""), Line("b", Mark.WARNING, "")])
    assert not is_fit([Line("a", Mark.OK, ""), not_asked("b", "")])


def test_text_of_the_gateway_cannot_steer_a_terminal_or_fill_the_page() -> None:
    nasty = Reply(status=200, code=1002, message="\x1b[2J" + "x" * 5000 + "\nok  token")
    line = next(line for line in connection_lines(Answers(token=nasty), SETTINGS) if line.name == "token")

    assert line.found.isprintable()
    assert len(line.found) < 400
