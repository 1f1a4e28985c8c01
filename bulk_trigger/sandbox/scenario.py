"""The pretended gateway, described: what it knows, how it answers, how fast it is, and what goes wrong.

A scenario is plain frozen data, written in TOML or in Python. `Scenario()` is a gateway that behaves; every
key departs from that. Times end in `_s` (seconds) or `_ms` (milliseconds); sets of flows are written
`[3377, "4000-4999"]`, both ends included. `samples/scenario.toml` is a commented example.
"""

from collections.abc import Mapping
from datetime import datetime
import hashlib
from pathlib import Path
import tomllib
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import Meta

FlowRange = Annotated[str, Meta(pattern=r"^[0-9]+-[0-9]+$")]
FlowList = tuple[int | FlowRange, ...]
Rate = Annotated[str, Meta(pattern=r"^[1-9][0-9]*/[smhd]$")]
Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
Zone = Annotated[str, Meta(pattern=r"^GMT[+-][0-9]{1,2}$")]
Moment = Annotated[datetime, Meta(tz=True)]
Api = Literal["trigger", "get", "list", "cancel", "flow", "flows", "switch", "time", "token"]
Kind = Literal[
    "code", "status", "garbage", "empty", "redirect", "wrong_id", "no_id",
    "hang", "reset", "close", "cut", "huge",
]  # fmt: skip


class ScenarioError(ValueError):
    """The scenario cannot be read; the message names the key and the cure."""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the scenario file."""


class Flows(Table, frozen=True, kw_only=True):
    """`[flows]`: every flow exists, is yours and has tasks, save those named here."""

    missing: FlowList = ()  #: do not exist
    missing_code: int = 62102  #: what a call about a missing flow is told
    foreign: FlowList = ()  #: belong to somebody else: 62103
    locked: FlowList = ()  #: 62103, saying so
    no_task: FlowList = ()  #: 62104
    paused: FlowList = ()  #: their own schedule is off; they can be triggered all the same
    listed: FlowList = ("3377-3386",)  #: what the two searches of flows find
    freq: str = "0 0 * * * ? *"  #: the schedule that Get Flow tells, as a Quartz expression
    cycle: Literal["M", "W", "D", "H", "mi"] = "H"


class Schedule(Table, frozen=True, kw_only=True):
    """`[[schedules]]`: flows with another schedule than the one of `[flows]`. The first that fits counts."""

    flows: FlowList
    freq: str
    cycle: Literal["M", "W", "D", "H", "mi"] = "H"


class History(Table, frozen=True, kw_only=True):
    """`[[history]]`: scheduled instances that were there before the sandbox started, one at each distance.

    The shares, of all times, are drawn with the seed; the rest succeeded.
    """

    flows: FlowList
    since: Moment  #: the first trigger time, as 2024-03-11T14:00:00Z
    until: Moment  #: none at or after this
    every_s: Annotated[int, Meta(ge=60)] = 3600
    digits: Literal[14, 12, 10] = 10  #: of the time in their ids
    missing: Share = 0.0  #: was never created
    failed: Share = 0.0  #: -1
    internal_error: Share = 0.0  #: 4
    timeout: Share = 0.0  #: 7
    cancelled: Share = 0.0  #: 8


class Instance(Table, frozen=True, kw_only=True):
    """`[[instances]]`: an instance that was there before the sandbox started."""

    flow: int
    trigger_time: int  #: epoch milliseconds
    status: int = 1  #: a live one (0, 2, 3, 5, 6, 9) never ends, and its flow's next ones queue behind it
    id: str = ""  #: only where it is not the id of a triggered one
    virtual: bool = False  #: stands for a flow in the graph of another one


class Latency(Table, frozen=True, kw_only=True):
    """`[latency]`: how long a call takes, from request to reply."""

    shape: Literal["constant", "uniform", "lognormal", "pareto"] = "lognormal"
    median_ms: Seconds = 20.0  #: of all shapes but `uniform`
    sigma: Seconds = 0.3  #: lognormal: standard deviation of the logarithm
    alpha: Annotated[float, Meta(gt=0)] = 1.5  #: pareto: the smaller, the heavier the tail
    low_ms: Seconds = 0.0  #: uniform
    high_ms: Seconds = 0.0  #: uniform


class Durations(Table, frozen=True, kw_only=True):
    """`[durations]`: how long an instance runs (lognormal), and how often it fails."""

    median_s: Seconds = 2.0
    sigma: Seconds = 0.3
    fail_rate: Share = 0.0  #: the share of instances that end with status -1


class Fault(Table, frozen=True, kw_only=True):
    """`[[faults]]`: something that goes wrong. Of several that apply, the first in the file does."""

    kind: Kind
    when: Literal["before", "after"] = "before"  #: the effect of the call; an id fault is always after
    late_s: Seconds | None = None  #: instead of `when`: the effect comes that long after the call

    code: int = 62109  #: kind `code`: the service code
    status: int | None = None  #: HTTP status; `status`: 500, `redirect`: 302, the others: 200
    message: str = "Server internal exception"  #: kind `code`
    body: str | None = None  #: kind `status`: the body, instead of a JSON message
    content_type: str = "application/json;charset=UTF-8"  #: kind `status`
    headers: Mapping[str, str] = {}  #: more headers, such as `Retry-After`
    location: str = "http://127.0.0.1:9/"  #: kind `redirect`
    after_s: Seconds | None = None  #: kind `hang`: the pause, then all goes on; without it there is no end
    bytes: Annotated[int, Meta(ge=0)] = 40  #: kind `cut`: that many bytes of the reply leave, head included
    megabytes: Annotated[int, Meta(ge=1)] = 16  #: kind `huge`: the body ends there

    on: Api | Literal["any"] = "trigger"
    rate: Share = 1.0  #: the chance of each call that all the conditions below admit
    flows: FlowList = ()  #: only these
    attempts: tuple[int, ...] = ()  #: only the n-th calls about one job (or one instance), from 1
    calls: tuple[int, ...] = ()  #: only the n-th of the calls that `on`, `flows`, `attempts` and time admit
    first: int | None = None  #: only that many of them
    from_s: Seconds = 0.0  #: only from that long after the start on
    to_s: Seconds | None = None  #: and before this

    @property
    def name(self) -> str:
        """What the ledger calls it: `code-62109-after`, `reset-before`."""
        detail = {"code": self.code, "status": self.status or 500}.get(self.kind)
        when = self.when if self.late_s is None else "late"
        return "-".join(str(part) for part in (self.kind, detail, when) if part is not None)

    @property
    def spares_effect(self) -> bool:
        """Whether the call takes effect before the reply, in spite of the fault."""
        if self.late_s is not None:
            return False
        is_pause = self.kind == "hang" and not self.is_silence
        return self.when == "after" or self.kind in {"wrong_id", "no_id"} or is_pause

    @property
    def is_silence(self) -> bool:
        """Whether there will never be a reply."""
        return self.kind == "hang" and self.after_s is None

    def pause_s(self, when: Literal["before", "after"]) -> float:
        """Return how long a `hang` holds the call up before or after its effect."""
        return self.after_s or 0.0 if self.kind == "hang" and self.when == when else 0.0


class Scenario(Table, frozen=True, kw_only=True):
    """All of it. The defaults are a gateway that behaves."""

    token_lifetime_s: Seconds = 7200.0
    expired_token: Literal["1203", "401"] = "1203"  # noqa: S105 - a code with HTTP 200, or a status
    timestamp_tolerance_s: Seconds = 300.0
    clock_offset_s: float = 0.0  #: how far the gateway's clock is ahead of this machine's
    keepalive_s: Seconds = 75.0  #: an idle connection is closed after that

    rate_limit: Rate | tuple[Rate, ...] = ()  #: "100/s", or several: all must admit
    rate_kind: Literal["sliding", "fixed", "bucket"] = "sliding"
    limit_tokens: bool = False  #: calls to the token service count as well
    retry_after_s: int | None = None  #: a 429 says so; without it, it says nothing

    timezone: Zone = "GMT+8"  #: of `triggerTime` texts, and what Get Timezone says
    start_timezone: Zone = "GMT+0"  #: of `startTime` and `endTime` texts
    id_timezone: Zone = "GMT+0"  #: of instance ids
    id_digits: Literal[14, 12, 10] = 14  #: of the time in instance ids
    same_minute: Literal["second-instance", "return-existing", "62109", "62102"] = "second-instance"

    lookup: Literal["allowed", "forbidden", "forbidden-99403", "403", "404", "501", "down"] = "allowed"
    visible_after_s: Seconds = 0.0  #: an instance shows that long after its creation
    missing_instance: Literal["null-data", "62102", "99404", "404"] = "null-data"
    get_as_list: bool = False  #: Get answers with a list of one
    instance_type: Literal[0, 1, 2] = 1  #: List finds instances under this type
    page_base: Literal[0, 1] | None = None  #: number of the first page; None: 0 in v2.0, 1 in v2.1
    page_zero: Literal["error", "same"] = "error"  #: what page 0 is where pages start at 1
    page_fault: Literal["none", "drop", "repeat", "shuffle"] = "none"  #: second page left out, first twice
    max_page_size: Annotated[int, Meta(ge=1)] = 100
    count: Literal["total", "page"] = "total"  #: what `count` counts

    flows: Flows = Flows()
    schedules: tuple[Schedule, ...] = ()
    instances: tuple[Instance, ...] = ()
    history: tuple[History, ...] = ()
    latency: Latency = Latency()
    durations: Durations = Durations()
    faults: tuple[Fault, ...] = ()

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a TOML file; `ScenarioError` says what is wrong with it."""
        try:
            return cls.parse(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ScenarioError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read TOML text; `ScenarioError` says what is wrong with it."""
        try:
            tables = tomllib.loads(text)
            _refuse_unknown_keys(tables)
            return msgspec.convert(tables, cls)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ScenarioError(str(error)) from error

    @property
    def digest(self) -> str:
        """Equal for equal scenarios, in any process."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


_TABLES: Mapping[str, type[Table]] = {
    "flows": Flows,
    "schedules": Schedule,
    "instances": Instance,
    "history": History,
    "latency": Latency,
    "durations": Durations,
    "faults": Fault,
}


def _refuse_unknown_keys(tables: Mapping[str, Any]) -> None:
    """Name a key that nobody reads, and those that would be read (msgspec names only the first)."""
    _refuse_unknown("", tables, Scenario)
    for name, kind in _TABLES.items():
        value = tables.get(name, {})
        for table in value if isinstance(value, list) else [value]:
            _refuse_unknown(f" in [{name}]", table, kind)


def _refuse_unknown(where: str, table: Any, kind: type[Table]) -> None:
    allowed = kind.__struct_fields__
    if isinstance(table, dict) and (unknown := sorted(table.keys() - set(allowed))):
        raise ScenarioError(f"unknown key {unknown[0]!r}{where}; allowed: {', '.join(sorted(allowed))}")
