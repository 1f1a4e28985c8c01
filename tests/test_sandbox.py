"""The sandbox: it behaves as documented, misbehaves as told, and writes down the truth."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
import json
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
import pytest
from yarl import URL

from bulk_trigger.sandbox import (
    APP_KEY,
    APP_SECRET,
    ORG_ID,
    USER_ID,
    Durations,
    Effect,
    Fault,
    Flows,
    Instance,
    Latency,
    Ledger,
    Sandbox,
    Scenario,
    ScenarioError,
)
from bulk_trigger.sandbox.calls import read_call, read_query
from bulk_trigger.sandbox.chance import dice, latency_s
from bulk_trigger.sandbox.faults import FaultPlan
from bulk_trigger.sandbox.flows import FlowBook, Schedules
from bulk_trigger.sandbox.history import remember
from bulk_trigger.sandbox.instances import Instances
from bulk_trigger.sandbox.limits import Limit
from bulk_trigger.sandbox.tokens import encryption, signature

FLOW = 3377
MOMENT = 1594016819108  # 2020-07-06T06:26:59.108Z: the published pair of request and id
INSTANCE = "3377-20200706062600"
MINUTE_MS = 60_000
SAMPLES = Path(__file__).parent.parent / "samples"

V20, V21 = "dataflow-batch-service/v2.0", "batch-processing-service/v2.1"


def _moments() -> Iterator[int]:
    """The time in milliseconds, but never the same one twice: two such token requests would collide."""
    last = 0
    while True:
        last = max(last + 1, int(time.time() * 1000))
        yield last


_milliseconds = _moments()


def still(**keys: Any) -> Scenario:
    """A scenario whose calls take no time."""
    return Scenario(latency=Latency(shape="constant", median_ms=0), **keys)


class Client:
    """A caller that signs in its own way, so that the sandbox is not checked with its own code alone."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session, self.token = url, session, ""

    async def post_token(self, action: str = "get", **changes: Any) -> dict[str, Any]:
        timestamp = next(_milliseconds)
        body = {
            "appKey": APP_KEY,
            "encryption": encryption(APP_KEY, str(timestamp), APP_SECRET),
            "timestamp": timestamp,
        }
        url = f"{self.url}/apim-token-service/v2.0/token/{action}"
        async with self.session.post(url, json=body | changes) as reply:
            answer: dict[str, Any] = await reply.json()
            return answer

    async def log_in(self) -> None:
        self.token = (await self.post_token())["data"]["accessToken"]

    async def send(
        self,
        method: str,
        resource: str,
        action: str,
        body: Mapping[str, Any] | None = None,
        *,
        service: str = V20,
        headers: Mapping[str, str] | None = None,
        **params: str,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of the reply."""
        query = {"action": action, "userId": USER_ID, "orgId": ORG_ID} | params
        content = b"" if body is None else orjson.dumps(body)
        timestamp = str(int(time.time() * 1000))
        text = "".join(name + value for name, value in sorted(query.items()))
        signed = {
            "apim-accesstoken": self.token,
            "apim-timestamp": timestamp,
            "apim-signature": signature(self.token, text, content, timestamp, APP_SECRET),
        }
        url = URL(f"{self.url}/{service}/{resource}?{urlencode(query)}", encoded=True)
        async with self.session.request(
            method, url, data=content, headers=signed | dict(headers or {}), allow_redirects=False
        ) as reply:
            return reply.status, reply.headers, await reply.read()

    async def call(self, *args: Any, **keys: Any) -> Any:
        """Return the reply's JSON."""
        _, _, content = await self.send(*args, **keys)
        return orjson.loads(content)

    async def trigger(self, flow_id: int = FLOW, trigger_time: int = MOMENT, **keys: Any) -> Any:
        return await self.call(
            "POST", "flows", "trigger", {"flowId": flow_id, "triggerTime": trigger_time}, **keys
        )

    async def get(self, instance_id: str = INSTANCE, **keys: Any) -> Any:
        return await self.call("GET", "flowInstances", "get", flowInstId=instance_id, **keys)

    async def list(self, service: str = V20, **changes: Any) -> Any:
        body = {
            "type": 1,
            "fromTriggerTime": MOMENT - MINUTE_MS,
            "toTriggerTime": MOMENT + 100 * MINUTE_MS,
        }
        return await self.call("POST", "flowInstances", "search", body | changes, service=service)


@asynccontextmanager
async def client_of(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        client = Client(sandbox.url, session)
        await client.log_in()
        yield client


@asynccontextmanager
async def playing(scenario: Scenario, **keys: Any) -> AsyncIterator[tuple[Sandbox, Client]]:
    async with Sandbox(scenario, **keys) as sandbox, client_of(sandbox) as client:
        yield sandbox, client


# --- signatures and tokens -------------------------------------------------------------------------------

TOKEN, SECRET, TIMESTAMP = "xxxxaaaxxxx", "xxxappSecretxxx", "1572574909697"


@pytest.mark.parametrize(
    ("query", "body", "digest"),
    [
        (
            "k3=v3&k1=v1&k2=v2",
            '{\n  "count": 20,\n  "page": 1,\n  "desc": "描述"\n}',
            "59828328f6c1f9771015dc74e4929ae30f518a35a3d2353972c2ea46556fc981",
        ),
        (
            "action=trigger&userId=yourUserId&orgId=yourOrgId",
            '{"flowId":3377,"triggerTime":1574385824000}',
            "65699121582a90dcdaa85a91c9c5ba5adafa930355b76c1f9cf4e61e72d3a20c",
        ),
        (
            "action=get&flowInstId=3377-20200706062600&userId=yourUserId&orgId=yourOrgId",
            "",
            "b8ece20b501d32e0f4d7c0b7be13ce2226ea5880878c9d56c876dd5885d15af9",
        ),
        (
            "action=getMyFlow&expression=a%20b%26c%3D%E6%8F%8F%E8%BF%B0&userId=yourUserId&orgId=yourOrgId",
            "",
            "48c684a8422c560294e33331d89b5d5d22f209204ff116b77f2fc38bf4899799",
        ),
        ("k3=v3&k1=v1&k2=v2", "", "9c7e8810c67a4c1642b41acf89c6d8ebdb697d19ba45a6ee9f170dbbc8ad0e0a"),
    ],
)
def test_signatures_equal_the_known_answers(query: str, body: str, digest: str) -> None:
    _, signed = read_query(query)

    assert signature(TOKEN, signed, body.encode(), TIMESTAMP, SECRET) == digest


def test_encryption_equals_the_known_answer() -> None:
    proof = encryption("5acb82e7-a11e-4300-9164-c8b20b638e8b", TIMESTAMP, SECRET)

    assert proof == "83e2f674e53f1a71943b6c5fc9bd0eb27864c83075af8b4bf528f3faa8c7ca38"


def test_of_a_repeated_parameter_the_first_value_is_signed() -> None:
    assert read_query("b=2&a=1&b=3")[1] == "a1b2"


async def test_a_living_token_is_given_out_again_and_a_refresh_gives_another() -> None:
    async with playing(still()) as (_, client):
        again = await client.post_token()
        refreshed = await client.post_token("refresh", accessToken=client.token)

    assert again["status"] == 0
    assert again["data"]["accessToken"] == client.token
    assert 7190 <= again["data"]["expire"] <= 7200
    assert refreshed["data"]["accessToken"] != client.token


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"appKey": "nobody"}, 1002),
        ({"encryption": "0" * 64}, 1003),
        ({"timestamp": 1}, 1003),
        ({"appKey": ""}, 1202),
    ],
)
async def test_a_wrong_token_request_is_told_why(changes: dict[str, Any], code: int) -> None:
    async with playing(still()) as (_, client):
        assert (await client.post_token(**changes))["status"] == code


async def test_a_repeated_token_request_and_a_refresh_of_no_token_are_refused() -> None:
    async with playing(still()) as (_, client):
        timestamp = next(_milliseconds)
        proof = encryption(APP_KEY, str(timestamp), APP_SECRET)
        first = await client.post_token(encryption=proof, timestamp=timestamp)
        second = await client.post_token(encryption=proof, timestamp=timestamp)
        refresh = await client.post_token("refresh", accessToken="unknown")

    assert [first["status"], second["status"], refresh["status"]] == [0, 1001, 1204]


@pytest.mark.parametrize(
    "headers",
    [
        {"apim-accesstoken": "stranger"},
        {"apim-signature": "0" * 64},
        {"apim-timestamp": "1572574909697"},
        {"apim-timestamp": "soon"},
    ],
)
async def test_an_unsigned_call_stays_outside(headers: dict[str, str]) -> None:
    async with playing(still()) as (sandbox, client):
        body = {"flowId": FLOW, "triggerTime": MOMENT}
        status, _, _ = await client.send("POST", "flows", "trigger", body, headers=headers)

        assert status == 401
        assert sandbox.ledger.effects == []
        assert sandbox.ledger.calls[-1].attempt is None


@pytest.mark.parametrize("service", [V20, V21])
async def test_an_expired_token_is_told_by_code_and_a_new_one_works(service: str) -> None:
    async with playing(still(token_lifetime_s=0.05)) as (sandbox, client):
        await asyncio.sleep(0.06)
        expired = await client.trigger(service=service)
        sandbox.become(still())
        await client.log_in()
        renewed = await client.trigger(service=service)

    key = "status" if service == V20 else "code"
    assert expired[key] == 1203
    assert renewed[key] == 0


async def test_an_expired_token_may_be_told_by_status() -> None:
    async with playing(still(token_lifetime_s=0, expired_token="401")) as (_, client):
        status, _, _ = await client.send("GET", "time", "getCurrentTime")

    assert status == 401


# --- the service -----------------------------------------------------------------------------------------


async def test_both_versions_answer_in_their_own_envelope() -> None:
    async with playing(still()) as (sandbox, client):
        old = await client.trigger()
        new = await client.trigger(FLOW + 1, service=V21)

        assert old == {"status": 0, "msg": " Success", "data": {"flowInstanceId": INSTANCE}}
        assert new == {"code": 0, "msg": "OK", "data": {"flowInstanceId": "3378-20200706062600"}}
        assert sandbox.ledger.effects_by_job == {(FLOW, MOMENT): 1, (FLOW + 1, MOMENT): 1}


@pytest.mark.parametrize(
    ("flow_id", "moment", "instance_id"),
    [
        (3377, 1594016819108, "3377-20200706062600"),
        (2791, 0, "2791-19700101000000"),
        (3377, 1574385824000, "3377-20191122012300"),
        (3377, 1594016819999, "3377-20200706062600"),
        (3377, 1594016820000, "3377-20200706062700"),
        (2809, 1565597242000, "2809-20190812080700"),
    ],
)
def test_instance_ids_equal_the_known_answers(flow_id: int, moment: int, instance_id: str) -> None:
    assert Instances(Scenario(), 0).predict(flow_id, moment) == instance_id


def test_instance_ids_can_be_of_another_zone_and_length() -> None:
    instances = Instances(Scenario(id_timezone="GMT+8", id_digits=12), 0)

    assert instances.predict(FLOW, MOMENT) == "3377-202007061426"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"flowId": FLOW},
        {"flowId": "x", "triggerTime": MOMENT},
        {"flowId": 1.5, "triggerTime": MOMENT},
        {"flowId": FLOW, "triggerTime": str(MOMENT)},
        {"flowId": FLOW, "triggerTime": 10**18},
    ],
)
async def test_a_body_that_makes_no_sense_is_a_parameter_error(body: dict[str, Any]) -> None:
    async with playing(still()) as (sandbox, client):
        assert (await client.call("POST", "flows", "trigger", body))["status"] == 62102
        assert sandbox.ledger.effects == []


async def test_flows_refuse_for_their_own_reasons() -> None:
    flows = Flows(missing=(1,), missing_code=99404, foreign=(2,), locked=(3,), no_task=("4-6",))
    async with playing(still(flows=flows)) as (_, client):
        codes = {flow: (await client.trigger(flow))["status"] for flow in range(1, 8)}

    assert codes == {1: 99404, 2: 62103, 3: 62103, 4: 62104, 5: 62104, 6: 62104, 7: 0}


async def test_a_user_of_another_organization_is_unknown() -> None:
    async with playing(still()) as (_, client):
        assert (await client.trigger(orgId="other"))["status"] == 62101
        assert (await client.trigger(userId="other"))["status"] == 62101


async def test_update_and_trigger_needs_parameters() -> None:
    body = {"flowId": FLOW, "triggerTime": MOMENT}
    async with playing(still()) as (_, client):
        without = await client.call("POST", "flows", "updateAndTrigger", body)
        parameters = [{"key": "REPLACE", "value": "ddee"}]
        with_them = await client.call("POST", "flows", "updateAndTrigger", body | {"parameters": parameters})

    assert (without["status"], with_them["status"]) == (62102, 0)


@pytest.mark.parametrize(
    ("same_minute", "code", "effects"),
    [("second-instance", 0, 2), ("return-existing", 0, 1), ("62109", 62109, 1), ("62102", 62102, 1)],
)
async def test_the_same_minute_again(same_minute: Any, code: int, effects: int) -> None:
    async with playing(still(same_minute=same_minute)) as (sandbox, client):
        await client.trigger()
        again = await client.trigger()

        assert again["status"] == code
        assert sandbox.ledger.effects_by_job == {(FLOW, MOMENT): effects}


async def test_an_instance_is_described_in_two_time_zones() -> None:
    async with playing(still(start_timezone="GMT-1")) as (_, client):
        await client.trigger()
        instance = (await client.get())["data"]
        zone = await client.call("GET", "time", "getTimeZone")
        now = await client.call("GET", "time", "getCurrentTime")

    assert instance["instanceId"] == INSTANCE
    assert instance["triggerTime"] == "2020-07-06 14:26:59"
    assert instance["calDt"] == "2020-07-05"
    assert instance["startTime"] == time.strftime(
        "%Y-%m-%d %H:%M:%S", time.gmtime(now["data"] // 1000 - 3600)
    )
    assert (instance["status"], instance["statusDesc"], instance["endTime"]) == (2, "RUNNING", "")
    assert json.loads(instance["graph"])["tasks"][0]["status"] == "RUNNING"
    assert zone["data"] == {"timezone": "GMT+8"}


async def test_the_clock_can_be_wrong() -> None:
    async with playing(still(clock_offset_s=60)) as (_, client):
        now = (await client.call("GET", "time", "getCurrentTime"))["data"]

    assert now / 1000 - time.time() == pytest.approx(60, abs=5)


async def test_an_instance_shows_only_after_the_read_lag() -> None:
    async with playing(still(visible_after_s=0.1)) as (_, client):
        await client.trigger()
        early = [(await client.get())["data"], (await client.list())["data"]["flowInsts"]]
        await asyncio.sleep(0.11)
        late = [(await client.get())["data"], (await client.list())["data"]["flowInsts"]]

    assert early == [None, []]
    assert late[0]["instanceId"] == late[1][0]["instanceId"] == INSTANCE


@pytest.mark.parametrize(
    ("missing", "status", "key", "value"),
    [
        ("null-data", 200, "data", None),
        ("62102", 200, "status", 62102),
        ("99404", 200, "status", 99404),
        ("404", 404, "message", "Not Found"),
    ],
)
async def test_a_missing_instance_is_told_in_several_ways(
    missing: Any, status: int, key: str, value: Any
) -> None:
    async with playing(still(missing_instance=missing)) as (_, client):
        told, _, content = await client.send("GET", "flowInstances", "get", flowInstId="1-20200101000000")

    assert (told, orjson.loads(content)[key]) == (status, value)


@pytest.mark.parametrize(
    ("lookup", "status", "code"),
    [
        ("forbidden", 200, 62103),
        ("forbidden-99403", 200, 99403),
        ("403", 403, None),
        ("404", 404, None),
        ("501", 501, None),
        ("down", 500, None),
    ],
)
async def test_looking_up_can_be_impossible(lookup: Any, status: int, code: int | None) -> None:
    async with playing(still(lookup=lookup)) as (_, client):
        await client.trigger()
        for method, action in (("GET", "get"), ("POST", "search")):
            told, _, content = await client.send(method, "flowInstances", action, flowInstId=INSTANCE)

            assert (told, orjson.loads(content).get("status")) == (status, code)


async def test_get_can_answer_with_a_list_of_one() -> None:
    async with playing(still(get_as_list=True)) as (_, client):
        await client.trigger()

        assert [item["instanceId"] for item in (await client.get())["data"]] == [INSTANCE]


async def test_flows_are_found_and_switched() -> None:
    flows = Flows(listed=("10-12", 20), foreign=(11,), missing=(12,), locked=(20,))
    async with playing(still(flows=flows)) as (_, client):
        mine = await client.call("GET", "flows", "getMyFlow")
        named = await client.call("GET", "flows", "getMyFlow", searchValue="20")
        every = await client.call("POST", "flows", "search", {"expression": "1"}, service=V21)
        off = await client.call("POST", "flows", "disable", {"flowId": 10})
        flow = (await client.call("GET", "flows", "get", flowId="10"))["data"]
        await client.call("POST", "flows", "enable", {"flowId": 10})
        on_again = (await client.call("GET", "flows", "get", flowId="10"))["data"]["active"]
        locked = await client.call("POST", "flows", "disable", {"flowId": 20})
        missing = await client.call("GET", "flows", "get", flowId="12")

    assert [(item["flowId"], item["editable"]) for item in mine["data"]] == [("10", True), ("20", False)]
    assert [item["flowId"] for item in named["data"]] == ["20"]
    assert [item["flowId"] for item in every["data"]] == ["10", "11"]
    assert (off["status"], flow["active"], on_again) == (0, 0, 1)
    assert (flow["freq"], flow["cycle"], flow["type"]) == ("0 0 * * * ? *", "H", 1)
    assert (locked["status"], missing["status"]) == (62103, 62102)


async def test_unknown_places_and_actions() -> None:
    async with playing(still()) as (_, client):
        status, _, _ = await client.send("GET", "flows", "get", service="somewhere/v9")
        action = await client.call("POST", "flows", "explode")

    assert status == 404
    assert action["status"] == 99400


# --- the list --------------------------------------------------------------------------------------------


async def fill(client: Client, instances: int) -> list[str]:
    """Trigger one flow for successive minutes, and return the ids."""
    replies = [await client.trigger(FLOW, MOMENT + minute * MINUTE_MS) for minute in range(instances)]
    return [reply["data"]["flowInstanceId"] for reply in replies]


def ids(answer: Any) -> list[str]:
    return [item["instanceId"] for item in answer["data"]["flowInsts"]]


async def test_the_list_filters() -> None:
    """F68: the expression is fuzzy, and finds other flows too."""
    async with playing(still()) as (_, client):
        first, second = await fill(client, 2)
        await client.trigger(33770)

        assert ids(await client.list(expression="3377")) == [first, second, "33770-20200706062600"]
        assert ids(await client.list(expression=second)) == [second]
        assert ids(await client.list(toTriggerTime=MOMENT, expression=first)) == []
        assert ids(await client.list(fromTriggerTime=MOMENT, toTriggerTime=MOMENT + 1, expression=first)) == [
            first
        ]
        assert ids(await client.list(type=0)) == []
        assert ids(await client.list(owner="nobody")) == []
        assert ids(await client.list(owner=USER_ID, type="1", expression=first, status="0,2")) == [first]
        assert ids(await client.list(expression="-2020", status=5)) == [second]
        assert ids(await client.list(expression=first, status="1,-1")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"type": None},
        {"type": 3},
        {"fromTriggerTime": None},
        {"pagination": {"pageNo": 0, "pageSize": 0}},
        {"pagination": {"pageNo": -1}},
        {"pagination": {"pageNo": 0, "sorters": [{"field": "luck"}]}},
    ],
)
async def test_a_list_body_that_breaks_a_rule_is_a_parameter_error(changes: dict[str, Any]) -> None:
    async with playing(still()) as (_, client):
        assert (await client.list(**changes))["status"] == 62102


async def test_the_list_sorts_under_either_spelling() -> None:
    async with playing(still()) as (_, client):
        made = await fill(client, 3)
        for field in ("triggerTime", "trigger_time"):
            page = {"pageNo": 0, "pageSize": 9, "sorters": [{"field": field, "order": "DESC"}]}

            assert ids(await client.list(pagination=page)) == made[::-1]


def page_of(number: int, size: int = 2) -> dict[str, int]:
    return {"pageNo": number, "pageSize": size}


@pytest.mark.parametrize(
    ("keys", "service", "pages"),
    [
        ({}, V20, {0: [0, 1], 1: [2, 3], 2: [4], 3: []}),
        ({}, V21, {0: None, 1: [0, 1], 2: [2, 3], 3: [4], 4: []}),
        ({"page_base": 0}, V21, {0: [0, 1], 1: [2, 3], 2: [4]}),
        ({"page_base": 1, "page_zero": "same"}, V20, {0: [0, 1], 1: [0, 1], 2: [2, 3]}),
        ({"page_fault": "drop"}, V20, {0: [0, 1], 1: [4], 2: []}),
        ({"page_fault": "repeat"}, V20, {0: [0, 1], 1: [0, 1], 2: [2, 3], 3: [4]}),
        ({"max_page_size": 1}, V20, {0: [0], 1: [1], 5: []}),
    ],
)
async def test_pages(keys: dict[str, Any], service: str, pages: dict[int, list[int] | None]) -> None:
    """F65: the pages number, cut and repeat as the scenario says; None is an error."""
    async with playing(still(**keys)) as (_, client):
        made = await fill(client, 5)
        for number, expected in pages.items():
            answer = await client.list(service=service, pagination=page_of(number))

            if expected is None:
                assert answer["code"] == 62102
            else:
                assert ids(answer) == [made[index] for index in expected]


async def test_pages_can_be_out_of_order_and_count_themselves() -> None:
    async with playing(still(page_fault="shuffle", count="page")) as (_, client):
        made = await fill(client, 3)
        answers = [await client.list(pagination=page_of(0)) for _ in range(3)]

    assert len({tuple(ids(answer)) for answer in answers}) == 3
    assert all(answer["data"]["count"] == 2 and set(ids(answer)) < set(made) for answer in answers)


async def test_without_pagination_the_first_ten_come_and_count_is_the_total() -> None:
    async with playing(still()) as (_, client):
        made = await fill(client, 11)
        for service in (V20, V21):
            answer = await client.list(service=service)

            assert ids(answer) == made[:10]
            assert answer["data"]["count"] == 11


# --- instances run one after the other -------------------------------------------------------------------

STEADY = Durations(median_s=10, sigma=0)


def test_one_instance_of_a_flow_runs_and_the_others_wait() -> None:
    instances = Instances(Scenario(durations=STEADY), 0)
    first = instances.create(FLOW, MOMENT, 100.0)
    second = instances.create(FLOW, MOMENT + MINUTE_MS, 101.0)
    other = instances.create(FLOW + 1, MOMENT, 101.0)

    assert [first.status(105), second.status(105), other.status(105)] == [2, 5, 2]
    assert [first.status(110), second.status(110)] == [1, 2]
    assert [second.status(120), instances.describe(second, 120)["endTime"]] == [1, "1970-01-01 00:02:00"]


def test_cancelling_moves_the_queue_up() -> None:
    instances = Instances(Scenario(durations=STEADY), 0)
    running, waiting, last = (
        instances.create(FLOW, MOMENT + minute * MINUTE_MS, 100.0) for minute in range(3)
    )

    assert instances.cancel(waiting.instance_id, 101.0)
    assert (waiting.status(102), instances.describe(waiting, 102)["startTime"]) == (8, "")
    assert (last.start_at, last.status(109)) == (110.0, 5)
    assert instances.cancel(running.instance_id, 103.0)
    assert (last.start_at, last.status(103)) == (103.0, 2)
    assert not instances.cancel(running.instance_id, 104.0)
    assert instances.create(FLOW, MOMENT + 3 * MINUTE_MS, 104.0).start_at == 113.0


def test_a_share_of_the_instances_fails_always_the_same() -> None:
    durations = Durations(median_s=2, fail_rate=0.3)

    def ends() -> list[tuple[float, int]]:
        instances = Instances(Scenario(durations=durations), 7)
        made = [instances.create(flow, MOMENT, 100.0) for flow in range(1000)]
        return [(instance.end_at, instance.end_status) for instance in made]

    assert ends() == ends()
    assert sum(status == -1 for _, status in ends()) == pytest.approx(300, abs=50)


async def test_instances_can_be_there_before_and_one_that_never_ends_holds_its_flow() -> None:
    """F66: an instance that exists already."""
    before = (
        Instance(flow=FLOW, trigger_time=MOMENT, status=-1),
        Instance(flow=5, trigger_time=MOMENT, status=3, id="5-2020070606"),
    )
    async with playing(still(instances=before)) as (sandbox, client):
        failed = (await client.get())["data"]
        stuck = (await client.get("5-2020070606"))["data"]
        queued_id = (await client.trigger(5))["data"]["flowInstanceId"]
        queued = (await client.get(queued_id))["data"]

        assert (failed["status"], failed["startTime"]) == (-1, "2020-07-06 06:26:59")
        assert (stuck["status"], stuck["endTime"]) == (3, "")
        assert (queued["status"], queued["startTime"]) == (5, "")
        assert len(sandbox.ledger.effects) == 1


async def test_a_live_instance_is_cancelled_once() -> None:
    async with playing(still(flows=Flows(foreign=(6,)))) as (_, client):
        await client.trigger()
        replies = [
            await client.call("POST", "flowInstances", "cancel", {"flowInstId": instance_id})
            for instance_id in (INSTANCE, INSTANCE, "6-20200706062600", "")
        ]
        listed = (await client.list())["data"]["flowInsts"][0]

    assert [reply["status"] for reply in replies] == [0, 62102, 62103, 62102]
    assert (listed["status"], listed["isCancelled"]) == (8, True)


# --- the rate limit --------------------------------------------------------------------------------------


def admitted(keys: dict[str, Any], times: list[float]) -> list[bool]:
    limit = Limit(Scenario(**keys))
    return [limit.admit(now) for now in times]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("sliding", [True, True, False, False, True, False, True, False]),
        ("fixed", [True, True, False, True, True, False, True, True]),
        ("bucket", [True, True, False, True, True, False, True, False]),
    ],
)
def test_limits_count_in_three_ways(kind: str, expected: list[bool]) -> None:
    """F60."""
    times = [0.5, 0.9, 0.95, 1.2, 1.55, 1.6, 2.1, 2.15]

    assert admitted({"rate_limit": "2/s", "rate_kind": kind}, times) == expected


def test_all_windows_have_to_admit() -> None:
    assert admitted({"rate_limit": ("2/s", "3/m")}, [0, 0, 0, 2, 4, 61]) == [
        True, True, False, True, False, True,
    ]  # fmt: skip


async def test_above_the_limit_calls_are_told_so_and_have_no_effect() -> None:
    async with playing(still(rate_limit="2/h", retry_after_s=7)) as (sandbox, client):
        body = {"flowId": FLOW, "triggerTime": MOMENT}
        replies = [await client.send("POST", "flows", "trigger", body) for _ in range(3)]
        told = (await client.post_token())["status"]
        sandbox.become(still(rate_limit="2/h", limit_tokens=True))
        free = [(await client.post_token()).get("status") for _ in range(3)]

        assert [status for status, _, _ in replies] == [200, 200, 429]
        assert replies[2][1]["Retry-After"] == "7"
        assert orjson.loads(replies[2][2]) == {"message": "API rate limit exceeded"}
        assert (told, free) == (0, [0, 0, None])
        assert len(sandbox.ledger.effects) == 2


# --- faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("when", "effects"), [("before", 0), ("after", 1)])
async def test_a_code_comes_before_or_after_the_effect(when: Any, effects: int) -> None:
    """F50, F51."""
    async with playing(still(faults=(Fault(kind="code", code=62109, when=when, first=1),))) as played:
        sandbox, client = played
        first = await client.trigger(service=V21)

        assert (first["code"], first["msg"]) == (62109, "Server internal exception")
        assert len(sandbox.ledger.effects) == effects
        assert sandbox.ledger.calls[-1].fault == f"code-62109-{when}"
        assert (await client.trigger(service=V21))["code"] == 0


@pytest.mark.parametrize(
    ("fault", "status", "content"),
    [
        (Fault(kind="status", status=503, headers={"Retry-After": "9"}), 503, b'{"message":"Fault 503"}'),
        (Fault(kind="status", status=200, body="null"), 200, b"null"),
        (Fault(kind="status"), 500, b'{"message":"Fault 500"}'),
        (Fault(kind="code", code=62109, status=502, message="no"), 502, b'"msg":"no"'),
        (Fault(kind="garbage"), 200, b"<!DOCTYPE html>"),
        (Fault(kind="empty", when="after"), 200, b""),
        (Fault(kind="redirect", location="http://127.0.0.1:9/x"), 302, b""),
        (Fault(kind="redirect", status=307), 307, b""),
        (Fault(kind="wrong_id"), 200, b'{"flowInstanceId":"1-20000101000000"}'),
        (Fault(kind="no_id"), 200, b'"data":{}'),
    ],
)
async def test_replies_can_say_anything(fault: Fault, status: int, content: bytes) -> None:
    async with playing(still(faults=(fault,))) as (sandbox, client):
        body = {"flowId": FLOW, "triggerTime": MOMENT}
        told, headers, text = await client.send("POST", "flows", "trigger", body)

        assert told == status
        assert content in text
        assert fault.headers.items() <= dict(headers).items()
        assert ("Location" in headers) == (fault.kind == "redirect")
        assert len(sandbox.ledger.effects) == int(fault.spares_effect)


async def test_a_wrong_id_needs_an_effect() -> None:
    faults = (Fault(kind="wrong_id"),)
    async with playing(still(faults=faults, flows=Flows(no_task=(FLOW,)))) as (_, client):
        assert (await client.trigger())["status"] == 62104


@pytest.mark.parametrize(
    ("kind", "error"),
    [("reset", ConnectionResetError), ("close", aiohttp.ServerDisconnectedError)],
)
@pytest.mark.parametrize(("when", "effects"), [("before", 0), ("after", 1)])
async def test_a_connection_dies_before_or_after_the_effect(
    kind: Any, error: type[Exception], when: Any, effects: int
) -> None:
    """F14, F15, F16."""
    async with playing(still(faults=(Fault(kind=kind, when=when),))) as (sandbox, client):
        with pytest.raises(aiohttp.ClientConnectionError) as caught:
            await client.trigger()

        call = sandbox.ledger.calls[-1]
        assert isinstance(caught.value, error) or isinstance(caught.value.__cause__, error)
        assert len(sandbox.ledger.effects) == effects
        assert (call.status, call.done, call.fault) == (None, None, f"{kind}-{when}")


@pytest.mark.parametrize(("when", "effects"), [("before", 0), ("after", 1)])
async def test_silence_lasts_until_the_client_gives_up(when: Any, effects: int) -> None:
    """F18."""
    async with playing(still(faults=(Fault(kind="hang", when=when, flows=(FLOW,)),))) as (sandbox, client):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.trigger(), 0.1)

        assert len(sandbox.ledger.effects) == effects
        assert sandbox.ledger.calls[-1].done is None
        assert (await client.trigger(FLOW + 1))["status"] == 0


@pytest.mark.parametrize(("when", "effects"), [("before", 0), ("after", 1)])
async def test_a_pause_ends_with_an_ordinary_reply(when: Any, effects: int) -> None:
    async with playing(still(faults=(Fault(kind="hang", when=when, after_s=0.1),))) as (sandbox, client):
        reply = asyncio.create_task(client.trigger())
        await asyncio.sleep(0.05)

        assert len(sandbox.ledger.effects) == effects
        assert (await reply)["status"] == 0
        assert len(sandbox.ledger.effects) == 1


async def test_an_effect_can_come_late() -> None:
    """F19."""
    faults = (Fault(kind="status", status=504, late_s=0.1),)
    async with playing(still(faults=faults)) as (sandbox, client):
        await client.trigger()
        early = len(sandbox.ledger.effects)
        await asyncio.sleep(0.12)

        assert (early, len(sandbox.ledger.effects)) == (0, 1)
        assert sandbox.ledger.calls[-1].fault == "status-504-late"


async def raw_trigger(sandbox: Sandbox, client: Client) -> bytes:
    """Trigger over a bare socket; return every byte that comes back before the end."""
    query = f"action=trigger&userId={USER_ID}&orgId={ORG_ID}"
    body = orjson.dumps({"flowId": FLOW, "triggerTime": MOMENT})
    timestamp = str(int(time.time() * 1000))
    proof = signature(client.token, read_query(query)[1], body, timestamp, APP_SECRET)
    url = URL(sandbox.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        (
            f"POST /{V20}/flows?{query} HTTP/1.1\r\nHost: sandbox\r\nContent-Length: {len(body)}\r\n"
            f"apim-accesstoken: {client.token}\r\napim-timestamp: {timestamp}\r\n"
            f"apim-signature: {proof}\r\n\r\n"
        ).encode()
        + body
    )
    content = await reader.read()
    writer.close()
    await writer.wait_closed()
    return content


@pytest.mark.parametrize("size", [0, 1, 17, 90, 140])
async def test_a_reply_is_cut_at_any_byte(size: int) -> None:
    """F23."""
    faults = (Fault(kind="cut", when="after", bytes=size),)
    async with playing(still(faults=faults)) as (sandbox, client):
        content = await raw_trigger(sandbox, client)

        assert len(content) == size
        assert b"HTTP/1.1 200 OK\r\nContent-Type: application/json".startswith(content[:40])
        assert len(sandbox.ledger.effects) == 1


async def test_a_cut_beyond_the_reply_leaves_it_whole() -> None:
    async with playing(still(faults=(Fault(kind="cut", when="after", bytes=1000),))) as (sandbox, client):
        head, _, body = (await raw_trigger(sandbox, client)).partition(b"\r\n\r\n")

        assert f"Content-Length: {len(body)}".encode() in head
        assert orjson.loads(body)["data"] == {"flowInstanceId": INSTANCE}


async def test_a_body_can_be_huge_and_without_an_end() -> None:
    """F42."""
    async with playing(still(faults=(Fault(kind="huge", megabytes=2),))) as (sandbox, client):
        content = await raw_trigger(sandbox, client)

        assert 2 * 2**20 < len(content) < 2.1 * 2**20
        assert not content.endswith(b"0\r\n\r\n")
        assert sandbox.ledger.calls[-1].done is None


TRIGGER = f"/{V20}/flows?action=trigger"


def faults_of(plan: FaultPlan, jobs: list[tuple[int, int]], elapsed_s: float = 0.0) -> list[bool]:
    """Which of these (flow, attempt) meet a fault."""
    struck = []
    for flow_id, attempt in jobs:
        call = read_call("POST", TRIGGER, orjson.dumps({"flowId": flow_id, "triggerTime": MOMENT}))
        assert call is not None
        struck.append(plan.choose(call, attempt, elapsed_s) is not None)
    return struck


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [True, True, True, True]),
        ({"flows": ("2-9",)}, [False, False, True, True]),
        ({"attempts": (2,)}, [False, True, False, True]),
        ({"first": 3}, [True, True, True, False]),
        ({"calls": (2, 4)}, [False, True, False, True]),
        ({"flows": (2,), "first": 1}, [False, False, True, False]),
        ({"from_s": 5, "to_s": 6}, [True, True, True, True]),
        ({"from_s": 5.1}, [False, False, False, False]),
        ({"to_s": 5}, [False, False, False, False]),
        ({"rate": 0.0}, [False, False, False, False]),
        ({"on": "get"}, [False, False, False, False]),
        ({"on": "any"}, [True, True, True, True]),
    ],
)
def test_a_fault_strikes_where_its_conditions_hold(conditions: dict[str, Any], expected: list[bool]) -> None:
    plan = FaultPlan([Fault(kind="reset", **conditions)], seed=0)

    assert faults_of(plan, [(1, 1), (1, 2), (2, 1), (2, 2)], elapsed_s=5.0) == expected


def test_chance_strikes_the_same_attempts_in_any_order() -> None:
    jobs = [(flow, attempt) for flow in range(500) for attempt in (1, 2)]
    fault = Fault(kind="reset", rate=0.3)
    forth = faults_of(FaultPlan([fault], seed=1), jobs)
    back = faults_of(FaultPlan([fault], seed=1), jobs[::-1])[::-1]
    other = faults_of(FaultPlan([fault], seed=2), jobs)

    assert forth == back != other
    assert sum(forth) == pytest.approx(300, abs=60)


def test_of_several_faults_the_first_counts() -> None:
    plan = FaultPlan([Fault(kind="reset", attempts=(1,)), Fault(kind="close")], seed=0)
    call = read_call("POST", TRIGGER, b"{}")
    assert call is not None
    met = [plan.choose(call, attempt, 0.0) for attempt in (1, 2)]

    assert [fault.kind for fault in met if fault] == ["reset", "close"]


async def test_faults_strike_other_calls_too() -> None:
    faults = (
        Fault(kind="code", code=1005, on="token", attempts=(2,)),
        Fault(kind="status", status=500, on="time"),
        Fault(kind="garbage", on="get", attempts=(2,)),
    )
    async with playing(still(faults=faults)) as (_, client):
        token = await client.post_token()
        status, _, _ = await client.send("GET", "time", "getCurrentTime")
        first = await client.get()
        _, _, second = await client.send("GET", "flowInstances", "get", flowInstId=INSTANCE)

    assert (token["status"], status, first["status"]) == (1005, 500, 0)
    assert second.startswith(b"<!DOCTYPE")


@pytest.mark.parametrize(
    ("latency", "low", "middle", "high"),
    [
        (Latency(shape="constant", median_ms=20), 0.02, 0.02, 0.02),
        (Latency(shape="uniform", low_ms=10, high_ms=30), 0.012, 0.02, 0.028),
        (Latency(shape="lognormal", median_ms=20, sigma=0.3), 0.01362, 0.02, 0.02938),
        (Latency(shape="pareto", median_ms=20, alpha=1.0), 0.01111, 0.02, 0.1),
    ],
)
def test_latencies_have_shapes(latency: Latency, low: float, middle: float, high: float) -> None:
    drawn = [latency_s(latency, chance) for chance in (0.1, 0.5, 0.9)]

    assert drawn == pytest.approx([low, middle, high], rel=0.001)


def test_dice_are_even_and_never_at_an_end() -> None:
    thrown = sorted(dice(1, "x", number) for number in range(10_000))

    assert 0 < thrown[0] < 0.001
    assert 0.999 < thrown[-1] < 1
    assert thrown[5000] == pytest.approx(0.5, abs=0.02)


async def test_a_reply_takes_its_time() -> None:
    async with playing(Scenario(latency=Latency(shape="constant", median_ms=50))) as (sandbox, client):
        await client.trigger()

        call = sandbox.ledger.calls[-1]
        assert call.done is not None
        assert call.done - call.mono >= 0.05


# --- the ledger ------------------------------------------------------------------------------------------


async def test_the_ledger_shows_order_and_overlap() -> None:
    """P12: whether sends of a flow overlap can be told from its calls."""
    async with playing(still()) as (sandbox, client):
        await fill(client, 3)

        calls = [call for call in sandbox.ledger.calls if call.api == "trigger"]
        assert [call.trigger_time for call in calls] == [MOMENT + minute * MINUTE_MS for minute in range(3)]
        assert all(one.done is not None and one.done <= next_one.mono for one, next_one in pairwise(calls))
        assert [effect.n for effect in sandbox.ledger.effects] == [call.n for call in calls]
        assert len({call.conn for call in calls}) == 1


async def test_a_restarted_sandbox_knows_its_instances(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    faults = (Fault(kind="code", attempts=(2,), flows=(5,)),)
    async with playing(still(faults=faults), ledger=path) as (_, client):
        await client.trigger()
        await client.trigger(5)
        await client.call("POST", "flowInstances", "cancel", {"flowInstId": INSTANCE})
    async with playing(still(faults=faults), ledger=path) as (sandbox, client):
        instance = (await client.get())["data"]
        second_attempt = await client.trigger(5)

        assert (instance["instanceId"], instance["status"]) == (INSTANCE, 8)
        assert second_attempt["status"] == 62109
        assert sandbox.ledger.effects_by_job == {(FLOW, MOMENT): 1, (5, MOMENT): 1}
        numbers = [call.n for call in sandbox.ledger.calls]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_a_torn_last_line_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    async with playing(still(), ledger=path) as (_, client):
        await client.trigger()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"effect","n":9,"flowId":3')

    assert Ledger.read(path).effects_by_job == {(FLOW, MOMENT): 1}
    async with playing(still(), ledger=path) as (_, client):
        await client.trigger(5)
    assert path.read_bytes().startswith(whole)
    assert Ledger.read(path).effects_by_job == {(FLOW, MOMENT): 1, (5, MOMENT): 1}


@pytest.mark.parametrize("durable", [True, False])
async def test_effects_that_come_together_share_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    syncs = 0

    def sync(file: int) -> None:
        nonlocal syncs
        syncs += 1
        os.fsync(file)

    monkeypatch.setattr("bulk_trigger.sandbox.ledger._sync_data", sync)
    ledger = Ledger(tmp_path / "ledger.jsonl", durable=durable)

    async def effect(flow_id: int) -> None:
        ledger.append(
            Effect(n=flow_id, flow_id=flow_id, trigger_time=0, instance_id=f"{flow_id}-", at=0.0, mono=0.0)
        )
        await ledger.synced()

    await asyncio.gather(*(effect(flow_id) for flow_id in range(100)))

    assert len(ledger.effects) == 100
    assert syncs in ({1, 2} if durable else {0})
    await ledger.close()


async def test_a_ledger_that_cannot_sync_lets_nothing_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(file: int) -> None:
        raise OSError(5, "Input/output error")

    ledger = Ledger(tmp_path / "ledger.jsonl")
    async with aiohttp.ClientSession() as session, Sandbox(still(), ledger=ledger) as sandbox:
        client = Client(sandbox.url, session)
        await client.log_in()
        with monkeypatch.context() as patch:
            patch.setattr("bulk_trigger.sandbox.ledger._sync_data", sync)
            body = {"flowId": FLOW, "triggerTime": MOMENT}
            status, _, _ = await client.send("POST", "flows", "trigger", body)

    assert status == 500


# --- the scenario file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loockup = 'down'", "unknown key 'loockup'; allowed: "),
        ("[latency]\nmedian = 1", "unknown key 'median' in [latency]; allowed: alpha, high_ms"),
        ("[[faults]]\nkind = 'reset'\nwhere = 1", "unknown key 'where' in [faults]; allowed: after_s"),
        ("[[faults]]\nkind = 'explode'", "Invalid enum value 'explode'"),
        ("[[faults]]\nrate = 0.1", "missing required field `kind`"),
        ("[[faults]]\nkind = 'reset'\nrate = 2", "<= 1.0"),
        ("rate_limit = '10 per second'", "matching regex"),
        ("latency = 3", "Expected `object`"),
        ("faults = 3", "Expected `array`"),
        ("= 3", "Invalid statement"),
    ],
)
def test_a_scenario_that_cannot_be_read_is_told_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_missing_scenario_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"scenario\.toml"):
        Scenario.load(tmp_path / "scenario.toml")


def test_the_sample_scenario_has_the_shares_that_it_claims() -> None:
    scenario = Scenario.load(SAMPLES / "scenario.toml")
    plan = FaultPlan(scenario.faults, seed=0)
    calls = [
        read_call("POST", TRIGGER, orjson.dumps({"flowId": flow, "triggerTime": MOMENT}))
        for flow in range(20_000)
    ]
    met = [plan.choose(call, 1, 0.0) for call in calls if call]
    names = [fault.name for fault in met if fault]

    assert scenario == Scenario.parse((SAMPLES / "scenario.toml").read_text())
    assert scenario.digest != Scenario().digest
    for name, share in {
        "code-62109-before": 0.05,
        "code-62109-after": 0.05,
        "reset-after": 0.02,
        "reset-before": 0.01,
        "hang-after": 0.01,
    }.items():
        assert names.count(name) / 20_000 == pytest.approx(share, rel=0.25)


# --- the process -----------------------------------------------------------------------------------------

PROGRAM = """
from pathlib import Path
import sys
from bulk_trigger.sandbox import Ledger, Sandbox, run
run(Sandbox(ledger=Path(sys.argv[1])), until_stdin_closes=sys.argv[2] == "bound")
"""


def start(ledger: Path, bond: str, stdin: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(ledger), bond], stdin=stdin, stdout=subprocess.PIPE
    )


def test_a_sandbox_process_ends_when_its_stdin_does(tmp_path: Path) -> None:
    with start(tmp_path / "ledger.jsonl", "bound", subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        card = json.loads(process.stdout.readline())
        process.stdin.close()

        assert process.wait(5) == 0
    assert card["url"].startswith("http://127.0.0.1:")
    assert {name: card[name] for name in ("appKey", "appSecret", "userId", "orgId")} == {
        "appKey": APP_KEY,
        "appSecret": APP_SECRET,
        "userId": USER_ID,
        "orgId": ORG_ID,
    }


def test_a_sandbox_process_without_stdin_ends_by_a_signal(tmp_path: Path) -> None:
    with start(tmp_path / "ledger.jsonl", "free", subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()

        assert process.wait(5) == 0


def test_a_history_is_drawn_with_the_seed_and_has_its_shares() -> None:
    text = """
    [[history]]
    flows = ["1-50"]
    since = 2024-03-11T22:00:00+08:00
    until = 2024-03-12T22:00:00+08:00
    missing = 0.2
    failed = 0.1
    cancelled = 0.3
    """
    scenario = Scenario.parse(text)

    one, again, other = (list(remember(scenario.history, seed)) for seed in (1, 1, 2))

    assert one == again != other
    shares = Counter(instance.status for instance, _ in one)
    assert shares.keys() == {1, -1, 8}
    assert 0.75 < len(one) / 1200 < 0.85
    assert 0.25 < shares[8] / 1200 < 0.35
    assert min(instance.trigger_time for instance, _ in one) == 1_710_165_600_000
    assert all(instance.trigger_time < 1_710_252_000_000 for instance, _ in one)


def test_flows_can_have_schedules_of_their_own() -> None:
    scenario = Scenario.parse('[[schedules]]\nflows = [7, "10-12"]\nfreq = "0 0 5 * * ?"\ncycle = "D"\n')
    book = FlowBook(scenario.flows, Schedules(scenario.flows, scenario.schedules), 1)

    assert [book.describe(flow)["freq"] for flow in (7, 11, 8)] == [
        "0 0 5 * * ?",
        "0 0 5 * * ?",
        "0 0 * * * ? *",
    ]
    assert book.describe(7)["cycle"] == "D"


def test_a_history_needs_times_with_an_offset() -> None:
    with pytest.raises(ScenarioError):
        Scenario.parse(
            "[[history]]\nflows = [1]\nsince = 2024-03-11T22:00:00\nuntil = 2024-03-12T22:00:00Z\n"
        )
