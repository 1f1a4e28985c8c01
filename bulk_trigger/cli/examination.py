"""From the flags of `doctor` to its lines: the job list is examined first, then the gateway is asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
import time
from typing import Any

import msgspec

from ..calls import AT_ONCE, Calls
from ..doctor.answers import Answers
from ..doctor.diagnosis import diagnose
from ..doctor.jobs import job_lines
from ..doctor.page import Line
from ..doctor.questions import ask_all
from ..errors import InputError, SettingsError
from ..ports import Catalogue
from ..quantities import format_duration
from ..reader import Format
from ..recap import counted
from ..settings import Settings
from .asking import ask
from .console import Console
from .examine import examine, flows_in
from .forecast import forecast
from .secrets import read_secrets

_PATIENCE_S = 10.0  #: with a gateway that gives no answer: it is what we came to find out
_MANY = 100  #: flows; with as many it takes a while


def examine_all(jobs: str | None, form: Format | None, settings: Settings, console: Console) -> list[Line]:
    """Find everything out. Raises `SettingsError`."""
    facts, problem, flow_ids = _examine(jobs, form, settings) if jobs else (None, "", [])
    answers = _ask(settings, flow_ids, console)
    lines = list(diagnose(answers, settings, time.time()))
    return [*lines, *job_lines(jobs, facts, problem)] if jobs else lines


def _examine(
    jobs: str, form: Format | None, settings: Settings
) -> tuple[dict[str, Any] | None, str, Sequence[int]]:
    """What `check` would say, what `run` would refuse it for, and its flows."""
    with TemporaryDirectory(prefix="bulk-trigger-doctor-") as place:
        try:
            facts = examine(jobs, form, settings, Path(place))
        except InputError as error:
            return None, str(error), []
        return facts, facts["problem"] or "", flows_in(Path(place))


def _ask(settings: Settings, flow_ids: Sequence[int], console: Console) -> Answers:
    if not settings.is_sandbox:
        try:
            read_secrets(lambda _: None)
        except SettingsError as error:
            return _without_credentials(str(error), flow_ids)
    if len(flow_ids) >= _MANY:
        takes = format_duration(forecast(len(flow_ids), 1, settings.rates, AT_ONCE).seconds)
        flows = counted(len(flow_ids), "flow")
        console.tell("asking", f"asking the gateway about {flows}; that takes about {takes}")
    brief = msgspec.structs.replace(
        settings,
        patience_s=min(settings.patience_s, _PATIENCE_S),
        timeout_s=min(settings.timeout_s, _PATIENCE_S),
    )
    return ask(brief, console, partial(_questions, flow_ids, settings.user_id))


async def _questions(flow_ids: Sequence[int], user_id: str, calls: Calls, gateway: Catalogue) -> Answers:
    return await ask_all(calls, gateway, flow_ids=flow_ids, user_id=user_id)


def _without_credentials(why: str, flow_ids: Sequence[int]) -> Answers:
    answers = Answers(no_credentials=why)
    answers.census.total = len(flow_ids)
    return answers
