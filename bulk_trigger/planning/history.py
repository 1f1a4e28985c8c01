"""What exists already: all instances of flows in a range, read from the gateway completely or not at all.

Rule 1: a list counts only as a whole. What shows that something may be missing is an error after a few
        tries, never a shorter list.
Rule 2: pages are not believed before they were proven: by a count of the whole list, or by reading it again
        in pages of another size, where what is dropped at their edges would differ. A list that is longer
        than any proven one is proven again.
Rule 3: what the gateway shows for a window has to lie in it; otherwise we do not understand its times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from msgspec.structs import replace

from ..calls import Calls
from ..cells import clean
from ..errors import GatewayError, SettingsError
from ..instances import Instance
from ..listing import TYPES, read_pages
from ..model import MINUTE_MS
from ..ports import Catalogue, InstanceQuery
from ..reconcile import Pages
from .moments import Past, learn_zone, trigger_ms
from .ranges import Range
from .schedules import ask_zone

_READS = 3  #: of a list that contradicts itself: instances may come up while it is read
_WINDOW_MS = 31 * 86_400_000  #: of one list, if it is of one flow
_WIDE_WINDOW_MS = 86_400_000  #: if it is of all flows
_EVERY_FLOW = ""


class History:
    """Reads instances. One per plan."""

    def __init__(self, calls: Calls, gateway: Catalogue) -> None:
        self._calls = calls
        self._gateway = gateway
        self._starts_at_1: bool | None = None
        self._proven = 1  #: the length of the longest list that was proven to be whole

    async def read(self, flow_ids: Sequence[int], span: Range) -> list[Past]:
        """All instances in the range, of these flows or, without any, of all. Raises `GatewayError`."""
        parts = await self._calls.ask_all(flow_ids or (None,), partial(self._read_flow, span))
        instances = [each for part in parts for each in part]
        zone_s = learn_zone(instances)
        told_s = None if zone_s is not None or not instances else await self._told_zone()
        return list(_placed(instances, span, zone_s, told_s))

    async def _told_zone(self) -> int | None:
        try:
            return (await ask_zone(self._calls, self._gateway)).ahead_s(0)
        except SettingsError:  # it does not tell
            return None

    async def _read_flow(self, span: Range, flow_id: int | None) -> list[Instance]:
        found: dict[tuple[str, str], Instance] = {}
        for window in _windows(span, _WIDE_WINDOW_MS if flow_id is None else _WINDOW_MS):
            for kind in TYPES:
                query = InstanceQuery(
                    expression=_EVERY_FLOW if flow_id is None else f"{flow_id}-",
                    type=kind,
                    from_ms=window.from_ms,
                    to_ms=window.to_ms,
                    page=0,
                )
                for each in await self._read_list(query):
                    if not each.virtual and flow_id in {None, each.flow_id}:
                        found[each.instance_id, each.start_time] = each
        return list(found.values())

    # --- one list

    async def _read_list(self, query: InstanceQuery) -> list[Instance]:
        why = ""
        for _ in range(_READS):
            pages, why = await self._read_pages(query)
            if not why and (len(pages.instances) <= self._proven or pages.counts_all):
                return pages.instances
            if not why:
                again, why = await self._read_pages(replace(query, page_size=_other_size(pages)))
                if not why and _ids(again) == _ids(pages):
                    self._proven = len(pages.instances)
                    return pages.instances
                why = why or "read in pages of another size, it is another list"
        raise GatewayError(
            f"the gateway's list of instances cannot be read completely: {why}\n"
            "  a plan made of it would miss rows; try again, or take a shorter range"
        )

    async def _read_pages(self, query: InstanceQuery) -> tuple[Pages, str]:
        """Read a list to its end; the text says why something may be missing."""
        pages = Pages()
        pages.starts_at_1 = True  # unless page 0 comes
        async for page in read_pages(self._calls, self._gateway, query):
            if page.refused:
                return pages, page.refused
            if page.number == 0:
                pages.starts_at_1 = False
            pages.add(page.number, page.instances, page.count)
            if pages.repeats:
                return pages, pages.contradiction
            if page.number > 0 and not page.instances:
                return pages, pages.contradiction or self._first_page(pages)
        return pages, "it has no end"

    def _first_page(self, pages: Pages) -> str:
        """Pages start at the same number in all lists; otherwise one list hides its first."""
        if self._starts_at_1 is None:
            self._starts_at_1 = pages.starts_at_1
        return "" if pages.starts_at_1 is self._starts_at_1 else "it refuses its first page"


def _windows(span: Range, longest_ms: int) -> Iterator[Range]:
    """The range in parts, each a minute wider on both sides: which of the two minutes counts is not said."""
    for start in range(span.from_ms, span.to_ms, longest_ms):
        yield Range(start - MINUTE_MS, min(start + longest_ms, span.to_ms) + MINUTE_MS)


def _placed(
    instances: Sequence[Instance], span: Range, zone_s: int | None, told_s: int | None
) -> Iterator[Past]:
    for each in instances:
        ms = trigger_ms(each, zone_s, told_s)
        if ms is None or each.flow_id is None:
            raise GatewayError(
                f"nobody can tell for which time instance {clean(each.instance_id)} was triggered: "
                f"its ID has an unknown form, and its trigger time is {clean(each.trigger_time)!r}"
            )
        if not span.from_ms - 2 * MINUTE_MS <= ms <= span.to_ms + 2 * MINUTE_MS:
            raise GatewayError(
                f"the gateway shows instance {clean(each.instance_id)} for a range in which it is not; "
                "its IDs do not seem to be in UTC, so what is missing or failed cannot be told"
            )
        if span.from_ms <= ms < span.to_ms:
            yield Past(each.flow_id, ms, each)


def _other_size(pages: Pages) -> int:
    return max(pages.longest_page * 2 // 3, 1)


def _ids(pages: Pages) -> list[str]:
    return sorted(each.instance_id for each in pages.instances)
