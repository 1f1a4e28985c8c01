"""Everything this package raises on purpose.

BulkTriggerError            exit code
├── InputError        2     the job list cannot be used as it is
├── SettingsError     2     the settings are wrong or contradict each other
├── RunRefused        2     the run directory is locked, changed, finished with, or not a run
├── GatewayError      4     the gateway cannot be used at all (the sandbox did not start, ...)
├── JournalError      4     the journal cannot be written or trusted: nothing more is sent
└── IllegalMove       70    a bug in us: a move that model.NEXT forbids

How a *job* ended is never an exception: see `model.Outcome`.
"""

from __future__ import annotations

from typing import ClassVar


class BulkTriggerError(Exception):
    """The root of all errors of this package; `str(error)` is written for the user."""

    exit_code: ClassVar[int] = 70


class InputError(BulkTriggerError):
    """The job list cannot be used as it is; nothing was sent."""

    exit_code = 2


class SettingsError(BulkTriggerError):
    """The settings are wrong or contradict each other; nothing was sent."""

    exit_code = 2


class RunRefused(BulkTriggerError):  # noqa: N818 - a refusal is what it is
    """The run directory cannot be used for this: locked, changed, or not a run."""

    exit_code = 2


class GatewayError(BulkTriggerError):
    """The gateway cannot be used at all."""

    exit_code = 4


class JournalError(BulkTriggerError):
    """The journal cannot be written or trusted; from here on nothing is sent."""

    exit_code = 4


class IllegalMove(BulkTriggerError):  # noqa: N818 - named after what happened
    """A bug in this package: a job was moved in a way that `model.NEXT` forbids."""
