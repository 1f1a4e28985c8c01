"""The values that flow through a run. Frozen, without opinion and without I/O.

    Job ─► Attempt ─► Reply ─► Evidence ─► Decision ─► Outcome

`NEXT` is the table of legal moves; the journal enforces it again in its own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

MINUTE_MS = 60_000


class State(StrEnum):
    """Where a job is. The last five are endings."""

    PENDING = "pending"
    SENDING = "sending"
    WAITING = "waiting"
    RECONCILING = "reconciling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INVALID = "invalid"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


ENDINGS = frozenset({State.SUCCEEDED, State.FAILED, State.INVALID, State.SKIPPED, State.UNKNOWN})

#: The legal moves of a run (`promises.md` section 6). Out of an ending leads only an operator's
#: `resume --rerun`, see `RERUN`.
NEXT: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.SENDING, State.SKIPPED, State.RECONCILING}),
    State.SENDING: frozenset(
        {State.SUCCEEDED, State.FAILED, State.WAITING, State.PENDING, State.RECONCILING, State.UNKNOWN}
    ),
    State.WAITING: frozenset({State.SENDING, State.PENDING, State.SKIPPED}),
    State.RECONCILING: frozenset(
        {State.SUCCEEDED, State.PENDING, State.WAITING, State.FAILED, State.UNKNOWN, State.RECONCILING}
    ),
    **{ending: frozenset() for ending in ENDINGS},
}

#: What `resume --rerun` may do with an ending: what was in doubt is looked up first, always.
RERUN: Mapping[State, State] = {
    State.FAILED: State.PENDING,
    State.SKIPPED: State.PENDING,
    State.UNKNOWN: State.RECONCILING,
}


class Evidence(StrEnum):
    """What a reply proves about the one attempt that it answers."""

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    UNKNOWN = "unknown"


class Flag(StrEnum):
    """What a reader of the results must know beside the state."""

    DUP_RISK = "dup_risk"  #: an attempt before the last, or before a further one, may have taken effect
    ORDER_UNCERTAIN = "order_uncertain"  #: sent after a row of the same flow ended as unknown
    DUPLICATE_KEY = "duplicate_key"  #: another row has the same flow and UTC minute, so the same instance ID
    ANOMALY = "anomaly"  #: the gateway said something that makes no sense; see the message


def predict_instance_id(flow_id: int, trigger_time_ms: int) -> str:
    """The ID that the gateway gives to a triggered instance: flow and UTC minute (contract 5.2)."""
    return f"{flow_id}-{_minute_text(trigger_time_ms // MINUTE_MS)}00"


@lru_cache(maxsize=8192)
def _minute_text(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y%m%d%H%M}"


class Row(msgspec.Struct, frozen=True, gc=False):
    """A good record of the input, as the reader hands it to the journal."""

    row: int  #: 1-based number of the data record
    flow_id: int
    trigger_time_ms: int
    extra: bytes | None = (
        None  #: the other columns as one JSON object, in the input's order; None without any
    )


class BadRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A record of the input that cannot become a job. Never sent."""

    row: int
    line: int  #: 1-based line where the record starts
    column: str  #: name of the column at fault; "" if it is the record as a whole
    reason: str  #: one word with dashes: the `code` of the `invalid` row
    message: str  #: what is wrong, with the value
    cure: str  #: what to do about it
    flow_id: str = ""  #: raw text
    trigger_time: str = ""  #: raw text
    extra: bytes | None = None


class Job(msgspec.Struct, frozen=True, gc=False):
    """One input row: trigger `flow_id` for `trigger_time_ms` (epoch milliseconds)."""

    row: int  #: 1-based number of the data record: its identity
    flow_id: int
    trigger_time_ms: int
    duplicate: bool = False  #: another row of the list has the same flow and UTC minute

    @property
    def instance_id(self) -> str:
        """The instance ID that this job is going to get."""
        return predict_instance_id(self.flow_id, self.trigger_time_ms)


class Fault(StrEnum):
    """Why no complete reply came. The value is the word that users see as `code`."""

    NAME = "name-not-resolved"
    REFUSED = "connection-refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect-timeout"
    TLS = "tls"
    PROXY = "proxy"
    RESOURCES = "out-of-descriptors"
    NOT_SENT = "not-sent"  #: the connection broke before a byte of the body was handed to the kernel
    RESET = "connection-lost"  #: it broke after that, before a whole reply
    TIMEOUT = "timeout"  #: sent, and no whole reply within the attempt's time
    CUT = "reply-cut"
    TOO_LARGE = "reply-too-large"
    MALFORMED = "reply-malformed"  #: not HTTP, or an encoding that was not asked for
    CANCELLED = "left"  #: the run left before the reply came
    CRASHED = "crashed"  #: the process ended before the reply was recorded


class Reply(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What came back for one call, without opinion. `verdicts` says what it proves."""

    fault: Fault | None = None
    status: int | None = None  #: HTTP status, where a status line came
    code: int | None = None  #: service code of the envelope, as an integer
    success: bool = False  #: the envelope says success in exactly the form of the configured API version
    message: str = ""  #: text of the gateway or of the fault; untrusted, see `results.clean`
    data: Any = None  #: the envelope's payload
    retry_after_s: float | None = None
    location: str | None = None  #: host of a redirect's target; it is never followed
    clock_ahead_s: float = 0.0  #: how far the gateway's clock is ahead of ours, if that made it refuse calls
    token: int = 0  #: serial number of the access token that the call was signed with
    bytes_out: int = 0  #: bytes of the body that were handed to the kernel
    latency_s: float = 0.0  #: from the start of the attempt to the end of the reply


class Scope(StrEnum):
    """Whom a refusal concerns."""

    ROW = "row"
    FLOW = "flow"
    EVERYONE = "everyone"


class Kind(StrEnum):
    """What sort of answer a reply is."""

    ACCEPTED = "accepted"  #: applied
    REFUSED = "refused"  #: not applied, and final for its scope
    TRANSIENT = "transient"  #: not applied; may be tried again
    UNREACHABLE = "unreachable"  #: the same, and the gateway as a whole was not reached
    THROTTLED = "throttled"  #: 429: not applied; everybody pauses, and the rate is cut
    TOKEN = "token"  # noqa: S105 - a word  #: not applied; the access token was not accepted
    INTERNAL = "internal"  #: 62109, 99500: doubt with a policy of its own
    REPEATED = "repeated"  #: 62102, "not repeatedly in 1 minute": doubt, then a wait of a minute
    DOUBTFUL = "doubtful"  #: every other doubt


class Verdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a reply to a trigger call proves, and what sort of answer it is."""

    evidence: Evidence
    kind: Kind
    scope: Scope = Scope.ROW
    answered: bool = True  #: a complete reply came: nothing of this attempt is under way any more
    good: bool = False  #: the gateway works: a success or a code that says what is wrong with this job
    pause: bool = False  #: 429 and 503: everybody waits
    nonsense: bool = False  #: not what this service can say: counts in a streak
    by_status: bool = False  #: refused by HTTP status or a code as vague: in a streak it is us, not the rows
    anomaly: bool = False  #: an instance ID that makes no sense
    mismatch: bool = False  #: accepted under another instance ID than predicted
    code: str = ""  #: what the results show as `code`
    message: str = ""
    instance_id: str | None = None


class Intent(msgspec.Struct, frozen=True, gc=False):
    """The journal's "about to send": on disk before the first byte of the attempt can leave."""

    row: int
    attempt: int  #: numbered from 1
    at_ms: int  #: epoch milliseconds


class Step(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One recorded move of a job: what an attempt or a look-up proved, and where the job went.

    A step into an ending is the job's outcome. Times are epoch milliseconds.
    """

    row: int
    state: State
    at_ms: int
    attempt: int = 0  #: the attempt that this step answers; 0 where none is meant
    evidence: Evidence | None = None
    code: str = ""  #: service code, `http-<status>`, a `Fault`, or a reason word
    message: str = ""
    instance_id: str | None = None
    via: str = ""  #: "reply" or "reconciled": how we know that it succeeded
    flags: str = ""  #: `Flag`s, separated by spaces
    sent_ms: int | None = None
    latency_ms: float | None = None
    status: int | None = None  #: HTTP status
    bytes_out: int | None = None


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """What the gateway last said of a row's instance. Times are epoch milliseconds."""

    row: int
    instance_id: str
    status: str  #: `success`, `fail`, `running` ..., or `unknown` if nothing is known of the instance
    started_ms: int | None = None  #: None too if nobody knows the zone of the gateway's times
    ended_ms: int | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended: one line of the results. Times are epoch milliseconds."""

    row: int
    flow_id: int | str | None  #: `invalid` rows keep the raw text
    trigger_time_ms: int | str | None
    state: State
    instance_id: str | None = None
    code: str = ""
    message: str = ""
    attempts: int = 0  #: sends on the wire
    via: str = ""
    flags: str = ""
    sent_ms: int | None = None
    settled_ms: int | None = None
    latency_ms: float | None = None
    sighting: Sighting | None = None  #: of its instance, if that was followed
    extra: Mapping[str, Any] = {}  #: the input's other columns
