"""Trigger workflows in bulk through the EnOS API gateway: each flow in order, at your rate, once each.

What is public is in `__all__`, and imported at its first use: `bulk-trigger --help` has no need of aiohttp.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import JobStream, resume_run, run_jobs, stream_jobs
    from .errors import (
        BulkTriggerError,
        GatewayError,
        InputError,
        JournalError,
        RunRefused,
        SettingsError,
    )
    from .gateway import Credentials
    from .model import Evidence, Fault, Flag, Job, Outcome, Reply, State
    from .ports import Gateway, InstanceQuery, Observer
    from .quantities import Rate
    from .run import Ending
    from .settings import Settings
    from .version import VERSION as __version__  # noqa: N811 - the name that everybody looks for

__all__ = [
    "BulkTriggerError",
    "Credentials",
    "Ending",
    "Evidence",
    "Fault",
    "Flag",
    "Gateway",
    "GatewayError",
    "InputError",
    "InstanceQuery",
    "Job",
    "JobStream",
    "JournalError",
    "Observer",
    "Outcome",
    "Rate",
    "Reply",
    "RunRefused",
    "Settings",
    "SettingsError",
    "State",
    "__version__",
    "resume_run",
    "run_jobs",
    "stream_jobs",
]

_HOME = {
    **dict.fromkeys(("JobStream", "resume_run", "run_jobs", "stream_jobs"), "api"),
    "Credentials": "gateway",
    **dict.fromkeys(
        ("BulkTriggerError", "GatewayError", "InputError", "JournalError", "RunRefused", "SettingsError"),
        "errors",
    ),
    **dict.fromkeys(("Evidence", "Fault", "Flag", "Job", "Outcome", "Reply", "State"), "model"),
    **dict.fromkeys(("Gateway", "InstanceQuery", "Observer"), "ports"),
    "Rate": "quantities",
    "Ending": "run",
    "Settings": "settings",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module(".version", __name__).VERSION
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
