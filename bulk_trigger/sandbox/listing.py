"""List Flow Instances: the body's rules, the filters, and the ways in which pages are not to be trusted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from .calls import Version
from .flows import flow_name
from .instances import Instance
from .scenario import Scenario
from .tokens import USER_ID

_FIRST_PAGE: Mapping[Version, int] = {"v2.0": 0, "v2.1": 1}


class Sorter(msgspec.Struct):
    """One order, of which the pages know two spellings."""

    field: str
    order: str = "ASC"


class Pagination(msgspec.Struct, rename="camel"):
    """Which page; numbers start at 0 or at 1."""

    page_no: int
    page_size: Annotated[int, Meta(gt=0)] = 10
    sorters: tuple[Sorter, ...] = ()


class Query(msgspec.Struct, rename="camel"):
    """The body. Times are epoch milliseconds, half-open; empty texts filter nothing."""

    type: Annotated[int, Meta(ge=0, le=2)]
    from_trigger_time: int
    to_trigger_time: int
    expression: str = ""
    owner: str = ""
    status: str | int = ""
    pagination: Pagination | None = None


class QueryError(ValueError):
    """The body breaks a rule: 62102."""


_SORT_KEYS: Mapping[str, Callable[[Instance], float]] = {
    "createtime": lambda instance: instance.created_at,
    "updatetime": lambda instance: instance.created_at,
    "starttime": lambda instance: instance.start_at,
    "triggertime": lambda instance: instance.trigger_time,
    "endtime": lambda instance: instance.end_at,
}


def read_query(data: Mapping[str, Any]) -> Query:
    """Check the body; numbers may come as text, as the vendor's samples send them."""
    try:
        query = msgspec.convert(data, Query, strict=False)
    except msgspec.ValidationError as error:
        raise QueryError(str(error)) from error
    for sorter in query.pagination.sorters if query.pagination else ():
        if _sort_name(sorter) not in _SORT_KEYS:
            raise QueryError(f"Invalid sorter field: {sorter.field}")
    return query


def select(query: Query, instances: Iterable[Instance], instance_type: int, now: float) -> list[Instance]:
    """Return those *instances*, within the window already, that the query asks for, in its order."""
    if query.type != instance_type or query.owner not in {"", USER_ID}:
        return []
    statuses = {part.strip() for part in str(query.status).split(",")} - {""}
    found = [
        instance
        for instance in instances
        if (query.expression in instance.instance_id or query.expression in flow_name(instance.flow_id))
        and (not statuses or str(instance.status(now)) in statuses)
    ]
    for sorter in reversed(query.pagination.sorters if query.pagination else ()):
        found.sort(key=_SORT_KEYS[_sort_name(sorter)], reverse=sorter.order.upper() == "DESC")
    return found


def cut_page(
    found: Sequence[Instance], query: Query, version: Version, scenario: Scenario, turn: int
) -> Sequence[Instance]:
    """Return the page that is asked for, or what the scenario makes of it. *turn* counts calls."""
    pagination = query.pagination or Pagination(page_no=_first_page(version, scenario))
    index = pagination.page_no - _first_page(version, scenario)
    if index == -1 and scenario.page_zero == "same":
        index = 0
    if index < 0:
        raise QueryError("Invalid pageNo")
    size = min(pagination.page_size, scenario.max_page_size)
    if index > 0:
        index += {"drop": 1, "repeat": -1}.get(scenario.page_fault, 0)
    if scenario.page_fault == "shuffle" and found:
        turn %= len(found)
        found = [*found[turn:], *found[:turn]]
    return found[index * size : (index + 1) * size]


def _first_page(version: Version, scenario: Scenario) -> int:
    return _FIRST_PAGE[version] if scenario.page_base is None else scenario.page_base


def _sort_name(sorter: Sorter) -> str:
    """`startTime` and `start_time` are the same field."""
    return sorter.field.replace("_", "").lower()
