"""Replies that no gateway should give: what stands in them, and what can be proven by it (catalogue 1.3).

A body is made from the request, so that it can claim what the honest reply to it would say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
import gzip
import json
from typing import Any
import zlib

from proxy import Exchange, Request, Toxic
from scripted import http
from toxics import closing, endless, instead

MIB = 1 << 20
PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Please log in.</body></html>"
HTML = "Content-Type: text/html"

Body = Callable[[Request], bytes]


def instance_id(request: Request, *, flow_id: int | None = None) -> str:
    """The ID that the job's instance gets."""
    assert request.job is not None
    minute = datetime.fromtimestamp(request.job[1] // 1000, UTC)
    return f"{flow_id or request.job[0]}-{minute:%Y%m%d%H%M}00"


def success(request: Request) -> bytes:
    """The body of the honest reply."""
    data = {"flowInstanceId": instance_id(request)}
    return json.dumps({"status": 0, "msg": " Success", "data": data}, separators=(",", ":")).encode()


def with_id(given: Callable[[Request], Any]) -> Body:
    """A success with that instance ID."""
    return lambda request: json.dumps({"status": 0, "data": {"flowInstanceId": given(request)}}).encode()


def said(body: bytes | Body, *headers: str, status: int = 200) -> Callable[[bool], Toxic]:
    """A toxic that says this body instead of the honest reply."""

    def reply(exchange: Exchange) -> bytes:
        return http(body if isinstance(body, bytes) else body(exchange.request), status, *headers)

    return lambda applied: instead(reply, applied=applied)


def swapped(old: bytes, new: bytes) -> Body:
    """A success in which one thing is another."""

    def body(request: Request) -> bytes:
        honest = success(request)
        assert old in honest
        return honest.replace(old, new, 1)

    return body


def beside(extra: bytes) -> Body:
    """A success that has one more member."""
    return swapped(b'"msg"', b'"extra":' + extra + b',"msg"')


#: Whole replies with status 200 that prove nothing: they look like successes, or like nothing at all.
DOUBTFUL: Mapping[str, bytes | Body] = {
    "F37 an empty body": b"",
    "F37 null": b"null",
    "F37 an empty list": b"[]",
    "F37 a string": b'"ok"',
    "F37 an empty object": b"{}",
    "F38 the code as a string": swapped(b":0", b':"0"'),
    "F38 the code as 0.0": swapped(b":0", b":0.0"),
    "F38 the code as -0": swapped(b":0", b":-0"),
    "F38 the code as 0e0": swapped(b":0", b":0e0"),
    "F38 the code as false": swapped(b":0", b":false"),
    "F38 the code as true": swapped(b":0", b":true"),
    "F38 the code as null": swapped(b":0", b":null"),
    "F38 no code": swapped(b'"status":0,', b""),
    "F38 the code of the other API version": swapped(b'"status"', b'"code"'),
    "F38 two codes that contradict each other": swapped(b'"status":0', b'"status":0,"code":62109'),
    "F38 code 62104 for one, 0 for the other": swapped(b'"status":0', b'"status":62104,"code":"0"'),
    "F41 NaN": beside(b"NaN"),
    "F41 Infinity": beside(b"-Infinity"),
    "F41 1e400": beside(b"1e400"),
    "F41 a code twice": swapped(b'"status":0', b'"status":62109,"status":0'),
    "F41 a code twice, once in disguise": swapped(b'"status":0', b'"st\\u0061tus":62109,"status":0'),
    "F41 data twice": swapped(b'"data"', b'"data":{},"data"'),
    "F41 100,000 lists deep": beside(b"[" * 100_000 + b"]" * 100_000),
    "F41 100,000 lists, never closed": b"[" * 100_000,
    "F41 100,000 objects deep": beside(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "F41 an integer of 5,000 digits": beside(b"9" * 5000),
    "F41 a code of 5,000 digits": swapped(b":0", b":" + b"9" * 5000),
    "F41 a lone surrogate": beside(b'"\\ud800"'),
    "F41 a byte order mark": lambda request: b"\xef\xbb\xbf" + success(request),
    "F41 bytes behind the object": lambda request: success(request) + b"x",
    "F41 two objects": lambda request: success(request) * 2,
    "F41 a comment": lambda request: b"/* */" + success(request),
    "F41 a trailing comma": swapped(b"}}", b"},}"),
    "F44 UTF-16": lambda request: success(request).decode().encode("utf-16"),
    "F44 Latin-1": beside('"Erfolg für Café"'.encode("latin-1")),
    "F44 a NUL byte in a string": beside(b'"\0"'),
    "F44 overlong UTF-8": beside(b'"\xc0\xaf"'),
}

#: Successes under an instance ID that cannot be the job's.
ANOMALOUS: Mapping[str, Body] = {
    "F39 no instance ID": swapped(b'"flowInstanceId"', b'"other"'),
    "F39 no data": swapped(b'"data"', b'"date"'),
    "F39 an empty instance ID": with_id(lambda _: ""),
    "F39 a number for an instance ID": with_id(lambda request: int(instance_id(request).replace("-", ""))),
    "F39 a list for an instance ID": with_id(lambda request: [instance_id(request)]),
    "F39 an instance ID of a megabyte": with_id(lambda request: instance_id(request) + "0" * 1_000_000),
    "F39 control characters in the instance ID": with_id(
        lambda request: instance_id(request) + "\x1b[2J\r\n"
    ),
    "F39 a formula for an instance ID": with_id(lambda _: '=cmd|" /C calc"!A0'),
    "F39 a formula behind the flow": with_id(lambda request: f"{instance_id(request)}=cmd()"),
    "F39 foreign digits in the instance ID": with_id(
        lambda request: f"{instance_id(request)[:-1]}\N{ARABIC-INDIC DIGIT ZERO}"
    ),
    "F39 an instance ID of another minute": with_id(lambda request: instance_id(request)[:-3] + "700"),
    "F40 the instance ID of another flow": with_id(lambda request: instance_id(request, flow_id=3377)),
    "F40 the same instance ID for all": with_id(lambda _: "3377-20240101000000"),
    "F40 the instance ID of a longer flow": with_id(lambda request: "3" + instance_id(request)),
}


def _zstd_bomb(mib: int) -> bytes:
    """A frame of blocks that each say "this byte, 128 KiB of it"."""
    more, last = ((end | 1 << 1 | 128 * 1024 << 3).to_bytes(3, "little") + b" " for end in (0, 1))
    return b"\x28\xb5\x2f\xfd\x00\x58" + more * (mib * 8 - 1) + last


#: 64 MiB of one byte, brotli's best.
_BROTLI_BOMB = bytes.fromhex(
    "cfffff7ff82560e2b14020f7fe9ffffffff04b00c4610180eefd3fffffffe1970088c32200ddfb7ffeffffc32f0110870500baf7ff03"
)
_SPACES = b" " * (64 * MIB)

#: What encoding they name, and their bytes: little things that want to be big.
BOMBS: Mapping[str, tuple[str, bytes]] = {
    "F43 a bomb of gzip": ("gzip", gzip.compress(_SPACES, mtime=0)),
    "F43 a bomb of gzip in gzip": ("gzip, gzip", gzip.compress(gzip.compress(_SPACES, mtime=0), mtime=0)),
    "F43 a bomb of deflate": ("deflate", zlib.compress(_SPACES)),
    "F43 a bomb of brotli": ("br", _BROTLI_BOMB),
    "F43 a bomb of zstd": ("zstd", _zstd_bomb(64)),
}

#: Honest successes, encoded though nobody asked for it.
ENCODED: Mapping[str, tuple[str, Callable[[bytes], bytes]]] = {
    "F43 gzip": ("gzip", gzip.compress),
    "F43 x-gzip": ("x-gzip", gzip.compress),
    "F43 deflate": ("deflate", zlib.compress),
    "F43 gzip that is none": ("gzip", lambda body: body),
    "F43 an encoding that nobody knows": ("x-magic", lambda body: body),
}

#: What is no whole HTTP reply at all; the connection ends behind it.
BROKEN: Mapping[str, bytes] = {
    "F25 a header of 40 KB": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
    "F25 a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    "F25 a status line of 40 KB": b"HTTP/1.1 200 " + b"x" * 40_000 + b"\r\n\r\n",
    "F32 a frame of HTTP/2: GOAWAY": b"\0\0\x08\x07\0\0\0\0\0" + b"\0" * 8,
    "F32 a frame of HTTP/2: RST_STREAM, refused": b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07",
    "F35 another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "F35 a status in words": b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    "F35 a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "F35 a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "F35 two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "F35 a length and chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "F35 a broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n",
    "F35 a header without a colon": b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    "F42 a gigabyte, announced": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n{",
}

_CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
_OK = b"HTTP/1.1 200 OK\r\n"

#: What goes on for as long as anybody listens: how it begins, and what is said again and again.
ENDLESS: Mapping[str, tuple[bytes, bytes]] = {
    "F25 headers without end": (_OK, b"X-Header: " + b"x" * 1000 + b"\r\n"),
    "F25 one header without end": (_OK + b"X: ", b"x" * 4096),
    "F25 a status line without end": (b"HTTP/1.1 200 ", b"x" * 4096),
    "F42 chunks without end": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", _CHUNK),
    "F42 a body without end": (_OK + b"\r\n", b"x" * 65536),
    "F42 a body as long as announced, a gigabyte": (
        _OK + b"Content-Length: 1000000000\r\n\r\n",
        b"x" * 65536,
    ),
    "F42 chunks of one byte without end": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 4096),
}

#: The same, of what aiohttp reads without counting: there the time of the attempt is the only end.
BABBLE: Mapping[str, tuple[bytes, bytes]] = {
    "F25 1xx without end": (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 512),
    "F42 an extension of a chunk without end": (_OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 16384),
    "F42 trailers without end": (
        _OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        b"X-Trailer: " + b"x" * 16000 + b"\r\n",
    ),
}


def bomb(name: str) -> Callable[[bool], Toxic]:
    encoding, data = BOMBS[name]
    return said(data, f"Content-Encoding: {encoding}")


def encoded(name: str) -> Callable[[bool], Toxic]:
    encoding, encode = ENCODED[name]
    return said(lambda request: encode(success(request)), f"Content-Encoding: {encoding}")


def broken(name: str) -> Callable[[bool], Toxic]:
    return lambda applied: closing(BROKEN[name], applied=applied)


def without_end(name: str) -> Callable[[bool], Toxic]:
    start, chunk = ENDLESS[name]
    return lambda applied: endless(start, chunk, applied=applied)


def babbling(name: str) -> Callable[[bool], Toxic]:
    start, chunk = BABBLE[name]
    return lambda applied: endless(start, chunk, pause_s=0.1, applied=applied)


def for_any_call(applied: bool) -> dict[str, Toxic]:
    """What can be said to any call, for it depends on none."""
    plain = {name: said(body) for name, body in DOUBTFUL.items() if isinstance(body, bytes)}
    makers = {
        "F36 a page to log in": said(PAGE, HTML),
        **plain,
        **{name: bomb(name) for name in BOMBS},
        **{name: broken(name) for name in BROKEN},
        **{name: without_end(name) for name in ENDLESS},
        **{name: babbling(name) for name in BABBLE},
    }
    return {name: make(applied) for name, make in makers.items()}
