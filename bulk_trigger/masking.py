"""Secrets in a text, in every form in which they may have slipped in: plain, percent-encoded, base64 or hex.

Pure. Whoever shows a text asks for the secrets of his own to be blackened in it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
import re
from urllib.parse import quote

BLACK = "***"
_SHORTEST = 6  #: of an encoded form; shorter ones turn up in harmless text


def mask_of(secrets: Iterable[str]) -> re.Pattern[str]:
    """Finds the secrets in a text, the longest form first. Without any secret it finds nothing."""
    found = {form for secret in secrets if secret for form in (secret, *_encoded(secret))}
    text = "|".join(re.escape(form) for form in sorted(found, key=len, reverse=True))
    return re.compile(text or "(?!)", re.IGNORECASE)


def _encoded(secret: str) -> Iterator[str]:
    raw = secret.encode()
    forms = [quote(secret, safe=""), raw.hex(), *base64_forms(raw)]
    return (form for form in forms if len(form) >= _SHORTEST)


def base64_forms(raw: bytes) -> Iterator[str]:
    """What base64 makes of these bytes, whatever stands before and after them.

    Three bytes become four characters, so there are three ways to be cut. Characters at the edges that depend
    on the neighbours are left out. The alphabet for URLs has its own two signs.
    """
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        first, last = (0, 2, 3)[before], (before + len(raw)) * 8 // 6
        yield whole[first:last]
        yield whole[first:last].translate(_FOR_URLS)


_FOR_URLS = str.maketrans("+/", "-_")
