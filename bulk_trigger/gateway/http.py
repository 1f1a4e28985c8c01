"""The EnOS API gateway: its endpoints, signed calls, and their replies (contract sections 1, 3 and 5).

Rule 1: one method call is one call on the wire. Nothing here waits for another try.
Rule 2: what is signed is what is sent: a body is made into bytes once.
Rule 3: no text leaves this file before the secrets in it are masked.
Rule 4: triggers take the direct wire, for there are many of them, and their replies come to a callback: a
        task or a future for each would cost more than the send. With a proxy all calls take aiohttp's wire.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
import ssl
from urllib.parse import urlsplit

import msgspec
import orjson

from ..errors import SettingsError
from ..masking import BLACK, mask_of
from ..model import Job, Reply
from ..ports import Answered, Clock, InstanceQuery, SystemClock
from ..settings import Settings, check_gateway
from .answer import Answer
from .auth import Credentials, Signer, Token, Tokens
from .direct import DirectWire, header_lines
from .envelope import SUCCESS_KEY, Envelope, Successes, parse
from .headers import http_date, retry_after, target_host
from .wire import Wire, address

SERVICE = {"v2.0": "/dataflow-batch-service/v2.0", "v2.1": "/batch-processing-service/v2.1"}
TOKEN_SERVICE = "/apim-token-service/v2.0/token/get"  # noqa: S105 - a path
TOKEN_EXPIRED = 1203  #: service code
TOKEN_SUCCESS_KEY = SUCCESS_KEY["v2.0"]  #: in every API version
CLOCK_TOLERANCE_S = 30.0  #: a difference to the gateway's clock that could be the reason for a refusal
MESSAGE_LENGTH = 300
RECENT_TOKENS = 8  #: that are masked: a late reply may repeat one that was replaced

_UNAUTHORISED = 401
_TIMESTAMP_REFUSED = 497  #: legacy service code: timestamp or signature check failed

_WITHOUT_TOKEN = Reply(code=TOKEN_EXPIRED, message="the access token was refused meanwhile; nothing was sent")


class _Endpoint(msgspec.Struct, frozen=True):
    """A call with all that is the same each time."""

    signer: Signer
    send: Callable[[bytes, Mapping[str, str]], Awaitable[Answer]]


class HttpGateway:
    """Implements `ports.Gateway` over HTTP. To be used and closed on one event loop."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        *,
        clock: Clock | None = None,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`settings.gateway` has to be an address: `SettingsError` if credentials must not be sent there.

        `tls` stands in for the system's trusted certificates. Verification is never switched off.
        """
        check_gateway(settings.gateway)
        if tls is not None and not (tls.verify_mode is ssl.CERT_REQUIRED and tls.check_hostname):
            raise SettingsError("the TLS context does not verify the gateway; credentials need one that does")
        self._clock = clock or SystemClock()
        times = {"timeout_s": settings.timeout_s, "connect_timeout_s": settings.connect_timeout_s}
        self._wire = Wire(**times, clock=self._clock, tls=tls, proxy=proxy)
        self._origin = settings.gateway
        self._host = urlsplit(settings.gateway).hostname or ""
        self._service = SERVICE[settings.api]
        self._success_key = SUCCESS_KEY[settings.api]
        self._ids = {"orgId": settings.org_id, "userId": settings.user_id}
        self._secret = credentials.app_secret
        self._secrets = [credentials.app_secret, credentials.app_key, *_password(proxy)]
        self._recent: deque[str] = deque(maxlen=RECENT_TOKENS)
        self._tokens = Tokens(credentials)
        self._mask = mask_of(self._secrets)
        self._prepared = (0, b"", b"")  # a token's serial number, its line in a head, what is signed of it
        self._successes = Successes(self._success_key)
        self._seen = ("", "")  # the text that came last, and as it may be shown
        self._tasks: set[asyncio.Task[Answer]] = set()  # triggers over aiohttp
        self._preparing = asyncio.Lock()
        self._ahead_s = 0.0  # how far the gateway's clock is ahead of ours, as far as it matters
        try:
            self._host.encode("idna")
            self._token_url = address(self._origin, TOKEN_SERVICE, {})
        except ValueError as error:
            raise SettingsError(f"--gateway {self._origin!r} is not an address: {error}") from None
        params = {"action": "trigger", **self._ids}
        self._trigger = self._endpoint("POST", "/flows", params)
        self._direct: DirectWire | None = None
        if proxy is None:
            url = address(self._origin, self._service + "/flows", params)
            self._direct = DirectWire(url, **times, clock=self._clock, tls=tls)
        self._search = self._endpoint("POST", "/flowInstances", {"action": "search", **self._ids})
        self._cancel = self._endpoint("POST", "/flowInstances", {"action": "cancel", **self._ids})
        self._time = self._endpoint("GET", "/time", {"action": "getCurrentTime"})

    def __repr__(self) -> str:
        return f"<HttpGateway {self._origin} {self._tokens}>"

    @property
    def ready(self) -> bool:
        """Whether there is a token, and its renewal is not due."""
        return self._tokens.usable(self._clock.monotonic())

    async def prepare(self) -> Reply:
        """Fetch an access token. The reply says how that went; the token itself is not in it."""
        async with self._preparing:
            if self.ready:
                return Reply(status=200, code=0, success=True, message="the access token is still good")
            body = self._tokens.ask(self._now_ms())
            answer = await self._wire.send("POST", self._token_url, body, {})
            now = self._clock.monotonic()
            envelope = parse(answer.body, TOKEN_SUCCESS_KEY)
            success = envelope.success and answer.status == 200 and self._tokens.accept(envelope.data, now)
            if success and (token := self._tokens.current):
                self._recent.append(token.value)
                self._mask = mask_of([*self._secrets, *self._recent])
                self._seen = ("", "")
            else:
                self._tokens.postpone(now)
                self._compare_clocks(answer)
            if envelope.code is None and answer.status == 200:  # its text may hold a token unknown to us
                envelope = Envelope(message="what the token service says makes no sense")
            return self._reply(answer, msgspec.structs.replace(envelope, success=success, data=None), 0)

    def refuse_token(self, token: int) -> None:
        """Forget the token with that serial number."""
        self._tokens.refuse(token)

    def trigger(self, job: Job, answered: Answered) -> None:
        """Start the job's flow; `answered` is told, later, what came of it."""
        body = b'{"flowId":%d,"triggerTime":%d}' % (job.flow_id, job.trigger_time_ms)
        token = self._tokens.current
        if token is None:  # refused between the caller's look at `ready` and now
            asyncio.get_running_loop().call_soon(answered, _WITHOUT_TOKEN)
        elif self._direct is not None:
            told = partial(self._answered, answered, token.serial)
            self._direct.send(body, self._head(token, body), told)
        else:
            call = asyncio.ensure_future(self._send(self._trigger, token, body))
            self._tasks.add(call)
            call.add_done_callback(partial(self._called, answered, token.serial))

    async def get_instance(self, instance_id: str) -> Reply:
        """Ask for one instance by its ID."""
        params = {"action": "get", "flowInstId": instance_id, **self._ids}
        return await self._call(self._endpoint("GET", "/flowInstances", params))

    async def list_instances(self, query: InstanceQuery) -> Reply:
        """Ask for one page of a list of instances; of every owner."""
        body = {
            "type": query.type,
            "expression": query.expression,
            "owner": "",
            "fromTriggerTime": query.from_ms,
            "toTriggerTime": query.to_ms,
            "status": query.status,
            "pagination": {"pageNo": query.page, "pageSize": query.page_size},
        }
        return await self._call(self._search, orjson.dumps(body))

    async def cancel_instance(self, instance_id: str) -> Reply:
        """Cancel one instance by its ID."""
        return await self._call(self._cancel, orjson.dumps({"flowInstId": instance_id}))

    async def get_flow(self, flow_id: int) -> Reply:
        """Ask what is known about a flow."""
        params = {"action": "get", "flowId": str(flow_id), **self._ids}
        return await self._call(self._endpoint("GET", "/flows", params))

    async def time_zone(self) -> Reply:
        """Ask for the service's time zone."""
        return await self._call(self._endpoint("GET", "/time", {"action": "getTimeZone"}))

    async def current_time(self) -> Reply:
        """Ask for the service's clock."""
        return await self._call(self._time)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._direct is not None:
            await self._direct.aclose()
        await self._wire.aclose()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _endpoint(self, method: str, path: str, params: dict[str, str]) -> _Endpoint:
        url = address(self._origin, self._service + path, params)
        return _Endpoint(Signer(params, self._secret), partial(self._wire.send, method, url))

    async def _call(self, endpoint: _Endpoint, body: bytes = b"") -> Reply:
        token = self._tokens.current
        if token is None:
            return _WITHOUT_TOKEN
        answer = await self._send(endpoint, token, body)
        return self._read(answer, parse(answer.body, self._success_key), token.serial)

    def _send(self, endpoint: _Endpoint, token: Token, body: bytes) -> Awaitable[Answer]:
        timestamp = str(self._now_ms())
        headers = {
            "apim-accesstoken": token.value,
            "apim-timestamp": timestamp,
            "apim-signature": endpoint.signer.sign(token.value, body, timestamp),
        }
        return endpoint.send(body, headers)

    def _head(self, token: Token, body: bytes) -> bytes:
        """The same headers as the lines of a trigger's head."""
        serial, line, begun = self._prepared
        if serial != token.serial:
            line = header_lines({"apim-accesstoken": token.value})
            begun = self._trigger.signer.begin(token.value)
            self._prepared = (token.serial, line, begun)
        timestamp = b"%d" % self._now_ms()
        signature = self._trigger.signer.finish(begun, body, timestamp)
        return b"%bapim-timestamp: %b\r\napim-signature: %b\r\n" % (line, timestamp, signature.encode())

    def _called(self, answered: Answered, token: int, call: asyncio.Task[Answer]) -> None:
        self._tasks.discard(call)
        if not call.cancelled():
            self._answered(answered, token, call.result())

    def _answered(self, answered: Answered, token: int, answer: Answer) -> None:
        answered(self._read(answer, self._successes.read(answer.body), token))

    def _read(self, answer: Answer, envelope: Envelope, token: int) -> Reply:
        if answer.status == _UNAUTHORISED or envelope.code == _TIMESTAMP_REFUSED:
            self._compare_clocks(answer)
        return self._reply(answer, envelope, token)

    def _reply(self, answer: Answer, envelope: Envelope, token: int) -> Reply:
        headers = answer.headers
        location, hint = headers.get("Location"), headers.get("Retry-After")
        host = target_host(location, self._host)
        return Reply(
            fault=answer.fault,
            status=answer.status,
            code=envelope.code,
            success=envelope.success,
            message=self._shown(answer.message or envelope.message),
            data=envelope.data,
            retry_after_s=None if hint is None else self._retry_after(hint, headers.get("Date")),
            location=self._mask.sub(BLACK, host) if host else None,
            clock_ahead_s=self._ahead_s,
            token=token,
            bytes_out=answer.bytes_out,
            latency_s=answer.latency_s,
        )

    def _retry_after(self, hint: str, date: str | None) -> float | None:
        """Seconds to wait; a date counts from the one of the reply, so that no clock has to be right."""
        return retry_after(hint, http_date(date) or self._clock.wall() + self._ahead_s)

    def _now_ms(self) -> int:
        return round((self._clock.wall() + self._ahead_s) * 1000)

    def _compare_clocks(self, answer: Answer) -> None:
        """After a refusal: if the gateway's clock is far from what we sign with, go by it from now on."""
        then = http_date(answer.headers.get("Date"))
        if then is None:
            return
        ahead_s = then - self._clock.wall()
        if abs(ahead_s - self._ahead_s) > CLOCK_TOLERANCE_S:
            self._ahead_s = ahead_s

    def _shown(self, text: str) -> str:
        """The text with secrets masked and its length bounded, on one line."""
        if not text:
            return ""
        seen, shown = self._seen  # successes all say the same
        if text != seen:
            shown = " ".join(self._mask.sub(BLACK, text)[:MESSAGE_LENGTH].split())
            self._seen = (text, shown)
        return shown


def _password(proxy: str | None) -> list[str]:
    password = urlsplit(proxy).password if proxy else None
    return [password] if password else []
