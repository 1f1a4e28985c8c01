"""F65: a read side that contradicts itself, in all the ways in which the documentation does (contract 5).

Each lie is told in a whole run of four rows. The replies to their first attempts are lost, or say 62109, with
the effect and without it. What a look-up says then must never make anybody send a flow twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from oracle import JobKey
import orjson
import pytest
from virtual_rig import Lie, honest, past, virtual_rig, virtually

from bulk_trigger.sandbox.calls import Call
from bulk_trigger.sandbox.replies import Reply, failure, refusal

JOBS = past(4, flows=4)
#: By flow: what comes of the first attempt, and whether it took effect.
DOUBTS = {
    3300: ("reset", "after"),
    3301: ("reset", "before"),
    3302: ("code", "after"),
    3303: ("code", "before"),
}
TROUBLE = "".join(
    f'[[faults]]\nkind = "{kind}"\nwhen = "{when}"\nflows = [{flow_id}]\nattempts = [1]\n'
    for flow_id, (kind, when) in DOUBTS.items()
)
NO_GET = '[[faults]]\nkind = "status"\nstatus = 502\non = "get"\n'
SMALL = "max_page_size = 2\n"
Entry = dict[str, Any]


def there(*jobs: JobKey) -> str:
    """Instances that were there before, so that lists have something to hide ours behind.

    F68: flows 13300, 23300 ... of the same minute: whoever searches for 3300 fuzzily finds them too.
    """
    look_alikes = [(flow_id + n * 10_000, moment) for flow_id, moment in JOBS for n in (1, 2, 3)]
    return "".join(f"[[instances]]\nflow = {f}\ntrigger_time = {t}\n" for f, t in (*look_alikes, *jobs))


@dataclass(frozen=True)
class Side:
    """A read side, and what a careful reader can learn from it. None: now this, now that."""

    scenario: str = ""  #: keys of the sandbox's own
    lie: Lie = honest
    get: str = NO_GET  #: by default it is out, and the list has the word
    shows: bool | None = True  #: what is there can be found
    proves: bool | None = True  #: what is not there can be seen to be absent


def lists(change: Callable[[Call, Entry], Reply | None]) -> Lie:
    """A lie about pages: `change` gets the reply's envelope to alter, or gives another reply."""

    def lie(call: Call, reply: Reply) -> Reply:
        if call.api != "list" or reply.code != 0:
            return reply
        envelope = orjson.loads(reply.body)
        return change(call, envelope) or replace(reply, body=orjson.dumps(envelope))

    return lie


def on_page(number: int, reply: Reply, *, type_: int | None = None) -> Lie:
    """One page brings something else: that of every type, or of one."""

    def change(call: Call, _: Entry) -> Reply | None:
        here = call.data["pagination"]["pageNo"] == number and type_ in {None, call.data["type"]}
        return reply if here else None

    return lists(change)


def pages(change: Callable[[Entry], Any]) -> Lie:
    """A lie about `data`, altered in place or given anew."""

    def altered(_: Call, envelope: Entry) -> None:
        envelope["data"] = change(envelope["data"])

    return lists(altered)


def both(first: Lie, second: Lie) -> Lie:
    return lambda call, reply: second(call, first(call, reply))


def counting(told: Callable[[int], Any]) -> Lie:
    return pages(lambda data: {**data, "count": told(data["count"])})


def entries(change: Callable[[Entry], Any]) -> Lie:
    return pages(lambda data: {**data, "flowInsts": [change(entry) for entry in data["flowInsts"]]})


def without(*keys: str) -> Lie:
    return entries(lambda entry: {key: value for key, value in entry.items() if key not in keys})


def ignoring_pages(*, turning: bool) -> Lie:
    """Page number and size are ignored: each page holds everything, perhaps in an order of its own."""
    whole: dict[object, list[Entry]] = {}
    turns = count()

    def change(call: Call, envelope: Entry) -> None:
        key = (call.data["type"], call.data["expression"])
        if call.data["pagination"]["pageNo"] == 0:
            whole[key] = envelope["data"]["flowInsts"]
        shift = next(turns) % max(len(whole[key]), 1) if turning else 0
        envelope["data"]["flowInsts"] = whole[key][shift:] + whole[key][:shift]

    return lists(change)


def get_says(body: object, status: int = 200) -> Lie:
    """Get says this of every instance, the list is honest."""
    told = Reply(status, orjson.dumps(body))
    return lambda call, reply: told if call.api == "get" else reply


def success(data: object) -> Entry:
    return {"status": 0, "msg": " Success", "data": data}


def said(data: object) -> Reply:
    return Reply(body=orjson.dumps(success(data)))


STRANGER: Entry = {"instanceId": "13300-20230101000000", "flowId": 13300, "status": 1}
no_count = pages(lambda data: {"flowInsts": data["flowInsts"]})
BAD_PAGE = failure("v2.0", 62102, "Invalid pageNo")
EMPTY_BUT_4 = said({"flowInsts": [], "count": 4})
OTHER_VERSION = Reply(body=b'{"code":0,"data":{"flowInsts":[]}}')
ORDINARY = ("flowId", "flowName", "freq", "cycle", "parameters", "graph", "owner", "timestamp", "virtual")

SIDES: Mapping[str, Side] = {
    # lists that are unusual, but whole
    "pages of two": Side(SMALL),
    "another type": Side("instance_type = 2\n"),
    "pages from 1, page 0 refused": Side(SMALL + "page_base = 1\n"),
    "pages from 1, page 0 is page 1": Side(SMALL + 'page_base = 1\npage_zero = "same"\n'),
    "the first page twice": Side(SMALL + 'page_fault = "repeat"\n'),
    "the count of the page": Side(SMALL + 'count = "page"\n'),
    "a count that is too small": Side(SMALL, counting(lambda _: 0)),
    "a count as text": Side(SMALL, counting(str)),
    "no count": Side(SMALL, no_count),
    "a bare list": Side(lie=pages(lambda data: data["flowInsts"])),
    "times of another zone": Side('timezone = "GMT-7"\nstart_timezone = "GMT-7"\n'),
    "entries without isCancelled and instanceIsManual": Side(lie=without("isCancelled", "instanceIsManual")),
    "entries without most fields": Side(lie=without(*ORDINARY)),
    # lists that cannot be whole
    "the second page dropped": Side(SMALL + 'page_fault = "drop"\n', shows=False, proves=False),
    "an unstable order": Side(SMALL + 'page_fault = "shuffle"\n', shows=None, proves=None),
    "the second page empty": Side(SMALL, on_page(1, EMPTY_BUT_4), shows=False, proves=False),
    "a count that is too large": Side(SMALL, counting(lambda _: 999), proves=False),
    "everything on each page": Side(lie=ignoring_pages(turning=False), proves=False),
    "everything on each page, in turns": Side(lie=ignoring_pages(turning=True), proves=False),
    "one first page refused": Side(lie=on_page(0, BAD_PAGE, type_=1), shows=False, proves=False),
    "one first page refused, no count": Side(
        lie=both(no_count, on_page(0, BAD_PAGE, type_=1)), shows=False, proves=False
    ),
    "the second page refused": Side(SMALL, on_page(1, BAD_PAGE), shows=False, proves=False),
    "the second page 502": Side(SMALL, on_page(1, refusal(502, "Bad Gateway")), shows=False, proves=False),
    "the second page a login page": Side(SMALL, on_page(1, Reply(body=b"<html>")), shows=False, proves=False),
    "null data": Side(lie=pages(lambda _: None), shows=False, proves=False),
    "empty data": Side(lie=pages(lambda _: {}), shows=False, proves=False),
    "no list, but a count": Side(
        lie=pages(lambda data: {**data, "flowInsts": None, "count": 3}), shows=False, proves=False
    ),
    "entries without an ID": Side(lie=without("instanceId"), shows=False, proves=None),
    "entries that are text": Side(lie=entries(lambda entry: entry["instanceId"]), shows=False, proves=None),
    "entries without any time or status": Side(lie=without("startTime", "status"), shows=False),
    "another API version": Side(lie=lists(lambda *_: OTHER_VERSION), shows=False, proves=False),
    # Get
    "Get gives a list of one": Side("get_as_list = true\n", get=""),
    "Get says null of everything": Side(lie=get_says(success(None)), get=""),
    "Get says {} of everything": Side(lie=get_says(success({})), get=""),
    "Get says [] of everything": Side(lie=get_says(success([])), get=""),
    "Get gives somebody else's": Side(lie=get_says(success(STRANGER)), get=""),
    "Get is not permitted": Side(lie=get_says({"status": 62103, "msg": "no"}), get=""),
    "Get has moved": Side(lie=get_says({}, 404), get=""),
    "Get misses with 62102": Side('missing_instance = "62102"\n', get=""),
    "Get misses with 99404": Side('missing_instance = "99404"\n', get=""),
    "Get misses with 404": Side('missing_instance = "404"\n', get=""),
}  # fmt: skip


@virtually
@pytest.mark.parametrize("side", SIDES)
async def test_no_list_however_it_contradicts_itself_makes_anybody_send_twice(
    tmp_path: Path, side: str
) -> None:
    """F65, F68, P6: from a read that may lack something nobody concludes that it did not happen."""
    how = SIDES[side]
    async with virtual_rig(tmp_path, how.scenario + TROUBLE + how.get + there(), lie=how.lie) as run:
        await run.trigger(JOBS, patience_s=120.0)

        verdict = run.assert_proven(JOBS)  # none twice, whatever was said
        assert {call.fault for call in verdict.sends} >= {"reset-after", "code-62109-before"}
        asked = run.calls("list") + (run.calls("get") if not how.get else [])
        assert asked
        for row, (_, when) in zip(run.results(), DOUBTS.values(), strict=True):
            known = how.shows if when == "after" else how.proves
            assert row["status"] in ENDS[known], row
            if row["status"] == "succeeded":
                assert (row["via"], row["attempts"]) == WAYS[when]
            else:
                assert row["attempts"] == "1"


ENDS = {True: ("succeeded",), False: ("unknown",), None: ("succeeded", "unknown")}
WAYS = {"after": ("reconciled", "1"), "before": ("reply", "2")}


@virtually
@pytest.mark.parametrize("side", [name for name, side in SIDES.items() if not side.shows])
async def test_a_baseline_sends_nothing_on_top_of_what_it_cannot_see(tmp_path: Path, side: str) -> None:
    """F65, F66, P6: all four exist already. Not to see them is not to know that there are none."""
    how = SIDES[side]
    async with virtual_rig(tmp_path, how.scenario + how.get + there(*JOBS), lie=how.lie) as run:
        ending = await run.trigger(JOBS, patience_s=60.0, baseline=True)

        assert run.calls("list") or run.calls("get")
        assert run.calls("trigger") == []
        seen = True if side == "entries without any time or status" else how.shows  # whose, does not matter
        assert ending.exit_code in {True: {0}, False: {4}, None: {0, 4}}[seen], ending.reason
        if ending.exit_code == 0:
            assert {row["code"] for row in run.results()} == {"exists"}


@virtually
async def test_a_slow_answer_about_an_id_is_not_judged_by_what_was_learnt_meanwhile(tmp_path: Path) -> None:
    """F69, P6: IDs of another zone, so the ID that was predicted for the first row is absent.

    When that answer is here at last, a success has shown the zone, and that Get alone is enough.
    """
    jobs = past(12, flows=12)
    scenario = (
        'id_timezone = "GMT+8"\n[[faults]]\nkind = "code"\nwhen = "after"\nflows = [3300]\nattempts = [1]\n'
    )
    scenario += '[[faults]]\nkind = "hang"\nafter_s = 10\non = "get"\nfirst = 1\n'
    scenario += '[[faults]]\nkind = "hang"\nafter_s = 4\nflows = ["3301-3311"]\n'
    async with virtual_rig(tmp_path, scenario) as run:
        ending = await run.trigger(jobs)

        run.assert_proven(jobs).assert_each_once()
        assert ending.exit_code == 0
        slow = next(call for call in run.calls("get") if call.fault)
        assert slow.flow_id == 3300
