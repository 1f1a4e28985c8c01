"""One frozen, validated `Settings` for a run; flags, environment and file are merged by the CLI.

The settings are kept in the journal's header (they hold no secret), so `resume` needs none of them again.
"""

from __future__ import annotations

import enum
import ipaddress
from urllib.parse import urlsplit

import msgspec

from .errors import SettingsError
from .quantities import Rate

SANDBOX = "sandbox"  #: the target of a run against the gateway that comes with the package


class Order(enum.StrEnum):
    """The order of a lane."""

    INPUT = "input"
    TIME = "time"


class On62109(enum.StrEnum):
    """What to do about 62109, "internal exception"."""

    RECONCILE = "reconcile"
    RETRY = "retry"
    FAIL = "fail"


class OnUnknown(enum.StrEnum):
    """What becomes of a flow's other rows when one ended as unknown."""

    STOP_FLOW = "stop-flow"
    CONTINUE = "continue"


class OnFailure(enum.StrEnum):
    """What a failed row means for the rest."""

    CONTINUE = "continue"
    STOP_FLOW = "stop-flow"
    ABORT = "abort"


class Duplicates(enum.StrEnum):
    """What to do with rows of one flow and UTC minute: they would get the same instance ID."""

    REFUSE = "refuse"
    SKIP = "skip"
    SEND = "send"


class Durability(enum.StrEnum):
    """What the journal survives: a power cut, or only the end of the process."""

    POWER = "power"
    PROCESS = "process"


class Limit(msgspec.Struct, frozen=True):
    """A number of rows, or a share of all rows in percent."""

    number: float
    percent: bool = False

    def of(self, rows: int) -> float:
        """The limit as a number of rows."""
        return self.number * rows / 100 if self.percent else self.number

    def __str__(self) -> str:
        return f"{self.number:g}%" if self.percent else f"{self.number:g}"


_LEAST = (("in_flight", 1), ("retries", 0), ("drain_s", 0), ("patience_s", 0), ("reconcile_wait_s", 0))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All knobs of a run. Durations are in seconds; defaults are those of the command line."""

    gateway: str  #: origin of the API gateway (`https://host`), or the word `sandbox`
    api: str = "v2.0"
    org_id: str = ""
    user_id: str = ""
    scenario: str = ""  #: with the sandbox: the scenario's text (TOML); empty = a well-behaved gateway
    seed: int = 0  #: with the sandbox: the seed of its faults and latencies
    rates: tuple[Rate, ...] = (Rate(20, 1.0),)  #: every window holds; empty = no limit
    in_flight: int = 64  #: calls under way at most
    order: Order = Order.INPUT
    retries: int = 5  #: attempts after the first
    on_62109: On62109 = On62109.RECONCILE
    on_unknown: OnUnknown = OnUnknown.STOP_FLOW
    on_failure: OnFailure = OnFailure.CONTINUE
    max_failures: Limit | None = None
    duplicates: Duplicates = Duplicates.REFUSE
    skip_invalid: bool = False
    timezone: str | None = None  #: IANA name, for input times without an offset
    time_unit: str = "ms"  #: unit of numeric input times: s, ms, us or ns
    rows: tuple[int, int] | None = None  #: first and last row of the input to take, both included
    timeout_s: float = 30.0  #: one whole attempt
    connect_timeout_s: float = 10.0
    drain_s: float = 8.0
    reconcile_wait_s: float = 75.0  #: quarantine before a look-up may conclude "absent" from silence
    patience_s: float = 900.0  #: without a good reply for so long, the run stops
    durability: Durability = Durability.POWER
    baseline: bool = False  #: look every instance up before the first send; skip what exists

    def __post_init__(self) -> None:
        for name in ("gateway", "org_id", "user_id", "timezone"):
            if not (getattr(self, name) or "").isprintable():  # as are bytes that no text has
                raise SettingsError(f"--{name.replace('_', '-')} holds characters that cannot be shown")
        if self.gateway != SANDBOX:
            check_gateway(self.gateway)
        for name, least in _LEAST:
            if getattr(self, name) < least:
                raise SettingsError(
                    f"--{name.removesuffix('_s').replace('_', '-')} must be at least {least:g}"
                )
        for name in ("timeout_s", "connect_timeout_s"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"--{name.removesuffix('_s').replace('_', '-')} must be more than 0")
        if self.api not in {"v2.0", "v2.1"}:
            raise SettingsError(f"--api {self.api!r} is not known; use v2.0 or v2.1")
        if len({rate.per_s for rate in self.rates}) < len(self.rates):
            raise SettingsError("--rate was given twice for the same window; give each window once")

    @property
    def is_sandbox(self) -> bool:
        """Whether the target is the gateway that comes with the package."""
        return self.gateway == SANDBOX


def check_gateway(url: str) -> None:
    """Refuse an origin that credentials must not be sent to. Raises `SettingsError` with the cure."""
    if "@" in url:  # before anything else: no message may repeat it
        raise SettingsError(
            "--gateway must not hold a user or password; use BULK_TRIGGER_APP_KEY and ..._APP_SECRET"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise SettingsError(f"--gateway {url!r} is not an address: {error}") from None
    if parts.scheme not in {"https", "http"} or not host or port == 0:
        raise SettingsError(f"--gateway {url!r} is not an address; write https://apim-<domain>")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise SettingsError(
            f"--gateway {url!r}: give the address only, without path or query: {parts.scheme}://{parts.netloc}"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(
            f"--gateway {url!r}: plain http would show the credentials to the network; write https://{parts.netloc}"
        )


def is_loopback(host: str) -> bool:
    """Whether a host name can only mean this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
