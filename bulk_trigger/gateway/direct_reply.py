"""Reads the replies that come over one connection, one after the other. No I/O: bytes in, a reply out.

Rule 1: a reply is whole when its own framing says so. Framed only by the end of the connection, it has to
        show its end itself; else it counts as cut.
Rule 2: what was not asked for is refused: an encoding, another protocol, a reply beyond the limits.
Rule 3: bytes behind the reply belong to nobody. The reply is good, and the connection is not used again.
Rule 4: after a fault nothing more may be fed: the connection is given up.
Rule 5: a head that was read once need not be read again. What comes in one piece, begins with the very bytes
        of a known head, and has just as much behind it as that head announces, is the reply that the parser
        would make of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import httptools

from ..model import Fault
from .answer import ENDED_EARLY, KEEPALIVE_S, MAX_BODY, MAX_HEADERS, TOO_LONG, shows_its_end

MAX_HEAD = 32 * 1024  #: bytes without any of a body: status lines, headers, and what lies between chunks

_KEPT = {b"retry-after": "Retry-After", b"date": "Date", b"location": "Location"}
_BODILESS = frozenset({204, 304})
_SECONDS = re.compile(rb"timeout\s*=\s*([0-9]{1,6})(?![0-9])", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class Head(NamedTuple):
    """What a head says that was read to its end."""

    size: int  #: of the body
    status: int
    headers: dict[str, str]  #: see `Answer.headers`
    keep_s: float


class Heads(dict[bytes, Head]):
    """The heads that came lately, by their bytes. All connections to one origin share them."""

    most = 64
    longest = 4096  #: bytes

    def keep(self, data: bytes, head: Head) -> None:
        """Remember the head of a reply that came as `data`, unless there was more in it than the reply."""
        start = data.find(_HEAD_END) + len(_HEAD_END)
        if len(data) == start + head.size and start <= self.longest:
            if len(self) >= self.most:
                self.clear()
            self[data[:start]] = head


class ReplyReader:
    """The reply to one call at a time: `begin`, then `feed` until it says that all is told, or `end`."""

    __slots__ = (
        "_announced",
        "_chunked",
        "_content",
        "_encoding",
        "_head_size",
        "_headers_seen",
        "_heads",
        "_in_head",
        "_parser",
        "_patience_s",
        "_spare",
        "begun",
        "fault",
        "headers",
        "keep_s",
        "message",
        "status",
        "whole",
    )

    status: int | None  #: as soon as the headers are whole
    headers: dict[str, str]  #: those that anybody asks for, see `Answer.headers`
    fault: Fault | None
    message: str  #: text of the fault
    _announced: int | None  # length of the body
    _content: bytearray | bytes  # what has come of it; however small its parts, it takes no more than they do

    def __init__(self, heads: Heads) -> None:
        self._heads = heads
        self._parser = httptools.HttpResponseParser(self)
        self._clear()
        self._spare = 0  # bytes since there was something of a body
        self.begin()

    def begin(self) -> None:
        """Expect the reply to a new request."""
        self.whole = False
        self.begun = False  #: whether a byte has come
        self.keep_s = 0.0  #: seconds for which the connection may be kept for another call
        self.fault, self.message = None, ""
        self.status, self.headers, self._spare = None, {}, 0

    @property
    def body(self) -> bytes:
        """The body of a whole reply."""
        return bytes(self._content)

    def feed(self, data: memoryview) -> bool:
        """Take what has come. True when all is told: the reply is whole, or it has a fault."""
        if self.begun:
            return self._parse(data)
        self.begun = True
        piece = bytes(data)
        start = piece.find(_HEAD_END) + len(_HEAD_END)
        head = self._heads.get(piece[:start])
        if head is None or len(piece) != start + head.size:
            return self._learn(piece)
        _, self.status, self.headers, self.keep_s = head
        self._content = piece[start:]
        self.whole = True
        return True

    def _learn(self, data: bytes) -> bool:
        """Take the first piece of a reply, and remember its head if that was all of the reply."""
        told = self._parse(data)
        if self.whole and self.keep_s > 0 and self._announced is not None and not self._chunked:
            self._heads.keep(data, Head(self._announced, self.status or 0, self.headers, self.keep_s))
        return told

    def _parse(self, data: bytes | memoryview) -> bool:
        self._spare += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keep_s = 0.0
            self.refuse(Fault.MALFORMED, f"the reply is not HTTP as it was asked for: {error}")
        if self._spare > MAX_HEAD:
            self.refuse(Fault.MALFORMED, f"the reply's headers are longer than {MAX_HEAD} bytes")
        return self.whole or self.fault is not None

    def end(self, *, clean: bool) -> None:
        """Take note that the connection ended (`clean`: without an error) before all was told."""
        if self.status is not None and self._until_end and clean and shows_its_end(self.body):
            self.whole = True
        else:
            self.refuse(Fault.CUT, ENDED_EARLY)

    def refuse(self, fault: Fault, message: str) -> None:
        """Note a fault. The first one counts, and a whole reply has none any more."""
        if self.fault is None and not self.whole:
            self.fault, self.message = fault, message

    # --- called by the parser, within `feed`

    def on_message_begin(self) -> None:
        """Another message: after our reply it is nobody's; before it, all others were of status 1xx."""
        if self.whole:
            self.keep_s = 0.0
        else:
            self._clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody asked for."""
        self._headers_seen += 1
        self._head_size += len(name) + len(value)
        if self._headers_seen > MAX_HEADERS or self._head_size > MAX_HEAD:
            self.refuse(Fault.MALFORMED, "the reply has too many headers, or too long ones")
        if not self._in_head:
            return
        key = name.lower()
        if key in _KEPT:
            self.headers.setdefault(_KEPT[key], value.decode("latin-1"))
        elif key == b"content-length":
            self._announced = int(value)
        elif key == b"transfer-encoding":
            self._chunked = True
            self._note_encoding(value, b"chunked")
        elif key == b"content-encoding":
            self._note_encoding(value, b"identity")
        elif key == b"keep-alive" and (seconds := _SECONDS.search(value)):
            self._patience_s = min(KEEPALIVE_S, int(seconds[1]) - 1.0)

    def on_headers_complete(self) -> None:
        """The end of the headers, unless they stand behind our reply."""
        if self.whole:
            return
        self._in_head = False
        self.status = self._parser.get_status_code()
        if self.status == 101:
            self.refuse(Fault.MALFORMED, "the gateway switches protocols, which was not asked for")
        if self._encoding:
            text = f"the reply is encoded ({self._encoding}), which was not asked for"
            self.refuse(Fault.MALFORMED, text)
        if (self._announced or 0) > MAX_BODY:
            self.refuse(Fault.TOO_LARGE, TOO_LONG)

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        if self.whole:
            return
        self._spare = 0
        if len(self._content) + len(part) > MAX_BODY:
            self.refuse(Fault.TOO_LARGE, TOO_LONG)
        else:
            self._content += part

    def on_message_complete(self) -> None:
        """The end of a message: of our reply, if its status is a final one."""
        if self.whole or self.fault is not None or (self.status or 0) < 200:
            return
        self.whole = True
        if self._parser.should_keep_alive():
            self.keep_s = self._patience_s

    # ---

    @property
    def _until_end(self) -> bool:
        """Whether the body has no other frame than the end of the connection."""
        return self._announced is None and not self._chunked and self.status not in _BODILESS

    def _clear(self) -> None:
        """Forget what was read of a message."""
        self.status = None
        self.headers = {}
        self._in_head = True
        self._headers_seen = self._head_size = 0
        self._announced = None
        self._chunked = False
        self._encoding = ""  # the one that was not asked for
        self._patience_s = KEEPALIVE_S  # for which the gateway keeps an idle connection
        self._content = bytearray()

    def _note_encoding(self, value: bytes, allowed: bytes) -> None:
        if value.strip().lower() != allowed:
            self._encoding = value.decode("latin-1")
