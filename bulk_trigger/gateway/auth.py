"""Who we are to the gateway: the signature of a call, and the access token (contract section 3).

Rule 1: values are signed decoded, names in ASCII order, and the body as the very bytes that are sent.
Rule 2: no secret is part of any repr, so it cannot slip into a log or a traceback.
Rule 3: this file never waits, reads a clock or does I/O; callers pass the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

RENEW_S = 600.0  #: a token is renewed when this much of its life is left (contract 3.1)
USUAL_LIFETIME_S = 600.0  #: assumed where the service does not say; short, so that we soon ask again
MAX_LIFETIME_S = 30 * 86400.0
MIN_PAUSE_S = 1.0  #: between two fetches of a token that is about to end
RETRY_S = 30.0  #: between attempts to renew a token that still lives
JUST_NOW_MS = 1000


@dataclass(frozen=True, slots=True)
class Credentials:
    """The application's access key and secret key."""

    app_key: str = field(repr=False)
    app_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. Times are on the monotonic clock, in seconds."""

    value: str = field(repr=False)
    serial: int  #: 1, 2, 3 ...: which token a call was signed with
    renew_at: float
    expires_at: float


class Signer:
    """Signs calls that share their query parameters; what does not change is prepared once."""

    def __init__(self, params: Mapping[str, str], secret: str) -> None:
        self._params = "".join(name + params[name] for name in sorted(params))
        self._secret = secret.encode()

    def sign(self, token: str, body: bytes, timestamp: str) -> str:
        """The signature, in lower-case hex. `timestamp` is the text of the header: epoch milliseconds."""
        return self.finish(self.begin(token), body, timestamp.encode())

    def begin(self, token: str) -> bytes:
        """What is signed of all calls with a token."""
        return (token + self._params).encode()

    def finish(self, begun: bytes, body: bytes, timestamp: bytes) -> str:
        """The same signature, from what `begin` gave."""
        return sha256(b"%b%b%b%b" % (begun, body, timestamp, self._secret)).hexdigest()


def sign(token: str, params: Mapping[str, str], body: bytes, timestamp_ms: int, secret: str) -> str:
    """The signature of one call, in lower-case hex."""
    return Signer(params, secret).sign(token, body, str(timestamp_ms))


def encryption(app_key: str, timestamp_ms: int, secret: str) -> str:
    """The proof that a token request carries instead of a signature, in lower-case hex."""
    return sha256(f"{app_key}{timestamp_ms}{secret}".encode()).hexdigest()


class Tokens:
    """The one access token in use: when to ask for another, how to ask, and which one was refused."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._asked_ms = 0
        self._serial = 0
        self.current: Token | None = None

    def __repr__(self) -> str:
        return f"<Tokens {self.current}>"

    def usable(self, now: float) -> bool:
        """Whether calls can be signed, and no renewal is due."""
        return self.current is not None and now < self.current.renew_at

    def ask(self, wall_ms: int) -> bytes:
        """The body of a request for a token.

        Each has a timestamp of its own: the service refuses a repeated `encryption` (1001).
        """
        just_now = 0 <= self._asked_ms - wall_ms < JUST_NOW_MS  # else the clock was set back
        self._asked_ms = timestamp_ms = self._asked_ms + 1 if just_now else wall_ms
        key, secret = self._credentials.app_key, self._credentials.app_secret
        proof = encryption(key, timestamp_ms, secret)
        return orjson.dumps({"appKey": key, "encryption": proof, "timestamp": timestamp_ms})

    def accept(self, data: Any, now: float) -> bool:
        """Use the token of a reply's data; False if there is none that could be sent in a header.

        Asking again while a token lives gives the same token with what is left of its life. So near its
        end the pauses between renewals get shorter by halves, and `MIN_PAUSE_S` keeps them from vanishing.
        """
        value = data.get("accessToken") if isinstance(data, dict) else None
        if not isinstance(value, str) or not _fits_header(value):
            return False
        lifetime_s = _lifetime_s(data.get("expire"))
        self._serial += 1
        self.current = Token(
            value=value,
            serial=self._serial,
            renew_at=now + max(MIN_PAUSE_S, lifetime_s / 2, lifetime_s - RENEW_S),
            expires_at=now + lifetime_s,
        )
        return True

    def postpone(self, now: float) -> None:
        """Go on with a token that still lives although its renewal failed, and try again a little later."""
        if (token := self.current) and now < token.expires_at:
            later = now + min(RETRY_S, max(MIN_PAUSE_S, (token.expires_at - now) / 2))
            self.current = Token(token.value, token.serial, later, token.expires_at)

    def refuse(self, serial: int) -> None:
        """Forget the token with that serial number, unless it has been replaced already."""
        if self.current and self.current.serial == serial:
            self.current = None


def _fits_header(value: str) -> bool:
    return 0 < len(value) <= 4096 and value.isascii() and value.isprintable() and " " not in value


def _lifetime_s(expire: Any) -> float:
    """The lifetime that the service states, in seconds; the usual one where it makes no sense."""
    if isinstance(expire, str) and expire.isascii() and expire.isdigit() and len(expire) < 10:
        expire = int(expire)
    if isinstance(expire, bool) or not isinstance(expire, (int, float)) or expire < 0:
        return USUAL_LIFETIME_S
    return min(float(expire), MAX_LIFETIME_S)
