"""What a reply proves. All that is known about the gateway's answers stands in the tables of this file.

Rule 1: what no table lists is unknown, never a guess.
Rule 2: the body is read before the status, because nobody says which status carries a service code. But a
        code that only repeats the HTTP status, or that no table lists, leaves the word to the status.
Rule 3: "accepted" has one form: 200, a valid envelope, and an instance ID of the job's own flow.
Rule 4: "answered" is said only of a complete reply after which nothing of the attempt can be under way. A
        proxy that gave up (502, 503, 504) may have left it running.

The tables are those of `promises.md` section 5 with the decisions of the design's section 8. `Scope.EVERYONE`
always means: stop the run now.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
import re

from msgspec.structs import replace

from .model import Evidence, Fault, Job, Kind, Reply, Scope, Verdict

_NO, _UNKNOWN = Evidence.NOT_APPLIED, Evidence.UNKNOWN

_SUSPECT = Verdict(evidence=_NO, kind=Kind.REFUSED, good=True, by_status=True)
_ROW_BY_STATUS = Verdict(evidence=_NO, kind=Kind.REFUSED, by_status=True)
_FLOW = Verdict(evidence=_NO, kind=Kind.REFUSED, scope=Scope.FLOW, good=True)
_EVERYONE = Verdict(evidence=_NO, kind=Kind.REFUSED, scope=Scope.EVERYONE)
_MOVED = Verdict(evidence=_UNKNOWN, kind=Kind.DOUBTFUL, scope=Scope.EVERYONE, nonsense=True)
_TOKEN = Verdict(evidence=_NO, kind=Kind.TOKEN)
_TRANSIENT = Verdict(evidence=_NO, kind=Kind.TRANSIENT)
_UNREACHABLE = Verdict(evidence=_NO, kind=Kind.UNREACHABLE)
_THROTTLED = Verdict(evidence=_NO, kind=Kind.THROTTLED, pause=True)
_INTERNAL = Verdict(evidence=_UNKNOWN, kind=Kind.INTERNAL)
_REPEATED = Verdict(evidence=_UNKNOWN, kind=Kind.REPEATED, good=True)
_ANSWERED = Verdict(evidence=_UNKNOWN, kind=Kind.DOUBTFUL)
_UNANSWERED = Verdict(evidence=_UNKNOWN, kind=Kind.DOUBTFUL, answered=False)
_OVERLOADED = Verdict(evidence=_UNKNOWN, kind=Kind.DOUBTFUL, answered=False, pause=True)
_NONSENSE = Verdict(evidence=_UNKNOWN, kind=Kind.DOUBTFUL, nonsense=True)
_NONSENSE_UNANSWERED = Verdict(evidence=_UNKNOWN, kind=Kind.DOUBTFUL, answered=False, nonsense=True)

#: No complete reply came.
BY_FAULT: Mapping[Fault, Verdict] = {
    Fault.NAME: _UNREACHABLE,
    Fault.REFUSED: _UNREACHABLE,
    Fault.UNREACHABLE: _UNREACHABLE,
    Fault.CONNECT_TIMEOUT: _UNREACHABLE,
    Fault.PROXY: _UNREACHABLE,
    Fault.TLS: _EVERYONE,
    Fault.RESOURCES: _TRANSIENT,
    Fault.NOT_SENT: _TRANSIENT,
    Fault.RESET: _UNANSWERED,
    Fault.TIMEOUT: _UNANSWERED,
    Fault.CUT: _UNANSWERED,
    Fault.TOO_LARGE: _NONSENSE_UNANSWERED,
    Fault.MALFORMED: _NONSENSE_UNANSWERED,
    Fault.CANCELLED: _UNANSWERED,
    Fault.CRASHED: _UNANSWERED,
}

#: Service codes in a reply to Trigger Flow.
BY_CODE: Mapping[int, Verdict] = {
    429: _THROTTLED,
    497: _TOKEN,  # legacy: the timestamp or the signature was refused
    1001: _TRANSIENT,
    1002: _EVERYONE,
    1003: _EVERYONE,
    1004: _EVERYONE,
    1005: _TRANSIENT,
    1202: _EVERYONE,
    1203: _TOKEN,
    1204: _TOKEN,
    4011: _TOKEN,
    4012: _TOKEN,
    62101: _EVERYONE,
    62102: _SUSPECT,  # but see `_REPEATED_TEXT`
    62103: _FLOW,
    62104: _FLOW,
    62105: _EVERYONE,
    62109: _INTERNAL,
    99400: _SUSPECT,
    99403: _SUSPECT,
    99404: _SUSPECT,
    99500: _INTERNAL,
}

#: HTTP statuses where the body holds no service code that we know.
BY_STATUS: Mapping[int, Verdict] = {
    202: _NONSENSE_UNANSWERED,  # "accepted": it may still happen
    **dict.fromkeys((307, 308), _EVERYONE),
    **dict.fromkeys((400, 404, 405, 406, 410, 411, 413, 414, 415, 422, 431), _ROW_BY_STATUS),
    401: _TOKEN,
    **dict.fromkeys((403, 407, 501, 505, 511), _EVERYONE),
    408: _UNANSWERED,  # but not sent if nothing of the body had left
    **dict.fromkeys((421, 425), _TRANSIENT),
    429: _THROTTLED,
    500: _ANSWERED,
    503: _OVERLOADED,
    **dict.fromkeys((521, 523, 525, 526), _UNREACHABLE),  # a CDN could not reach the gateway
}

#: Statuses that are not in the table, by their first digit; 5xx are proxies that gave up, like 502 and 504.
BY_CLASS: Mapping[int, Verdict] = {
    1: _NONSENSE_UNANSWERED,
    2: _NONSENSE,
    3: _MOVED,  # but for 307 and 308, which say that nothing was done here
    4: _ANSWERED,
}

#: These mean the same whatever code comes with them: the gateway says them before the service is asked.
_BEFORE_DISPATCH = frozenset({401, 429})

#: 62102 that may have started something: "do not trigger the same workflow repeatedly in 1 minute". The only
#: place that looks at a text, and it errs towards doubt.
_REPEATED_TEXT = re.compile(r"repeat|minute|分钟|重复", re.IGNORECASE)
_ID_TAIL = re.compile(r"[0-9][0-9-]{0,39}")


def judge(job: Job, reply: Reply) -> Verdict:
    """What a reply to `job`'s trigger call proves."""
    if reply.fault is not None:
        return _by_fault(reply, reply.fault)
    if reply.success:
        return _accepted(job, reply)
    if reply.code is not None and reply.code != reply.status:
        return _by_code(reply, reply.code)
    return _by_status(reply)


def judge_token(reply: Reply) -> Verdict:
    """What a reply to a token request means. Nothing is triggered by one, so there is no doubt in it."""
    if reply.fault is None and reply.success:
        return Verdict(evidence=Evidence.APPLIED, kind=Kind.ACCEPTED, good=True)
    verdict = judge(Job(0, 0, 0), reply)
    if verdict.kind is Kind.REFUSED:
        return replace(verdict, scope=Scope.EVERYONE, by_status=False, good=False)
    if reply.fault is None and reply.status in {401, *range(300, 400)}:
        return replace(verdict, evidence=_NO, kind=Kind.REFUSED, scope=Scope.EVERYONE)
    if verdict.kind in {Kind.UNREACHABLE, Kind.THROTTLED}:
        return verdict
    return replace(verdict, evidence=_NO, kind=Kind.TRANSIENT, good=False)


def judge_probe(reply: Reply) -> bool:
    """Whether a reply to a probe shows that the gateway works: it succeeded, or says why it may not."""
    if reply.fault is not None:
        return False
    if reply.success:
        return reply.status == 200
    known = BY_CODE.get(reply.code) if reply.code is not None else None
    return known is not None and known.good


def _accepted(job: Job, reply: Reply) -> Verdict:
    """Rule 3. The predicted ID is not demanded here: it shows whether we understand the IDs at all."""
    if reply.status != 200:
        return _contradiction(reply, f"a success with HTTP status {reply.status} contradicts itself")
    given = reply.data.get("flowInstanceId") if isinstance(reply.data, dict) else None
    predicted, prefix = job.instance_id, f"{job.flow_id}-"
    if given != predicted and (
        not isinstance(given, str)
        or not given.startswith(prefix)
        or not _ID_TAIL.fullmatch(given, len(prefix))
    ):
        text = f"a success without an instance ID of flow {job.flow_id}"
        return replace(_ANSWERED, anomaly=True, code="0", message=text)
    return Verdict(
        evidence=Evidence.APPLIED,
        kind=Kind.ACCEPTED,
        good=True,
        mismatch=given != predicted,
        code="0",
        message=reply.message,
        instance_id=given,
    )


def _by_fault(reply: Reply, fault: Fault) -> Verdict:
    verdict = BY_FAULT[fault]
    if fault is Fault.PROXY and reply.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        verdict = _EVERYONE
    return replace(verdict, code=fault.value, message=reply.message)


def _by_code(reply: Reply, code: int) -> Verdict:
    if code == 0:
        text = "code 0, but not in the form in which this API version says success: check --api"
        return _contradiction(reply, text)
    status = _status_verdict(reply)
    verdict = BY_CODE.get(code) or _unlisted(reply.status, status)
    if code == 62102 and _REPEATED_TEXT.search(reply.message):
        verdict = _REPEATED
    text = _redirected(reply) or reply.message
    return replace(verdict, pause=verdict.pause or status.pause, code=str(code), message=text)


def _unlisted(http_status: int | None, status: Verdict) -> Verdict:
    """What a code that no table lists leaves of the status' verdict: its doubts, but not its refusals."""
    if http_status in _BEFORE_DISPATCH:
        return status
    return status if status.evidence is _UNKNOWN and status is not _NONSENSE else _ANSWERED


def _contradiction(reply: Reply, text: str) -> Verdict:
    status = _status_verdict(reply)
    return replace(
        _NONSENSE, answered=status.answered, pause=status.pause, code=_status_code(reply), message=text
    )


def _by_status(reply: Reply) -> Verdict:
    return replace(
        _status_verdict(reply),
        code=_status_code(reply),
        message=_redirected(reply) or reply.message or _phrase(reply.status),
    )


def _status_code(reply: Reply) -> str:
    return f"http-{reply.status}" if reply.status is not None else "no-reply"


def _status_verdict(reply: Reply) -> Verdict:
    status = reply.status or 0
    if status == HTTPStatus.REQUEST_TIMEOUT and reply.bytes_out == 0:
        return _TRANSIENT
    return BY_STATUS.get(status) or BY_CLASS.get(status // 100, _UNANSWERED)


def _redirected(reply: Reply) -> str:
    """The cure for a redirect, which is never followed; only the host of its target may be shown."""
    if reply.status is None or not 300 <= reply.status < 400:
        return ""
    return f"the gateway redirects to {reply.location or 'nowhere'}, which is not followed: check --gateway"


def _phrase(status: int | None) -> str:
    try:
        return HTTPStatus(status or 0).phrase
    except ValueError:
        return ""
