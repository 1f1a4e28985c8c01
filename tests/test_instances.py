"""What look-up replies say about instances, and what they leave open."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from bulk_trigger.instances import (
    Instance,
    Lookup,
    count_in,
    entries_in,
    found_instance,
    instances_in,
    judge_lookup,
)
from bulk_trigger.model import Fault, Reply

ID = "3377-20191122012300"
ENTRY = {
    "instanceId": ID,
    "flowId": 3377,
    "status": 2,
    "startTime": "2019-11-22 09:24:00",
    "triggerTime": "2019-11-22 09:23:44",
    "graph": "{}",
}
READ = Instance(ID, 3377, 2, "2019-11-22 09:24:00", "2019-11-22 09:23:44")


def success(data: object, **more: Any) -> Reply:
    return Reply(status=200, code=0, success=True, data=data, **more)


@pytest.mark.parametrize(
    "data", [ENTRY, [ENTRY], {"flowInsts": [ENTRY], "count": 1}, {"flowInsts": [ENTRY], "count": 99}]
)
def test_an_instance_is_read_in_every_known_form(data: object) -> None:
    assert instances_in(success(data)) == [READ]
    assert found_instance(success(data), ID) == READ
    assert judge_lookup(success(data)) is Lookup.FOUND


@pytest.mark.parametrize(
    "data", [[], {"flowInsts": []}, {"flowInsts": [], "count": 0}, {"flowInsts": None, "count": 0}]
)
def test_an_empty_list_says_that_there_is_nothing(data: object) -> None:
    assert instances_in(success(data)) == []
    assert judge_lookup(success(data)) is Lookup.EMPTY


@pytest.mark.parametrize("data", [None, {}, ""])
def test_a_success_without_data_is_an_answer_but_not_a_page_of_a_list(data: object) -> None:
    """P6: "absent" is concluded from a list only where a list can be seen."""
    assert instances_in(success(data)) is None
    assert judge_lookup(success(data)) is Lookup.EMPTY


@pytest.mark.parametrize(
    "data",
    [
        0,
        False,
        "text",
        {"count": 0},
        {"flowInsts": None},
        {"flowInsts": None, "count": 3},
        {"flowInsts": {}},
        {"flowInsts": "[]"},
        {"flowInsts": [ENTRY, None]},
        {"flowInsts": [ENTRY, {"flowId": 3377}]},
        {"flowInsts": [{**ENTRY, "instanceId": 5}]},
        {"flowInsts": [{**ENTRY, "instanceId": ""}]},
        [[ENTRY]],
    ],
)
def test_a_page_that_cannot_be_read_completely_says_nothing(data: object) -> None:
    """P6: a partial list never becomes "absent"."""
    assert instances_in(success(data)) is None
    assert found_instance(success(data), ID) is None
    assert judge_lookup(success(data)) is Lookup.TRANSIENT


@pytest.mark.parametrize(
    ("data", "count"),
    [
        ({"flowInsts": [], "count": 3}, 3),
        ({"flowInsts": [], "count": "3"}, 3),
        ({"flowInsts": [], "count": 0}, 0),
        ({"flowInsts": [], "count": None}, 0),
        ({"flowInsts": [], "count": "many"}, 0),
        ({"flowInsts": []}, 0),
        ([ENTRY], 0),
        (None, 0),
    ],
)
def test_how_many_instances_a_page_announces_is_read_leniently(data: object, count: int) -> None:
    assert count_in(success(data)) == count


def test_only_the_exact_id_is_found() -> None:
    """Contract 5.4: the gateway matches fuzzily, so flow 377 is found inside 3377."""
    others = [{**ENTRY, "instanceId": f"{flow}-20191122012300"} for flow in (377, 33770, 13377)]

    assert found_instance(success({"flowInsts": others}), ID) is None
    assert found_instance(success({"flowInsts": [*others, ENTRY]}), ID) == READ


def test_everything_but_the_id_is_read_leniently() -> None:
    bare = instances_in(success([{"instanceId": ID}]))
    odd = instances_in(
        success([{**ENTRY, "flowId": "77", "status": "-1", "startTime": None, "triggerTime": 7}])
    )
    broken = instances_in(success([{**ENTRY, "flowId": [], "status": True}]))

    assert bare == [Instance(ID, 3377, None, "", "")]
    assert odd == [Instance(ID, 77, -1, "", "")]
    assert broken == [Instance(ID, 3377, None, READ.start_time, READ.trigger_time)]


def test_an_instance_is_live_until_it_has_ended() -> None:
    live = {status for status in range(-2, 12) if Instance(ID, 1, status, "", "").is_live}

    assert live == {0, 2, 3, 5, 6, 9}
    assert not Instance(ID, 1, None, "", "").is_live


@pytest.mark.parametrize(
    ("reply", "lookup"),
    [
        (Reply(status=200, code=62103), Lookup.NOT_PERMITTED),
        (Reply(status=403, code=99403), Lookup.NOT_PERMITTED),
        (Reply(status=403), Lookup.NOT_PERMITTED),
        (Reply(status=404), Lookup.NOT_PERMITTED),
        (Reply(status=404, code=404), Lookup.NOT_PERMITTED),
        (Reply(status=405), Lookup.NOT_PERMITTED),
        (Reply(status=501), Lookup.NOT_PERMITTED),
        (Reply(status=200, code=62102), Lookup.UNDECIDED),
        (Reply(status=200, code=99400), Lookup.UNDECIDED),
        (Reply(status=404, code=99404), Lookup.UNDECIDED),
        (Reply(status=400, code=62102), Lookup.UNDECIDED),
        (Reply(status=422, code=99400), Lookup.UNDECIDED),
        (Reply(status=502, code=62102), Lookup.TRANSIENT),
        (Reply(status=200, code=62109), Lookup.TRANSIENT),
        (Reply(status=200, code=99500), Lookup.TRANSIENT),
        (Reply(status=200, code=1203), Lookup.TRANSIENT),
        (Reply(status=200, code=4711), Lookup.TRANSIENT),
        (Reply(status=200, code=62109, data=[ENTRY]), Lookup.TRANSIENT),
        (Reply(status=200, code=62109, data=[]), Lookup.TRANSIENT),
        (Reply(status=404, code=4711), Lookup.TRANSIENT),
        (Reply(status=200, code=0), Lookup.TRANSIENT),
        (Reply(status=200), Lookup.TRANSIENT),
        (Reply(status=400), Lookup.TRANSIENT),
        (Reply(status=401), Lookup.TRANSIENT),
        (Reply(status=429), Lookup.TRANSIENT),
        (Reply(status=302), Lookup.TRANSIENT),
        (Reply(status=500), Lookup.TRANSIENT),
        (Reply(status=503), Lookup.TRANSIENT),
        (Reply(status=201, code=0, success=True, data=ENTRY), Lookup.TRANSIENT),
        (Reply(fault=Fault.CUT, status=200, code=0, success=True, data=[]), Lookup.TRANSIENT),
        (Reply(fault=Fault.TIMEOUT), Lookup.TRANSIENT),
        (Reply(fault=Fault.TLS, status=403), Lookup.TRANSIENT),
    ],
)
def test_a_look_up_has_its_own_table(reply: Reply, lookup: Lookup) -> None:
    """P6: design decision 7."""
    assert judge_lookup(reply) is lookup


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(ID),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["flowInsts", "count", "instanceId", "flowId", "status", "startTime"]), inner
        )
    ),
    max_leaves=8,
)


@given(
    data=JUNK,
    status=st.sampled_from([None, 200, 404, 500]),
    code=st.sampled_from([None, 0, 62103, 62102, 62109]),
    succeeded=st.booleans(),
    fault=st.none() | st.sampled_from(Fault),
)
def test_any_look_up_reply_is_safe_to_read(
    data: object, status: int | None, code: int | None, succeeded: bool, fault: Fault | None
) -> None:
    """P30: and something is found or missing only in a plain success."""
    reply = Reply(fault=fault, status=status, code=code, success=succeeded, data=data)

    found, instances, entries = found_instance(reply, ID), instances_in(reply), entries_in(reply)
    if found or instances is not None or judge_lookup(reply) in {Lookup.FOUND, Lookup.EMPTY}:
        assert (fault, status, succeeded) == (None, 200, True)
    if instances is not None:
        assert entries is not None
        assert len(instances) == len(entries)
