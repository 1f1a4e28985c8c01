"""F35: every HTTP status, and what it proves (promises 5.2), from the wire to the row.

The table here is written from that page, not taken from the program.
"""

from __future__ import annotations

from collections.abc import Callable

from evening import WAYS, Case, Evening, Fate, spend
from proxy import Request, Toxic
import pytest
from strange_replies import said, success
from toxics import closing

REFUSED = {400, 404, 405, 406, 410, 411, 413, 414, 415, 422, 431}  #: not applied: the row fails
RETRIED = {401, 421, 425, 429, 521, 523, 525, 526}  #: not applied: sent again
EVERYONES = {*range(300, 400), 403, 407, 501, 505, 511}  #: they stop the run: `test_redirects`
SLOW = {401, 429, 503}  #: everybody waits after these: they come last
STATUSES = sorted(set(range(100, 600)) - {200} - EVERYONES, key=lambda status: (status in SLOW, status))
INTERIM, BODILESS = set(range(100, 200)), {204}


def reply_with(status: int, body: Callable[[Request], bytes] | bytes, *, applied: bool) -> Toxic:
    """A reply of that status; 1xx is none, so nothing follows it."""
    if status in INTERIM:
        return closing(f"HTTP/1.1 {status} Word\r\n\r\n".encode(), applied=applied)
    return said(b"" if status in BODILESS else body, status=status)(applied)


def cases_of(status: int) -> list[Case]:
    """A body that says nothing, and one that says success, which only a 200 may; one of them was applied."""
    if status in REFUSED | RETRIED:
        fate = Fate.REFUSED if status in REFUSED else Fate.RETRIED
        plain = Case(f"F35 {status}", reply_with(status, b'{"message":"Word"}', applied=False), fate)
        return [plain] if status in SLOW else [plain, lie(status, applied=True), lie(status, applied=False)]
    applied = status % 2 == 0
    toxic = reply_with(status, b'{"message":"Word"}', applied=applied)
    doubt = Case(f"F35 {status}", toxic, Fate.FOUND if applied else Fate.SENT_AGAIN)
    return [doubt] if status in INTERIM else [doubt, lie(status, applied=not applied)]


def lie(status: int, *, applied: bool) -> Case:
    """A status that contradicts the success in its body."""
    fate = Fate.FOUND if applied else Fate.SENT_AGAIN
    words = f"a success in it, {'applied' if applied else 'not applied'}"
    return Case(f"F35 {status} with {words}", reply_with(status, success, applied=applied), fate)


CASES = [case for status in STATUSES for case in cases_of(status)]


@pytest.fixture(scope="module", params=["direct", "aiohttp"])
def evening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evening:
    return spend(WAYS[request.param], tmp_path_factory.mktemp("evening"), CASES, rows_each=1)


@pytest.mark.parametrize("hundred", [1, 2, 4, 5])
def test_every_status_proves_what_the_table_says(evening: Evening, hundred: int) -> None:
    """F35, P1, P3, P4, P6."""
    cases = [case for case in CASES if case.name.startswith(f"F35 {hundred}")]
    assert len(cases) >= 100
    for case in cases:
        evening.assert_as_it_must(case)


def test_a_bad_status_for_some_rows_does_no_harm_to_others(evening: Evening) -> None:
    evening.assert_the_rest_is_well()
    assert evening.rig.proxy.did["other reply"] + evening.rig.proxy.did["other reply, closed"] == len(CASES)
