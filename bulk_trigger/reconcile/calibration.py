"""What the first successes of a run teach about look-ups, and whose instance a found one is.

Whose instance is it? Ours, if it started no earlier than two minutes before the row's first send (design
decision 3). The gateway's time texts have no zone; a success of ours shows which one is meant.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from ..instances import Instance
from ..model import MINUTE_MS, Evidence, Job, Kind, Verdict, predict_instance_id

OLDER_S = 120.0  #: an instance that started so much before our first send is not ours
STARTS_WITHIN_S = 15.0  #: most instances start so soon after their send
MOST_SHIFT_S = 14 * 3600.0  #: no zone is further from UTC


class Calibration:
    """What the first successes of a run taught about the look-ups."""

    def __init__(self) -> None:
        self.lag_s: float | None = None  #: how long an instance takes to show, at most; None: not known yet
        self.zone_s: float | None = None  #: seconds that startTime texts are ahead of UTC
        self.clock_ahead_s = 0.0  #: how far the gateway's clock is ahead of ours, as far as its replies tell
        self._early_s = 0.0  # an instance of ours seemed to start so long before it was sent
        self.id_shift_s: float | None = None  #: seconds that the minute in instance IDs is ahead of UTC
        self.get_finds = False  #: Get found an instance that we know to exist
        self.get_missing: tuple[int | None, int | None, bool] | None = None  #: its answer for one that cannot

    @property
    def get_is_enough(self) -> bool:
        """Whether Get alone can say "absent"."""
        return self.get_finds and self.get_missing is not None

    def check_id(self, job: Job, verdict: Verdict) -> Verdict:
        """Doubt a success whose instance ID does not fit the job and what the first success taught.

        IDs are predicted in UTC. A gateway that writes them in another zone shifts all of them alike, so no
        two rows can get one ID; any other shift makes no sense.
        """
        if verdict.kind is not Kind.ACCEPTED:
            return verdict
        shift_s = 0.0
        if verdict.mismatch:
            shown = _id_epoch(verdict.instance_id or "")
            minute = job.trigger_time_ms // MINUTE_MS * MINUTE_MS / 1000
            shift_s = shown - minute if shown is not None else 1.0
        if self.id_shift_s is None and shift_s % 900 == 0 and abs(shift_s) <= MOST_SHIFT_S:
            self.id_shift_s = shift_s
        if shift_s == self.id_shift_s:
            return verdict
        return msgspec.structs.replace(
            verdict,
            evidence=Evidence.UNKNOWN,
            kind=Kind.DOUBTFUL,
            good=False,
            anomaly=True,
            message=f"the instance ID {verdict.instance_id} does not belong to this flow and minute",
            instance_id=None,
        )

    def learn_id(self, job: Job, instance_id: str) -> None:
        """Take note of the ID that an earlier session's success had."""
        shown = _id_epoch(instance_id)
        if shown is not None:
            self.id_shift_s = shown - job.trigger_time_ms // MINUTE_MS * MINUTE_MS / 1000

    def instance_id(self, job: Job) -> str:
        """The ID that the instance of a job has, as far as the first success taught."""
        shift_ms = int((self.id_shift_s or 0.0) * 1000)
        return predict_instance_id(job.flow_id, job.trigger_time_ms + shift_ms)

    def is_ours(self, instance: Instance, job: Job, first_sent_s: float, now_s: float) -> bool | None:
        """Whether a found instance can be the doing of this row's first send or later; None = undecidable.

        Both are epoch seconds, `first_sent_s` by the gateway's clock, `now_s` by ours. Before the zone of
        startTime is known, it is taken to be UTC or the zone of triggerTime (whose true value we know) if
        exactly that makes it ours.
        """
        now_s += self.clock_ahead_s
        if not instance.start_time:
            return True if instance.is_live else None
        if (shown := text_to_epoch(instance.start_time)) is None:
            return None
        if self.zone_s is not None:
            return shown - self.zone_s >= first_sent_s - OLDER_S - self._early_s
        candidates = {0.0}
        if (trigger_shown := text_to_epoch(instance.trigger_time)) is not None:
            candidates.add(_whole_zone(trigger_shown - job.trigger_time_ms / 1000))
        if any(first_sent_s - OLDER_S <= shown - zone <= now_s + OLDER_S for zone in candidates):
            return True
        return False if max(shown - zone for zone in candidates) < first_sent_s - OLDER_S else None

    def learn_zone(self, instance: Instance, sent_s: float) -> None:
        """Compare the start of an instance that is known to be ours with its send, by the gateway's clock.

        What is left beside a zone is the difference of the clocks, or how long the instance had to wait.
        """
        if (shown := text_to_epoch(instance.start_time)) is not None:
            ahead_s = shown - sent_s
            self.zone_s = _whole_zone(ahead_s)
            self._early_s = max(self.zone_s - ahead_s, 0.0)

    def guess_zone(self, instance: Instance, sent_s: float) -> None:
        """Learn the zone from an instance that may be ours, if that it is not would be quite a chance: but
        for a whole zone, it started when it was sent, give or take a few seconds.
        """
        if (shown := text_to_epoch(instance.start_time)) is not None:
            ahead_s = shown - sent_s
            zone_s = _whole_zone(ahead_s)
            if abs(ahead_s - zone_s) <= STARTS_WITHIN_S and abs(zone_s) <= MOST_SHIFT_S:
                self.learn_zone(instance, sent_s)


def text_to_epoch(text: str) -> float | None:
    """Read an instance's time text ("2019-07-26 20:39:00", without a zone) as if it were UTC."""
    try:
        return datetime.fromisoformat(text.strip()[:19]).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _id_epoch(instance_id: str) -> float | None:
    """The minute in the ID of a triggered instance, read as UTC; scheduled ones have fewer digits."""
    digits = instance_id.rpartition("-")[2]
    try:
        minute = datetime.strptime(digits, "%Y%m%d%H%M00").replace(tzinfo=UTC)
    except ValueError:
        return None
    return minute.timestamp() if len(digits) == len("yyyymmddHHMM00") else None


def _whole_zone(seconds: float) -> float:
    return round(seconds / 900) * 900.0
