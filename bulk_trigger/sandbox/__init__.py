"""A local gateway that behaves like the documented one, or as badly as a scenario tells it to.

It shares no code with the rest of the package, so that a mistake of one cannot hide in the other:

    calls ─► limits, tokens ─► faults ─► service ─► flows, instances, listing
                                            │
                                            └─► ledger      server and wire around it, process around those
"""

from .ledger import Called, Cancelled, Effect, Ledger, Opened, Record
from .process import run, serve
from .scenario import Durations, Fault, Flows, Instance, Latency, Scenario, ScenarioError
from .server import Sandbox
from .tokens import APP_KEY, APP_SECRET, ORG_ID, USER_ID

__all__ = [
    "APP_KEY",
    "APP_SECRET",
    "ORG_ID",
    "USER_ID",
    "Called",
    "Cancelled",
    "Durations",
    "Effect",
    "Fault",
    "Flows",
    "Instance",
    "Latency",
    "Ledger",
    "Opened",
    "Record",
    "Sandbox",
    "Scenario",
    "ScenarioError",
    "run",
    "serve",
]
