"""What one call brought, and how much of a reply is taken: the words that both wires share."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import orjson

from ..model import Fault

MAX_BODY = 1 << 20  #: bytes of a reply's body; a longer one is not read to its end
MAX_HEADERS = 128  #: headers of a reply
KEEPALIVE_S = 15.0  #: an idle connection is closed after this, before most servers close it under our hands
DNS_S = 30  #: a resolved name is asked for again after this
RECYCLE_S = 300.0  #: connections live this long at most, so that a moved gateway is noticed

#: Sent with every call: nobody is to compress a reply, so none has to be unpacked.
OWN_HEADERS = {"User-Agent": "bulk-trigger", "Accept-Encoding": "identity"}
JSON = {"Content-Type": "application/json"}  #: of every body that is sent

TOO_LONG = f"the reply is longer than {MAX_BODY} bytes"
ENDED_EARLY = "the connection ended before the reply was whole"


class Answer(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one call brought: a whole HTTP reply, or the fault that kept it from us."""

    status: int | None = None
    headers: Mapping[str, str] = {}  #: has `Retry-After`, `Date` and `Location` under these very names
    body: bytes = b""
    fault: Fault | None = None
    message: str = ""  #: text of the fault
    bytes_out: int = 0  #: bytes of the request's body that were handed to the transport
    latency_s: float = 0.0

    def __repr__(self) -> str:
        """Without what was said: the token service's answers hold a token."""
        return f"<Answer {self.fault or self.status}, {len(self.body)} bytes>"


def shows_its_end(body: bytes) -> bool:
    """Whether a body that is only framed by the end of its connection is whole all the same.

    A JSON object is: cut anywhere, it is none any more.
    """
    try:
        return isinstance(orjson.loads(body), dict)
    except ValueError:
        return False
