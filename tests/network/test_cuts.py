"""A request or a reply that breaks off after any byte: each row still runs once (F22, F23)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from behind import behind
from evening import FIRST_CASE, WAYS, Case, Evening, Fate, spend
from proxy import Exchange
import pytest
from running import T0
from toxics import cut_reply, cut_request, for_triggers, toxic

EACH = len(WAYS)  #: of the request: on each way every third byte, on all of them together every one


class Swept(NamedTuple):
    """A run in which each job met a cut one byte later."""

    evening: Evening
    requests: list[Case]
    replies: list[Case]
    reply_size: int


@pytest.fixture(scope="module", params=WAYS)
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    place = list(WAYS).index(request.param)
    request_size, reply_size = asyncio.run(sizes(tmp_path_factory.mktemp("sizes")))
    requests = [
        Case(f"F22 after byte {at} of the request", cut_request(at), Fate.SENT_AGAIN)
        for at in range(place, request_size, EACH)
    ]
    replies = [
        Case(f"F23 after byte {at} of the reply", cut_reply(at, reset=(at + place) % 2 == 0), Fate.FOUND)
        for at in range(reply_size)
    ]
    folder = tmp_path_factory.mktemp("evening")
    evening = spend(WAYS[request.param], folder, [*requests, *replies], rows_each=1)
    return Swept(evening, requests, replies, reply_size)


async def sizes(folder: Path) -> tuple[int, int]:
    """How long a request is, and its reply, as the jobs of the sweep have them."""

    @toxic("pass, and measure")
    async def measured(exchange: Exchange) -> None:
        reply = await exchange.answer()
        found.append((len(exchange.request.raw), len(reply)))
        await exchange.tell(reply)

    found: list[tuple[int, int]] = []
    async with behind(folder, for_triggers(measured)) as rig:
        await rig.send([(FIRST_CASE, T0)])
    return found[0]


def test_a_request_cut_after_any_byte_has_no_effect_and_is_sent_again_after_a_look_up(swept: Swept) -> None:
    """F22, P6, P7: what we handed over counts as sent, however little of it arrived."""
    assert swept.evening.rig.proxy.did["request cut"] == len(swept.requests) > 80
    for case in swept.requests:
        swept.evening.assert_as_it_must(case)


def test_a_reply_cut_after_any_byte_proves_nothing_and_is_found_by_a_look_up(swept: Swept) -> None:
    """F23, P3, P6, P30: every byte of it, by an end in order or by a reset."""
    assert swept.evening.rig.proxy.did["reply cut"] == swept.reply_size > 200
    for case in swept.replies:
        swept.evening.assert_as_it_must(case)


def test_the_rows_between_them_notice_nothing(swept: Swept) -> None:
    swept.evening.assert_the_rest_is_well()
