"""For which moment an instance was triggered: from its ID, and from a time text whose zone nobody states.

Instance IDs end in UTC (contract 5.2): `yyyyMMddHHmm00` if triggered, `yyyyMMddHHmm` or `yyyyMMddHH` if
scheduled. The text of its trigger time has what the ID drops: the seconds, which are the same in every zone,
and of an hourly ID the minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
import re

import msgspec

from ..instances import Instance
from ..model import MINUTE_MS
from ..reconcile.calibration import text_to_epoch

_ID = re.compile(r"[0-9]+-([0-9]{14}|[0-9]{12}|[0-9]{10})")
_FORMS = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M", 10: "%Y%m%d%H"}
_HOUR_DIGITS = 10
_QUARTER_S = 900  #: zones are whole quarters of an hour away from one another


class Past(msgspec.Struct, frozen=True):
    """An instance that exists, and the moment for which it was triggered."""

    flow_id: int
    trigger_time_ms: int
    instance: Instance

    @property
    def minute(self) -> tuple[int, int]:
        """What makes it one time of one flow."""
        return self.flow_id, self.trigger_time_ms // MINUTE_MS


def is_triggered(instance: Instance) -> bool:
    """Whether the ID is that of an instance triggered by hand or by API; then it holds for its minute."""
    return (match := _ID.fullmatch(instance.instance_id)) is not None and len(match[1]) == 14


def learn_zone(instances: Iterable[Instance]) -> int | None:
    """By how many seconds the texts are ahead of UTC, as those say whose ID has minutes; None if unclear."""
    ahead = {
        (shown - shown % 60) - at[0]
        for each in instances
        if (at := _in_id(each.instance_id)) and at[1] > _HOUR_DIGITS and (shown := _shown(each)) is not None
    }
    return ahead.pop() if len(ahead) == 1 and not next(iter(ahead)) % _QUARTER_S else None


def trigger_ms(instance: Instance, zone_s: int | None, told_s: int | None = None) -> int | None:
    """For which moment an instance was triggered, in epoch milliseconds; None if it cannot be told.

    `zone_s`: by how much the texts are ahead of UTC, if that was learned; `told_s`: by how much the gateway
    says its zone is, which may or may not be that of the texts. Without either, whole hours are assumed.
    """
    shown = _shown(instance)
    if (at := _in_id(instance.instance_id)) is None:
        return None if shown is None or zone_s is None else (shown - zone_s) * 1000
    begin, digits = at
    if shown is None:
        return begin * 1000 if digits > _HOUR_DIGITS else None
    if digits > _HOUR_DIGITS:
        second = shown % 60
        return (begin + second if (shown - second - begin) % _QUARTER_S == 0 else begin) * 1000
    for ahead_s in (zone_s, told_s):
        if ahead_s is not None and 0 <= shown - ahead_s - begin < 3600:
            return (shown - ahead_s) * 1000
    return (begin + shown % 3600) * 1000


def _in_id(instance_id: str) -> tuple[int, int] | None:
    """The moment in an ID, and how many digits it has."""
    if not (match := _ID.fullmatch(instance_id)):
        return None
    digits = match[1]
    try:
        moment = datetime.strptime(digits, _FORMS[len(digits)]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()), len(digits)


def _shown(instance: Instance) -> int | None:
    text = text_to_epoch(instance.trigger_time)
    return None if text is None else int(text)
