"""Who may call: the token service, and the signature of every other call."""

from collections.abc import Mapping
import hashlib

import orjson

from .calls import Call
from .chance import dice
from .replies import Reply, failure, refusal
from .scenario import Scenario

APP_KEY = "sandbox-app-key"
APP_SECRET = "sandbox-app-secret"  # noqa: S105 - known to everybody, and good for nothing
TOKEN_PREFIX = "sandbox-token-"  # noqa: S105 - so that one is recognised wherever it turns up
USER_ID = "sandbox-user"
ORG_ID = "sandbox-org"

_UNAUTHORIZED = "Invalid authentication credentials"


def encryption(app_key: str, timestamp: str, app_secret: str) -> str:
    """Return the proof that a token request carries."""
    return _sha256(app_key + timestamp + app_secret)


def signature(token: str, params: str, body: bytes, timestamp: str, app_secret: str) -> str:
    """Return the signature of a call; *params* as `read_query` has them, *body* as it was sent."""
    digest = hashlib.sha256(f"{token}{params}".encode())
    digest.update(body)
    digest.update(f"{timestamp}{app_secret}".encode())
    return digest.hexdigest()


class Tokens:
    """The tokens given out so far. One application has one living token at a time."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._ends: dict[str, float] = {}  # token -> when it expires; the last one is the current one
        self._proofs: set[str] = set()

    def serve(self, call: Call, scenario: Scenario, now: float) -> Reply:
        """Answer the token service's `get` and `refresh`."""
        proof, timestamp = call.data.get("encryption"), str(call.data.get("timestamp") or "")
        if not (proof and timestamp and call.data.get("appKey")):
            return failure("v2.0", 1202, "A parameter is empty")
        if call.data["appKey"] != APP_KEY:
            return failure("v2.0", 1002, "appKey does not exist")
        stale = not _is_fresh(timestamp, now, scenario.timestamp_tolerance_s)
        if stale or proof != encryption(APP_KEY, timestamp, APP_SECRET):
            return failure("v2.0", 1003, "encryption is invalid")
        if proof in self._proofs:
            return failure("v2.0", 1001, "Repeated request")
        self._proofs.add(proof)
        if call.action == "refresh" and call.data.get("accessToken") not in self._ends:
            return failure("v2.0", 1204, "Refresh failed")
        token = self._current(scenario, now, renew=call.action == "refresh")
        data = {"accessToken": token, "expire": int(self._ends[token] - now)}
        text = {"status": 0, "msg": "SUCCESS", "business": "apim-token-service", "data": data}
        return Reply(body=orjson.dumps(text), code=0)

    def refuse(self, call: Call, headers: Mapping[str, str], scenario: Scenario, now: float) -> Reply | None:
        """Say why a call may not pass: its token, its timestamp or its signature is no good."""
        token = headers.get("apim-accesstoken", "")
        timestamp = headers.get("apim-timestamp", "")
        ends = self._ends.get(token)
        if ends is None or not _is_fresh(timestamp, now, scenario.timestamp_tolerance_s):
            return refusal(401, _UNAUTHORIZED)
        expected = signature(token, call.signed, call.body, timestamp, APP_SECRET)
        if headers.get("apim-signature") != expected:
            return refusal(401, _UNAUTHORIZED)
        if now < ends:
            return None
        if scenario.expired_token == "401":  # noqa: S105 - a status
            return refusal(401, _UNAUTHORIZED)
        return failure(call.version, 1203, "access token expired")

    def _current(self, scenario: Scenario, now: float, *, renew: bool) -> str:
        if self._ends and not renew:
            token, ends = next(reversed(self._ends.items()))
            if now < ends:
                return token
        token = f"{TOKEN_PREFIX}{int(dice(self._seed, 'token', len(self._ends), now) * 2**52):013x}"
        self._ends[token] = now + scenario.token_lifetime_s
        return token


def _is_fresh(timestamp: str, now: float, tolerance_s: float) -> bool:
    return timestamp.isascii() and timestamp.isdigit() and abs(int(timestamp) / 1000 - now) <= tolerance_s


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
