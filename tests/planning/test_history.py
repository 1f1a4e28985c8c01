"""Lists of instances, read from the real sandbox: complete, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import time

import pytest
from running import rig, single_faults

from bulk_trigger.calls import Calls
from bulk_trigger.errors import GatewayError
from bulk_trigger.gateway import HttpGateway
from bulk_trigger.planning.history import History
from bulk_trigger.planning.moments import Past
from bulk_trigger.planning.ranges import Range
from bulk_trigger.quantities import Rate
from bulk_trigger.sandbox import Called

T0 = 1_704_067_200_000
HOUR_MS = 3_600_000
DAY = Range(T0, T0 + 24 * HOUR_MS)


def night(flows: str = '["1-11"]', hours: int = 24, every_s: int = 3600, **keys: object) -> str:
    """A history that begins at T0."""
    table = f"""
    [[history]]
    flows = {flows}
    since = 2024-01-01T00:00:00Z
    until = {time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(T0 / 1000 + hours * 3600))}
    every_s = {every_s}
    """
    return table + "\n".join(f"{key} = {value}" for key, value in keys.items())


async def read(
    folder: Path, scenario: str, flows: Sequence[int] = (1, 11), span: Range = DAY, **changes: object
) -> tuple[list[Past], list[Called]]:
    async with rig(folder, scenario) as ours:
        settings = ours.settings(**{"patience_s": 2.0, **changes})
        gateway = HttpGateway(settings, ours.credentials)
        try:
            return await History(Calls(gateway, settings), gateway).read(
                flows, span
            ), ours.sandbox.ledger.calls
        finally:
            await gateway.aclose()


def keys(history: list[Past]) -> list[tuple[int, int]]:
    return sorted((past.flow_id, (past.trigger_time_ms - T0) // HOUR_MS) for past in history)


EXPECTED = sorted((flow, hour) for flow in (1, 11) for hour in range(24))


@pytest.mark.parametrize("api", ["v2.0", "v2.1"])
@pytest.mark.parametrize("count", ["total", "page"])
@pytest.mark.parametrize(
    "pages", ["", "max_page_size = 7\n", "page_base = 0\n", 'page_base = 1\npage_zero = "same"\n']
)
async def test_a_list_is_read_to_its_end_in_all_documented_forms(
    api: str, count: str, pages: str, tmp_path: Path
) -> None:
    history, _ = await read(tmp_path, f'count = "{count}"\n{pages}' + night(), api=api)

    assert keys(history) == EXPECTED


@pytest.mark.parametrize("digits", [14, 12, 10])
@pytest.mark.parametrize("flows", [(1, 11), ()])
async def test_all_forms_of_ids_and_all_flows_are_understood(
    digits: int, flows: tuple[int, ...], tmp_path: Path
) -> None:
    history, _ = await read(tmp_path, night("[1, 11]", digits=digits), flows)

    assert keys(history) == EXPECTED


@pytest.mark.parametrize("kind", [0, 1, 2])
async def test_instances_of_every_type_are_found(kind: int, tmp_path: Path) -> None:
    history, _ = await read(tmp_path, f"instance_type = {kind}\n" + night())

    assert keys(history) == EXPECTED


@pytest.mark.parametrize("fault", ["none", "repeat"])
@pytest.mark.parametrize("count", ["total", "page"])
@pytest.mark.parametrize("size", [100, 36, 13])
async def test_a_long_list_is_whole_even_if_its_first_page_comes_twice(
    fault: str, count: str, size: int, tmp_path: Path
) -> None:
    scenario = f'page_fault = "{fault}"\ncount = "{count}"\nmax_page_size = {size}\n'

    history, _ = await read(tmp_path, scenario + night(every_s=600, digits=12))

    assert len(history) == len({past.minute for past in history}) == 288


@pytest.mark.parametrize("fault", ["drop", "shuffle"])
@pytest.mark.parametrize("count", ["total", "page"])
@pytest.mark.parametrize("size", [100, 36, 13])
async def test_a_list_that_is_not_to_be_trusted_is_an_error_and_never_a_shorter_one(
    fault: str, count: str, size: int, tmp_path: Path
) -> None:
    scenario = f'page_fault = "{fault}"\ncount = "{count}"\nmax_page_size = {size}\n'

    with pytest.raises(GatewayError, match="cannot be read completely"):
        await read(tmp_path, scenario + night(every_s=600, digits=12))


@pytest.mark.parametrize("lookup", ["forbidden", "forbidden-99403", "403", "404", "501", "down"])
async def test_without_a_list_there_is_no_plan(lookup: str, tmp_path: Path) -> None:
    with pytest.raises(GatewayError):
        await read(tmp_path, f'lookup = "{lookup}"\n' + night())


async def test_ids_in_another_zone_than_utc_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="UTC"):
        await read(tmp_path, 'id_timezone = "GMT+8"\n' + night())


async def test_faults_of_single_calls_cost_time_and_no_instance(tmp_path: Path) -> None:
    faults = single_faults(
        "list",
        [
            ("code", ""),
            ("reset", ""),
            ("garbage", ""),
            ("code", "code = 1203"),
            ("status", 'status = 429\nheaders = { "Retry-After" = "1" }'),
            ("status", "status = 502"),
        ],
    )

    history, calls = await read(tmp_path, night() + faults, patience_s=30.0)

    assert keys(history) == EXPECTED
    assert sum(call.fault is not None for call in calls) == 6


async def test_credentials_that_are_refused_end_it_at_once(tmp_path: Path) -> None:
    fault = '[[faults]]\non = "token"\nkind = "code"\ncode = 1003\nmessage = "encryption invalid"\n'

    with pytest.raises(GatewayError, match="1003"):
        await read(tmp_path, night() + fault)


async def test_a_token_that_is_refused_again_and_again_ends_it(tmp_path: Path) -> None:
    fault = '[[faults]]\non = "list"\nkind = "status"\nstatus = 401\n'

    with pytest.raises(GatewayError, match="refuses us"):
        await read(tmp_path, night() + fault, patience_s=30.0)


async def test_all_calls_together_stay_within_the_rate(tmp_path: Path) -> None:
    """P15 holds for calls that only ask as well."""
    _, calls = await read(tmp_path, night(), tuple(range(1, 12)), rates=(Rate(60, 1.0),))

    at = sorted(call.mono for call in calls)
    assert len(at) > 60
    assert all(later - first > 0.9 for first, later in zip(at, at[60:], strict=False))


async def test_only_the_range_counts(tmp_path: Path) -> None:
    span = Range(T0 + 2 * HOUR_MS, T0 + 5 * HOUR_MS)

    history, _ = await read(tmp_path, night(), (1,), span)

    assert keys(history) == [(1, 2), (1, 3), (1, 4)]
    long_ago = Range(T0 - 70 * 24 * HOUR_MS, T0 + HOUR_MS)
    assert keys((await read(tmp_path, night(), (1,), long_ago))[0]) == [(1, 0)]


async def test_what_stands_for_another_flow_is_no_instance(tmp_path: Path) -> None:
    one = f"[[instances]]\nflow = 1\ntrigger_time = {T0}\nstatus = -1\n"
    other = f"[[instances]]\nflow = 1\ntrigger_time = {T0 + HOUR_MS}\nstatus = -1\nvirtual = true\n"

    history, _ = await read(tmp_path, one + other, (1,))

    assert keys(history) == [(1, 0)]
