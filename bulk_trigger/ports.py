"""The seams of a run that have more than one implementation: gateway, observer, clock."""

from __future__ import annotations

from collections.abc import Callable
import random
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from .model import Job, Outcome, Reply


Answered = Callable[["Reply"], None]


class Gateway(Protocol):
    """Our handle on the remote. No call raises for what the remote does: whatever happened is a `Reply`.

    Each of `trigger`, `get_instance`, `list_instances` and `current_time` makes exactly one call on the
    wire, and never sends again by itself.
    """

    @property
    def ready(self) -> bool:
        """Whether a call can start at once; otherwise `prepare` has to be called first."""

    async def prepare(self) -> Reply:
        """Make one call that gets ready (fetch or renew the access token); never called twice at a time."""

    def refuse_token(self, token: int) -> None:
        """Forget the token with that serial number: the gateway did not accept it."""

    def trigger(self, job: Job, answered: Answered) -> None:
        """Start the job's flow; returns at once. `Reply.data` holds `{"flowInstanceId": ...}` on success.

        `answered` is called exactly once, on a later turn of the event loop.
        """

    async def get_instance(self, instance_id: str) -> Reply:
        """Ask for one instance by its ID."""

    async def list_instances(self, query: InstanceQuery) -> Reply:
        """Ask for one page of a list of instances."""

    async def current_time(self) -> Reply:
        """Ask for the service's clock: the cheapest sign of life. `Reply.data` holds epoch milliseconds."""

    async def aclose(self) -> None:
        """Close the connections."""


class Catalogue(Gateway, Protocol):
    """A gateway that also tells about flows. The same holds for its calls."""

    async def get_flow(self, flow_id: int) -> Reply:
        """Ask what is known about a flow."""

    async def time_zone(self) -> Reply:
        """Ask for the service's time zone. `Reply.data` holds `{"timezone": "GMT+8"}`."""


class Canceller(Gateway, Protocol):
    """A gateway that also stops what was triggered. The same holds for its calls."""

    async def cancel_instance(self, instance_id: str) -> Reply:
        """Cancel one instance by its ID."""


class InstanceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of List Flow Instances (contract 5.3). The window is half-open, in epoch milliseconds."""

    expression: str  #: fuzzy match on instance ID and flow name
    type: int  #: 0 manual, 1 periodic, 2 temporary
    from_ms: int
    to_ms: int
    page: int
    page_size: int = 100
    status: str = ""  #: comma list of status numbers; empty = all


class Observer(Protocol):
    """Is told how jobs ended. Called in the run's own task: return quickly, never raise."""

    def settled(self, outcome: Outcome) -> None:
        """Take note: a job ended, and the journal holds it."""


class Clock(Protocol):
    """Time and chance, so that tests can own both."""

    def monotonic(self) -> float:
        """Seconds that only go forward; for every duration."""

    def wall(self) -> float:
        """Epoch seconds; only for what people or other systems read."""

    def dice(self) -> float:
        """A random number from 0 to 1."""


class SystemClock:
    """The machine's clock and chance."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def __init__(self) -> None:
        self.dice = random.Random().random  # noqa: S311 - jitter is no secret
