"""What replies prove: the tables of `promises.md` section 5, written down again from the other side."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.model import Evidence, Fault, Job, Kind, Reply, Scope, Verdict
from bulk_trigger.verdicts import judge, judge_probe, judge_token

JOB = Job(1, 3377, 1574385824000)
GOOD = {"flowInstanceId": JOB.instance_id}


def envelope(code: int, status: int = 200, **more: Any) -> Reply:
    return Reply(status=status, code=code, bytes_out=43, **more)


def page(status: int, **more: Any) -> Reply:
    """A reply without an envelope."""
    return Reply(status=status, message="<html>", bytes_out=43, **more)


def success(data: object, status: int = 200) -> Reply:
    return Reply(status=status, code=0, success=True, data=data, message="Success", bytes_out=43)


def kind_of(verdict: Verdict) -> str:
    """One word for a class of the tables: what it proves, and what it means."""
    if verdict.kind is Kind.DOUBTFUL:
        where = " for everyone" if verdict.scope is Scope.EVERYONE else ""
        return ("doubt, answered" if verdict.answered else "doubt") + where
    if verdict.kind is Kind.REFUSED:
        return f"refused: {verdict.scope}"
    return str(verdict.kind)


# --- accepted


def test_a_success_with_our_instance_id_is_accepted() -> None:
    verdict = judge(JOB, success(GOOD))

    assert (verdict.evidence, verdict.kind) == (Evidence.APPLIED, Kind.ACCEPTED)
    assert (verdict.instance_id, verdict.good, verdict.mismatch) == ("3377-20191122012300", True, False)
    assert (verdict.code, verdict.message) == ("0", "Success")


def test_another_id_of_our_flow_is_accepted_and_told() -> None:
    """Contract 5.2: warn when they differ; it shows that we misunderstand the IDs."""
    for given_id in (
        "3377-20191122092300",
        "3377-201911220123",
        "3377-20191122012300-2",
        "3377-19700101000000",
    ):
        verdict = judge(JOB, success({"flowInstanceId": given_id}))

        assert (verdict.kind, verdict.mismatch, verdict.instance_id) == (Kind.ACCEPTED, True, given_id)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        "3377-20191122012300",
        {"flowInstanceId": None},
        {"flowInstanceId": ""},
        {"flowInstanceId": 337720191122012300},
        {"flowInstanceId": ["3377-20191122012300"]},
        {"flowInstanceId": "2791-20191122012300"},
        {"flowInstanceId": "33771-20191122012300"},
        {"flowInstanceId": "337-20191122012300"},
        {"flowInstanceId": " 3377-20191122012300"},
        {"flowInstanceId": "3377-20191122012300\n"},
        {"flowInstanceId": "3377-"},
        {"flowInstanceId": "3377"},
        {"flowInstanceId": "3377-=cmd()"},
        {"flowInstanceId": "3377-\N{FULLWIDTH DIGIT TWO}019"},
        {"flowInstanceId": "3377-" + "0" * 1_000_000},
        {"flowinstanceid": "3377-20191122012300"},
    ],
    ids=lambda data: repr(data)[:50],
)
def test_a_success_without_an_id_of_our_flow_is_a_doubt(data: object) -> None:
    """P3: F39, F40."""
    verdict = judge(JOB, success(data))

    assert (verdict.evidence, verdict.kind) == (Evidence.UNKNOWN, Kind.DOUBTFUL)
    assert (verdict.anomaly, verdict.answered, verdict.good) == (True, True, False)
    assert verdict.instance_id is None
    assert (verdict.code, "3377" in verdict.message) == ("0", True)
    assert len(verdict.message) < 100


@pytest.mark.parametrize("status", [s for s in range(100, 600) if s != 200])
def test_a_success_with_any_other_status_is_a_doubt(status: int) -> None:
    """P30: "other 2xx" and statuses that contradict the body."""
    verdict, alone = judge(JOB, success(GOOD, status)), judge(JOB, page(status))

    assert (verdict.evidence, verdict.kind) == (Evidence.UNKNOWN, Kind.DOUBTFUL)
    assert (verdict.instance_id, verdict.code, verdict.nonsense) == (None, f"http-{status}", True)
    assert (verdict.answered, verdict.pause) == (alone.answered, alone.pause), "it is no less under way"


# --- 5.1 no HTTP status received

BY_FAULT = {
    Fault.NAME: "unreachable",
    Fault.REFUSED: "unreachable",
    Fault.UNREACHABLE: "unreachable",
    Fault.CONNECT_TIMEOUT: "unreachable",
    Fault.PROXY: "unreachable",
    Fault.TLS: "refused: everyone",
    Fault.RESOURCES: "transient",
    Fault.NOT_SENT: "transient",
    Fault.RESET: "doubt",
    Fault.TIMEOUT: "doubt",
    Fault.CUT: "doubt",
    Fault.TOO_LARGE: "doubt",
    Fault.MALFORMED: "doubt",
    Fault.CANCELLED: "doubt",
    Fault.CRASHED: "doubt",
}


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_its_class(fault: Fault) -> None:
    """P6: 5.1, row by row; a hint of a status changes nothing."""
    for status in (None, 200, 400, 429, 503):
        verdict = judge(
            JOB, Reply(fault=fault, status=status, code=0, success=True, data=GOOD, message="why")
        )

        assert kind_of(verdict) == BY_FAULT[fault]
        assert (verdict.code, verdict.message) == (fault.value, "why")
        assert (verdict.evidence is Evidence.UNKNOWN) == (BY_FAULT[fault] == "doubt")
        assert not verdict.good
        assert verdict.nonsense == (fault in {Fault.MALFORMED, Fault.TOO_LARGE})


def test_a_proxy_that_wants_a_password_concerns_everyone() -> None:
    """F10."""
    assert kind_of(judge(JOB, Reply(fault=Fault.PROXY, status=407))) == "refused: everyone"


# --- 5.2 HTTP status

BY_STATUS = {
    "doubt": [202, 408, 502, 503, 504],
    "doubt, answered": [500],
    "doubt, answered for everyone": [300, 301, 302, 303, 304],
    "refused: everyone": [307, 308, 403, 407, 501, 505, 511],
    "refused: row": [400, 404, 405, 406, 410, 411, 413, 414, 415, 422, 431],
    "token": [401],
    "transient": [421, 425],
    "throttled": [429],
    "unreachable": [521, 523, 525, 526],
}
CLASS_OF = {status: name for name, statuses in BY_STATUS.items() for status in statuses}
REST = {1: "doubt", 2: "doubt, answered", 3: "doubt, answered for everyone", 4: "doubt, answered", 5: "doubt"}
NOT_APPLIED = {
    "refused: everyone",
    "refused: row",
    "refused: flow",
    "token",
    "transient",
    "throttled",
    "unreachable",
}


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_has_exactly_one_class(status: int) -> None:
    """P6: F35. 5.2, row by row; statuses that it does not list are doubts."""
    verdict = judge(JOB, page(status))
    expected = CLASS_OF.get(status, REST[status // 100])

    assert kind_of(verdict) == expected
    assert (verdict.evidence is Evidence.NOT_APPLIED) == (expected in NOT_APPLIED)
    assert verdict.evidence is not Evidence.APPLIED
    assert verdict.code == f"http-{status}"
    assert verdict.pause == (status in {429, 503})
    assert verdict.by_status == (expected == "refused: row")
    assert verdict.nonsense == (status // 100 in {1, 2} or expected == "doubt, answered for everyone")
    assert not verdict.good


@pytest.mark.parametrize("status", range(100, 600))
def test_a_code_that_only_repeats_the_status_leaves_the_word_to_it(status: int) -> None:
    assert judge(JOB, page(status)) == judge(JOB, page(status, code=status))


def test_statuses_from_another_world_are_doubts() -> None:
    for status in (0, 99, 600, 999):
        assert kind_of(judge(JOB, page(status))) == "doubt"
    assert judge(JOB, Reply()).code == "no-reply"


def test_a_request_timeout_proves_something_only_if_nothing_was_sent() -> None:
    assert kind_of(judge(JOB, page(408))) == "doubt"
    assert kind_of(judge(JOB, Reply(status=408, bytes_out=0))) == "transient"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (page(500), "<html>"),
        (Reply(status=500), "Internal Server Error"),
        (Reply(status=418), "I'm a Teapot"),
        (Reply(status=599), ""),
        (Reply(), ""),
    ],
)
def test_a_status_shows_the_text_that_came_with_it_or_else_its_name(reply: Reply, text: str) -> None:
    assert judge(JOB, reply).message == text


@pytest.mark.parametrize(("status", "redirects"), [(299, False), (300, True), (399, True), (400, False)])
def test_only_a_redirect_is_told_as_one(status: int, redirects: bool) -> None:
    assert ("--gateway" in judge(JOB, page(status)).message) is redirects


def test_a_redirect_names_its_target_and_the_cure() -> None:
    """P29: F45."""
    for reply in (page(302, location="evil.example"), envelope(7, 302, location="evil.example")):
        verdict = judge(JOB, reply)

        assert verdict.scope is Scope.EVERYONE
        assert "evil.example" in verdict.message
        assert "--gateway" in verdict.message


# --- 5.3 service codes

BY_CODE = {
    62101: "refused: everyone",
    62102: "refused: row",
    62103: "refused: flow",
    62104: "refused: flow",
    62105: "refused: everyone",
    62109: "internal",
    99400: "refused: row",
    99403: "refused: row",
    99404: "refused: row",
    99500: "internal",
    429: "throttled",
    497: "token",
    1203: "token",
    1204: "token",
    4011: "token",
    4012: "token",
    1001: "transient",
    1005: "transient",
    1002: "refused: everyone",
    1003: "refused: everyone",
    1004: "refused: everyone",
    1202: "refused: everyone",
}


@pytest.mark.parametrize("code", BY_CODE)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 502, 503])
def test_a_listed_code_counts_whatever_the_status(code: int, status: int) -> None:
    """P6: 5.3, row by row. Nobody says which status carries a code, so the body is read first."""
    if code == status:
        return
    verdict = judge(JOB, envelope(code, status, message="text"))

    assert kind_of(verdict) == BY_CODE[code]
    assert (verdict.evidence is Evidence.UNKNOWN) == (code in {62109, 99500})
    assert (verdict.code, verdict.message) == (str(code), "text")
    assert verdict.pause == (status in {429, 503} or code == 429)
    assert verdict.good == (BY_CODE[code] in {"refused: row", "refused: flow"})
    assert verdict.by_status == (code in {62102, 99400, 99403, 99404})


@pytest.mark.parametrize(
    "text",
    [
        "Cannot create instance. Do not trigger the same workflow repeatedly in 1 minute.",
        "not within one Minute",
        "一分钟内请勿重复触发",
    ],
)
def test_repeatedly_within_a_minute_is_a_doubt_about_the_row_and_none_about_the_gateway(text: str) -> None:
    verdict = judge(JOB, envelope(62102, message=text))

    assert (verdict.evidence, verdict.kind) == (Evidence.UNKNOWN, Kind.REPEATED)
    assert (verdict.answered, verdict.good) == (True, True)


#: status beside a code that nobody knows -> class: doubts of the status stay, its refusals do not count
UNLISTED = {
    200: "doubt, answered",
    202: "doubt",
    302: "doubt, answered for everyone",
    307: "doubt, answered",
    400: "doubt, answered",
    401: "token",
    403: "doubt, answered",
    404: "doubt, answered",
    409: "doubt, answered",
    429: "throttled",
    500: "doubt, answered",
    502: "doubt",
    503: "doubt",
    504: "doubt",
    521: "doubt, answered",
}


@pytest.mark.parametrize("status", UNLISTED)
@pytest.mark.parametrize("code", [1, -1, 7, 404404, 62106, 62107, 62108, 62110, 10**18])
def test_a_code_that_no_table_lists_is_unknown(code: int, status: int) -> None:
    """P6: the last row of 5.3."""
    verdict = judge(JOB, envelope(code, status))

    assert kind_of(verdict) == UNLISTED[status]
    assert verdict.code == str(code)
    assert not verdict.good
    assert not verdict.by_status


def test_code_0_in_the_wrong_form_is_no_success() -> None:
    """P30: F38."""
    verdict = judge(JOB, envelope(0, data=GOOD))

    assert (kind_of(verdict), verdict.nonsense) == ("doubt, answered", True)
    assert "--api" in verdict.message


# --- everything else


REPLIES = st.builds(
    Reply,
    fault=st.none() | st.sampled_from(Fault),
    status=st.none() | st.integers(0, 999) | st.sampled_from([200, 401, 429, 503]),
    code=st.none() | st.integers(-(2**63), 2**64 - 1) | st.sampled_from([0, *BY_CODE]),
    success=st.booleans(),
    message=st.text(max_size=20),
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.just(JOB.instance_id),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.just("flowInstanceId") | st.text(max_size=3), inner)
        ),
        max_leaves=4,
    ),
    retry_after_s=st.none() | st.floats(0, 1e9),
    location=st.none() | st.text(max_size=5),
    bytes_out=st.integers(0, 43),
)


@given(REPLIES)
def test_no_reply_is_accepted_unless_it_is_exactly_well_formed(reply: Reply) -> None:
    """P30: any reply can be judged, and only one form of it is a success."""
    verdict = judge(JOB, reply)
    given_id = reply.data.get("flowInstanceId") if isinstance(reply.data, dict) else None

    well_formed = (
        reply.fault is None and reply.status == 200 and reply.success and isinstance(given_id, str)
    ) and given_id.startswith("3377-")
    if verdict.kind is Kind.ACCEPTED:
        assert well_formed
        assert verdict.instance_id == given_id
    if given_id == JOB.instance_id and well_formed:
        assert verdict.kind is Kind.ACCEPTED
    assert (verdict.evidence is Evidence.APPLIED) == (verdict.kind is Kind.ACCEPTED)
    assert verdict.code


@given(REPLIES)
def test_verdicts_do_not_contradict_themselves(reply: Reply) -> None:
    verdict = judge(JOB, reply)

    doubts = {Kind.INTERNAL, Kind.REPEATED, Kind.DOUBTFUL}
    assert (verdict.evidence is Evidence.UNKNOWN) == (verdict.kind in doubts)
    assert verdict.scope is Scope.ROW or verdict.kind in {Kind.REFUSED, Kind.DOUBTFUL}
    assert not (verdict.good and (verdict.nonsense or verdict.anomaly))
    if reply.fault is not None and verdict.evidence is Evidence.UNKNOWN:
        assert not verdict.answered


# --- token and probe


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (success(None), "accepted"),
        (envelope(1001), "transient"),
        (envelope(1005), "transient"),
        (envelope(1204), "transient"),
        (envelope(1203), "transient"),
        (envelope(1002), "refused: everyone"),
        (envelope(1003), "refused: everyone"),
        (envelope(1004), "refused: everyone"),
        (envelope(1202), "refused: everyone"),
        (envelope(62103), "refused: everyone"),
        (envelope(62109), "transient"),
        (envelope(4711), "transient"),
        (envelope(0), "transient"),
        (page(200), "transient"),
        (page(401), "refused: everyone"),
        (page(403), "refused: everyone"),
        (page(404), "refused: everyone"),
        (page(299), "transient"),
        (page(300), "refused: everyone"),
        (page(302), "refused: everyone"),
        (page(307), "refused: everyone"),
        (page(399), "refused: everyone"),
        (envelope(4711, 400), "transient"),
        (page(429), "throttled"),
        (page(500), "transient"),
        (page(502), "transient"),
        (page(503), "transient"),
        (Reply(fault=Fault.REFUSED), "unreachable"),
        (Reply(fault=Fault.NAME), "unreachable"),
        (Reply(fault=Fault.TLS), "refused: everyone"),
        (Reply(fault=Fault.TIMEOUT), "transient"),
        (Reply(fault=Fault.RESET), "transient"),
        (Reply(fault=Fault.MALFORMED), "transient"),
    ],
)
def test_a_token_reply_has_its_own_table(reply: Reply, kind: str) -> None:
    """Contract 2.2: a token call triggers nothing, so there is no doubt in it."""
    verdict = judge_token(reply)

    assert kind_of(verdict) == kind
    assert verdict.evidence is not Evidence.UNKNOWN
    assert verdict.pause == (reply.status in {429, 503})
    assert verdict.good == (verdict.kind is Kind.ACCEPTED)


@given(REPLIES)
def test_a_token_reply_is_never_in_doubt(reply: Reply) -> None:
    verdict = judge_token(reply)

    assert verdict.evidence is not Evidence.UNKNOWN
    assert verdict.kind in {Kind.ACCEPTED, Kind.REFUSED, Kind.TRANSIENT, Kind.UNREACHABLE, Kind.THROTTLED}
    assert verdict.good == (verdict.kind is Kind.ACCEPTED)
    assert not verdict.by_status  # it is no row that was refused
    assert (verdict.kind is Kind.REFUSED) == (verdict.scope is Scope.EVERYONE)


@pytest.mark.parametrize(
    ("reply", "works"),
    [
        (success(1565251865242), True),
        (success(None), True),
        (envelope(62103), True),
        (envelope(99403), True),
        (success(1565251865242, 201), False),
        (envelope(62109), False),
        (envelope(1203), False),
        (envelope(4711), False),
        (envelope(0), False),
        (page(200), False),
        (page(401), False),
        (page(404), False),
        (page(429), False),
        (page(503), False),
        (Reply(fault=Fault.REFUSED), False),
        (Reply(fault=Fault.CUT, status=200, success=True), False),
    ],
)
def test_a_probe_succeeds_when_the_service_itself_speaks(reply: Reply, works: bool) -> None:
    assert judge_probe(reply) is works
