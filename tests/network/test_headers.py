"""What a reply says beside its body: cookies, secrets in echo, escapes, waits and limits (F46-F49)."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

from behind import DEFAULTS, Behind, behind
from canary import found_below
from evening import WAYS, Case, Evening, Fate, spend
from loops import freely
from proxy import Exchange, Request, Toxic
import pytest
from running import hourly
from scripted import http
from strange_replies import said
from toxics import instead, passed, rewritten

from bulk_trigger import Rate

NONSENSE = (
    "RateLimit: limit=0, remaining=0, reset=99999999",
    "RateLimit-Policy: 0;w=0",
    "X-RateLimit-Limit: -1",
    "X-RateLimit-Remaining: 0",
    "X-RateLimit-Reset: NaN",
    "X-RateLimit-Limit-Second: 1e400",
    "Retry-After: 86400",
)
ESCAPES = (
    "\x1b]0;title\x07\x1b[2J\r\n62104 forged: row 1 succeeded\r\n\u202eright to left\u2028line\x00\x9b31m\x7f"
)


def with_headers(*lines: str) -> Callable[[bytes], bytes]:
    added = "".join(f"\r\n{line}" for line in lines).encode()
    return lambda reply: reply.replace(b"\r\n\r\n", added + b"\r\n\r\n", 1)


def echo(exchange: Exchange) -> bytes:
    """A refusal that shows whoever reads it who we are."""
    sent = {line.partition(": ")[0]: line.partition(": ")[2] for line in exchange.request.head.split("\r\n")}
    token = sent["apim-accesstoken"]
    card = ("sandbox-app-key", "sandbox-app-secret", token, f"Bearer {token}", token[::-1])
    return http({"status": 99400, "msg": f"refused: {' '.join(card)} {sent}"}, 200, f"Authorization: {token}")


CASES = [
    Case(
        "F46 cookies",
        rewritten(with_headers("Set-Cookie: session=abc; Path=/; Domain=127.0.0.1", "Set-Cookie2: a=b")),
        Fate.AT_ONCE,
    ),
    Case(
        "F46 an authorization that is echoed",
        rewritten(with_headers("Authorization: Bearer x")),
        Fate.AT_ONCE,
    ),
    Case("F46 secrets in an error text", instead(echo, applied=False), Fate.REFUSED),
    Case(
        "F47 escapes in an error text",
        instead(http({"status": 99400, "msg": ESCAPES}), applied=False),
        Fate.REFUSED,
    ),
    Case("F47 escapes in a text that is no JSON", said(ESCAPES.encode(), status=400)(False), Fate.REFUSED),
    Case("F47 a formula in an error text", said(b'{"status":99400,"msg":"=cmd()"}')(False), Fate.REFUSED),
    Case("F49 limits that make no sense", rewritten(with_headers(*NONSENSE)), Fate.AT_ONCE),
]


@pytest.fixture(scope="module", params=["direct", "aiohttp"])
def evening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evening:
    return spend(WAYS[request.param], tmp_path_factory.mktemp("evening"), CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_row_ends_as_its_reply_says_whatever_stands_beside_it(evening: Evening, case: Case) -> None:
    evening.assert_as_it_must(case)


def test_nothing_of_it_is_kept_or_sent_back(evening: Evening) -> None:
    """F46, P28: no cookie, no secret: neither in what we send later, nor in any file of the run."""
    evening.assert_the_rest_is_well()
    assert not [each for each in evening.rig.proxy.seen if "cookie" in each.head.lower()]
    assert not list(found_below(evening.rig.directory))
    row = next(row for row in evening.results if row["message"].startswith("refused:"))
    assert "***" in row["message"]


def test_no_text_of_the_gateway_moves_a_cursor_or_forges_a_line(evening: Evening) -> None:
    """F47, P27: in no file of the run."""
    lines = (evening.rig.directory / "results.csv").read_text().splitlines()
    assert len(lines) == len(evening.jobs) + 1
    shown = [row["message"] for row in evening.results if "forged" in row["message"]]
    assert len(shown) == 2
    assert all(text.isprintable() for text in shown)
    assert "'=cmd()" in {row["message"] for row in evening.results}
    texts = [path for path in evening.rig.directory.iterdir() if path.suffix in {".csv", ".json"}]
    assert len(texts) >= 4
    for path in texts:
        content = path.read_text()
        assert not [char for char in content if not char.isprintable() and char != "\n"], path


# --- waits that the gateway asks for

#: What stands in Retry-After, and how long nothing may be sent then; our own wait is a second.
WAITS: dict[str, tuple[tuple[str, ...], float]] = {
    "120 seconds": (("120",), 120.0),
    "0 seconds": (("0",), 1.0),
    "a fraction": (("0.5",), 1.0),
    "a negative number": (("-5",), 1.0),
    "a billion seconds": (("1000000000",), 900.0),
    "a number of 5,000 digits": (("9" * 5000,), 1.0),
    "1e9": (("1e9",), 1.0),
    "nothing": (("",), 1.0),
    "garbage": (("soon",), 1.0),
    "foreign digits": (("\u0661\u0662",), 1.0),
    "both forms, seconds first": (("60", "Fri, 31 Dec 1999 23:59:59 GMT"), 60.0),
    "both forms, the date first": (("Fri, 31 Dec 1999 23:59:59 GMT", "60"), 1.0),
    "a date of the year 9999": (("Fri, 31 Dec 9999 23:59:59 GMT",), 900.0),
    "a date that does not exist": (("Fri, 99 Foo 2024 99:99:99 GMT",), 1.0),
}


async def refused_once(rig: Behind, status: int, lines: Callable[[], list[str]]) -> float:
    """A run in which one send is told to wait; returns for how long nothing was sent then."""
    jobs = hourly(30, flows=10)
    told: list[float] = []

    def script(request: Request) -> Toxic:
        if request.job == jobs[14] and not told:
            told.append(request.at)
            return instead(http(b"", status, *lines()), applied=False)
        return passed

    rig.proxy.script = script
    ending = await rig.send(jobs, **{**DEFAULTS, "in_flight": 2})
    assert ending.exit_code == 0
    rig.assert_proven(jobs).assert_each_once()
    assert len(told) == 1
    under_way = 0.1  # what was sent at the same moment
    later = [each.at for each in rig.proxy.seen if each.at > told[0] + under_way]
    return later[0] - told[0]


@pytest.mark.parametrize(("words", "wait_s"), WAITS.values(), ids=[f"F48 {name}" for name in WAITS])
@freely
async def test_nothing_is_sent_before_the_time_that_a_retry_after_names(
    tmp_path: Path, words: tuple[str, ...], wait_s: float
) -> None:
    """F48, P18: at most 15 minutes, at least our own second; a row pays nothing for it."""
    status = 503 if wait_s == 60 else 429
    async with behind(tmp_path, lambda _: passed) as rig:
        paused_s = await refused_once(rig, status, lambda: [f"Retry-After: {word}" for word in words])

    assert wait_s <= paused_s < wait_s + 6


@pytest.mark.parametrize(
    ("wire", "ahead_s", "wait_s"),
    [
        pytest.param("direct", 90.0, 90.0, id="F48 a date in 90 s"),
        pytest.param("aiohttp", 90.0, 90.0, id="F48 a date in 90 s, aiohttp"),
        pytest.param("direct", 3600.0, 900.0, id="F48 a date in an hour"),
        pytest.param("aiohttp", -90.0, 1.0, id="F48 a date that is past"),
    ],
)
@freely
async def test_a_date_to_retry_after_is_read_by_our_clock(
    tmp_path: Path, wire: str, ahead_s: float, wait_s: float
) -> None:
    """F48, P18."""
    async with behind(tmp_path, lambda _: passed) as rig:
        rig.wire = wire

        def line() -> list[str]:
            return [f"Retry-After: {formatdate(rig.clock.wall() + ahead_s, usegmt=True)}"]

        paused_s = await refused_once(rig, 429, line)

    assert wait_s - 1 <= paused_s < wait_s + 6  # a date has no fractions


@pytest.mark.parametrize("wire", ["direct", "aiohttp"])
@freely
async def test_limits_in_good_replies_neither_stop_nor_speed_us(tmp_path: Path, wire: str) -> None:
    """F48, F49, P15: on every reply, and the rate is the one that was asked for."""
    jobs = hourly(100, flows=50)
    fast = "X-RateLimit-Limit: 1000000"
    async with behind(tmp_path, lambda _: rewritten(with_headers(*NONSENSE, fast))) as rig:
        rig.wire = wire
        ending = await rig.send(jobs, **DEFAULTS, rates=(Rate(20, 1.0),))

        assert ending.exit_code == 0
        rig.assert_proven(jobs).assert_each_once()
        took = rig.proxy.seen[-1].at - rig.proxy.seen[0].at
        assert 4.9 < took < 5.5
