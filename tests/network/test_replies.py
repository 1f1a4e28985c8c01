"""Any reply is safe to receive: the worst that one can do is a doubt, and a look-up settles it (1.3)."""

from __future__ import annotations

from evening import WAYS, Case, Evening, Fate, both, spend
import pytest
from strange_replies import (
    ANOMALOUS,
    BABBLE,
    BOMBS,
    BROKEN,
    DOUBTFUL,
    ENCODED,
    ENDLESS,
    HTML,
    PAGE,
    babbling,
    bomb,
    broken,
    encoded,
    said,
    without_end,
)

CASES = [
    *both("F36 a page to log in", said(PAGE, HTML)),
    *(case for name, body in DOUBTFUL.items() for case in both(name, said(body))),
    *(case for name in ENCODED for case in both(name, encoded(name))),
    *(case for name in BOMBS for case in both(name, bomb(name))),
    *(case for name in BROKEN for case in both(name, broken(name))),
    *(case for name in ENDLESS for case in both(name, without_end(name))),
    *(case for name in BABBLE for case in both(name, babbling(name))),
    *(Case(f"{name}, applied", said(body)(True), Fate.FOUND, "anomaly") for name, body in ANOMALOUS.items()),
    *(
        Case(f"{name}, not applied", said(body)(False), Fate.LIED_TO, "anomaly")
        for name, body in ANOMALOUS.items()
    ),
]


@pytest.fixture(scope="module", params=WAYS)
def evening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evening:
    return spend(WAYS[request.param], tmp_path_factory.mktemp("evening"), CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_strange_reply_is_a_doubt_and_no_more(evening: Evening, case: Case) -> None:
    evening.assert_as_it_must(case)


def test_strange_replies_to_some_rows_do_no_harm_to_others(evening: Evening) -> None:
    evening.assert_the_rest_is_well()
