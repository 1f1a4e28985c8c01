"""One list of the gateway's instances, page by page (contract 5.3).

What the pages prove is left to who reads them: `reconcile.Pages` says whether they can be all of the list.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial

import msgspec

from .calls import Calls
from .cells import clean
from .errors import GatewayError
from .instances import Instance, Lookup, count_in, instances_in, judge_lookup
from .model import Reply
from .ports import Gateway, InstanceQuery
from .reconcile import PAGES, is_no_page

TYPES = (0, 1, 2)  #: manual, periodic, temporary; each is a list of its own


class Page(msgspec.Struct, frozen=True):
    """A page of a list, or why there is none."""

    number: int
    instances: list[Instance]
    count: int = 0  #: how many there are, as the gateway says; 0 if it does not
    refused: str = ""  #: the list cannot be read further


async def read_pages(calls: Calls, gateway: Gateway, query: InstanceQuery) -> AsyncGenerator[Page, None]:
    """Give the pages of a list up to the first empty one, which is given as well; page 0 may not exist.

    A list with more pages than can be read has no empty one. Raises `GatewayError`.
    """
    for number in range(PAGES):
        reply = await calls.ask(partial(gateway.list_instances, msgspec.structs.replace(query, page=number)))
        instances = instances_in(reply)
        if instances is None:
            if judge_lookup(reply) is Lookup.NOT_PERMITTED:
                raise GatewayError(
                    f"the gateway does not permit to list instances ({_said(reply)}); "
                    "without that nobody can say which there are, or how they ended"
                )
            if number > 0 or not is_no_page(reply):
                yield Page(number, [], refused=f"page {number} is refused ({_said(reply)})")
                return
            continue
        yield Page(number, instances, count_in(reply))
        if number > 0 and not instances:
            return


def _said(reply: Reply) -> str:
    return clean(f"{reply.code if reply.code is not None else reply.status} {reply.message}").strip()
