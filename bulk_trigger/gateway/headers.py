"""What the headers of a reply say, each read on its own: Retry-After, Date, Location.

All of them are hints from outside. Whatever cannot be read is None, never an error.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
import re
from urllib.parse import urlsplit

LONGEST_S = 1e9  #: a longer wait says nothing more

_SECONDS = re.compile(r"[0-9]{1,40}")
_HOST = re.compile(r"[0-9A-Za-z._:%-]{1,255}")


def retry_after(text: str | None, wall: float) -> float | None:
    """Seconds to wait, from `Retry-After` in either form; `wall` is the time now, in epoch seconds."""
    if text is None:
        return None
    if _SECONDS.fullmatch(digits := text.strip()):
        return min(float(digits), LONGEST_S)
    if (then := http_date(text)) is None:
        return None
    return min(max(then - wall, 0.0), LONGEST_S)


def http_date(text: str | None) -> float | None:
    """Epoch seconds of an HTTP date."""
    if text is None or len(text) > 64:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def target_host(location: str | None, own_host: str) -> str | None:
    """The host that a redirect points to: all of it that may be shown, for a path can hold secrets."""
    if location is None:
        return None
    try:
        host = urlsplit(location).hostname
    except ValueError:
        return "?"
    if host is None:
        return own_host
    return host if _HOST.fullmatch(host) else "?"
