"""Replies as the direct wire reads them: any bytes, in any pieces."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st
import pytest
from scripted import SUCCESS, http

from bulk_trigger.gateway.answer import KEEPALIVE_S, MAX_BODY, MAX_HEADERS
from bulk_trigger.gateway.direct_reply import MAX_HEAD, Heads, ReplyReader
from bulk_trigger.model import Fault

BODY = SUCCESS.partition(b"\r\n\r\n")[2]
IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"5\r\n%b\r\n%x;x=y\r\n%b\r\n0\r\nX: y\r\n\r\n"
CHUNKED = IN_CHUNKS + CHUNKS % (BODY[:5], len(BODY) - 5, BODY[5:])
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLocation: /x\r\n\r\n"
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\n" + BODY
HINTS = http(b"no", 429, "retry-AFTER: 7", "Date: today", "Location: https://x/", "Retry-After: 8")

WHOLE = [SUCCESS, CHUNKED, INTERIM + SUCCESS, UNTIL_THE_END, HINTS, b"HTTP/1.1 204 No\r\n\r\n"]
UNFIT = [
    http(b"x", 200, "Content-Encoding: gzip"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{" % (MAX_BODY + 1),
    b"HTTP/1.1 200 OK\r\n\r\nnot JSON, so its end cannot be known",
    b"HTTP/1.1 200 OK\r\n\r\n12",
    b"ICY 200 OK\r\n\r\n",
]


def told(*parts: bytes, clean: bool = True, heads: Heads | None = None) -> tuple[object, ...]:
    """What a reader says of a reply that comes in these parts, and then the connection ends."""
    reader = ReplyReader(Heads() if heads is None else heads)
    for part in parts:
        if part and reader.feed(memoryview(part)):
            break
    else:
        reader.end(clean=clean)
    assert reader.whole is (reader.fault is None)
    body = reader.body if reader.whole else None
    return reader.fault, reader.status, reader.headers, body, reader.keep_s > 0


def cuts(reply: bytes) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, len(reply)), max_size=8).map(sorted)


@pytest.mark.parametrize("reply", WHOLE + UNFIT, ids=lambda reply: repr(reply[:60]))
def test_how_a_reply_is_cut_into_pieces_makes_no_difference(reply: bytes) -> None:
    """P30: at each byte in two, and one byte at a time."""
    expected = told(reply)

    for k in range(len(reply)):
        assert told(reply[:k], reply[k:]) == expected, k
    assert told(*(reply[k : k + 1] for k in range(len(reply)))) == expected


@given(st.sampled_from(WHOLE + UNFIT).flatmap(lambda reply: st.tuples(st.just(reply), cuts(reply))))
def test_nor_do_many_cuts(case: tuple[bytes, list[int]]) -> None:
    """P30."""
    reply, at = case
    parts = [reply[a:b] for a, b in zip([0, *at], [*at, len(reply)], strict=True)]

    assert told(*parts) == told(reply)


@pytest.mark.parametrize("reply", WHOLE, ids=lambda reply: repr(reply[:60]))
@pytest.mark.parametrize("clean", [True, False])
def test_a_reply_that_ends_early_is_never_a_reply(reply: bytes, clean: bool) -> None:
    """P30: F23. Every k; the last byte of a reply that is framed by its connection is the end of that."""
    for k in range(1, len(reply)):
        assert told(reply[:k], clean=clean)[0] is Fault.CUT, k
    if reply == UNTIL_THE_END:
        assert told(reply, clean=clean)[0] is (None if clean else Fault.CUT)


@pytest.mark.parametrize(
    ("reply", "fault", "status"),
    [
        (UNFIT[0], Fault.MALFORMED, 200),
        (UNFIT[1], Fault.MALFORMED, 200),
        (UNFIT[2], Fault.MALFORMED, 200),
        (UNFIT[3], Fault.MALFORMED, None),
        (UNFIT[4], Fault.MALFORMED, 101),
        (UNFIT[5], Fault.TOO_LARGE, 200),
        (UNFIT[6], Fault.CUT, 200),
        (UNFIT[7], Fault.CUT, 200),
        (UNFIT[8], Fault.MALFORMED, None),
    ],
)
def test_what_is_wrong_with_an_unfit_reply_is_told(reply: bytes, fault: Fault, status: int | None) -> None:
    """P30."""
    assert told(reply)[:2] == (fault, status)


def variants(reply: bytes) -> list[bytes]:
    """A reply, and what is nearly the same."""
    head, _, body = reply.partition(b"\r\n\r\n")
    return [
        reply,
        reply[:-1],
        reply + b"x",
        reply + reply,
        head + b"\r\n\r\n" + body[::-1],
        head + b"\r\nConnection: close\r\n\r\n" + body,
        reply.replace(b"\r\n", b"\n", 1),
    ]


@pytest.mark.parametrize("first", WHOLE + UNFIT, ids=lambda reply: repr(reply[:60]))
def test_a_head_that_is_known_is_read_as_if_it_were_not(first: bytes) -> None:
    """P3, P30: whatever was read before, and however the next reply is cut."""
    for one in variants(first):
        heads = Heads()
        told(one, heads=heads)
        for second in (reply for each in WHOLE + UNFIT for reply in variants(each)):
            assert told(second, heads=heads) == told(second)
            parts = second[: len(second) // 2], second[len(second) // 2 :]
            assert told(*parts, heads=heads) == told(*parts)


def test_few_heads_are_kept_and_no_long_ones() -> None:
    """P30."""
    heads = Heads()
    for n in range(1000):
        told(http(b"", 200, f"X-Request-Id: {n}"), heads=heads)
    assert len(heads) <= Heads.most

    heads.clear()
    told(http(b"", 200, "X: " + "y" * Heads.longest), heads=heads)
    assert not heads


def test_interim_replies_are_skipped_with_all_they_say() -> None:
    assert told(INTERIM + SUCCESS) == told(SUCCESS)


def test_the_headers_that_somebody_asks_for_are_kept_the_first_of_each_name() -> None:
    fault, status, headers, body, keep = told(HINTS)

    assert (fault, status, body, keep) == (None, 429, b"no", True)
    assert headers == {"Retry-After": "7", "Date": "today", "Location": "https://x/"}


def test_nothing_is_carried_over_to_the_next_reply() -> None:
    reader = ReplyReader(Heads())
    assert reader.feed(memoryview(HINTS))
    reader.begin()
    assert (reader.status, reader.headers, reader.begun) == (None, {}, False)
    assert reader.feed(memoryview(SUCCESS))

    assert (reader.status, reader.headers, reader.body) == (200, {}, BODY)


@pytest.mark.parametrize(
    ("reply", "keep_s"),
    [
        (SUCCESS, KEEPALIVE_S),
        (CHUNKED, KEEPALIVE_S),
        (http(BODY, 200, "Connection: close"), 0),
        (http(BODY, 200, "Keep-Alive: timeout=5, max=100"), 4),
        (http(BODY, 200, "Keep-Alive: max=9, TIMEOUT = 500"), KEEPALIVE_S),
        (http(BODY, 200, "Keep-Alive: timeout=1"), 0),
        (http(BODY, 200, "Keep-Alive: timeout=0"), -1),
        (http(BODY, 200, "Keep-Alive: timeout=soon"), KEEPALIVE_S),
        (SUCCESS.replace(b"HTTP/1.1", b"HTTP/1.0"), 0),
    ],
)
def test_a_connection_is_kept_for_as_long_as_the_gateway_keeps_it(reply: bytes, keep_s: float) -> None:
    reader = ReplyReader(Heads())

    assert reader.feed(memoryview(reply))
    assert (reader.fault, reader.keep_s) == (None, keep_s)


@pytest.mark.parametrize(
    "behind",
    [
        SUCCESS,
        SUCCESS[:1],
        b"x",
        http(b"", 101),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + BODY,
    ],
)
@pytest.mark.parametrize("reply", [SUCCESS, CHUNKED, http(BODY, 200, "Connection: close")])
def test_bytes_behind_a_reply_change_nothing_in_it(reply: bytes, behind: bytes) -> None:
    """P3: F34. The reply is used, the connection is not."""
    fault, status, headers, body, keep = told(reply + behind)

    assert (fault, status, headers, body, keep) == (None, 200, {}, BODY, False)


def endless(start: bytes, more: bytes) -> Callable[[], int]:
    def feed() -> int:
        reader, fed = ReplyReader(Heads()), len(start)
        over = reader.feed(memoryview(start))
        while not over:
            over = reader.feed(memoryview(more))
            fed += len(more)
        assert reader.fault in {Fault.MALFORMED, Fault.TOO_LARGE}
        return fed

    return feed


@pytest.mark.parametrize(
    ("feed", "most"),
    [
        (endless(b"HTTP/1.1 200 ", b"x" * 100), MAX_HEAD + 100),
        (endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 100), MAX_HEAD + 100),
        (endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), 6 * MAX_HEADERS + 100),
        (endless(b"HTTP/1.1 200 OK\r\n", b"X" * 500 + b": y\r\n"), MAX_HEAD + 1000),
        (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), MAX_HEAD + 100),
        (endless(IN_CHUNKS + b"1;", b"x" * 100), MAX_HEAD + 200),
        (
            endless(IN_CHUNKS + b"0\r\nX: ", b"x" * 100),
            MAX_HEAD + 200,
        ),
        (
            endless(IN_CHUNKS, b"1\r\nx\r\n"),
            6 * MAX_BODY + 100,
        ),
        (endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 60_000), MAX_BODY + 60_100),
    ],
)
def test_no_part_of_a_reply_can_go_on_for_ever(feed: Callable[[], int], most: int) -> None:
    """P30: F25, F42."""
    assert feed() <= most


@given(st.binary(max_size=400), cuts(b"x" * 400))
@example(b"HTTP/1.1 200 OK\r\n\r\n{}", [])
def test_no_bytes_are_dangerous(content: bytes, at: list[int]) -> None:
    """P30: never an exception, and bytes that are no HTTP are no reply."""
    fault = told(*(content[a:b] for a, b in zip([0, *at], [*at, len(content)], strict=True)))[0]

    assert fault is not None or content.lstrip(b"\r\n").startswith(b"HTTP/")


@given(
    st.sampled_from(WHOLE + UNFIT),
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4
    ),
)
def test_no_damage_to_a_reply_is_dangerous(reply: bytes, damages: list[tuple[int, int, bytes]]) -> None:
    """P30: whatever is whole has a body within the limit and a final status."""
    for at, length, instead in damages:
        reply = reply[:at] + instead + reply[at + length :]
    fault, status, _, body, _ = told(reply)

    assert fault is not None or (
        isinstance(status, int) and status >= 200 and isinstance(body, bytes) and len(body) <= len(reply)
    )
