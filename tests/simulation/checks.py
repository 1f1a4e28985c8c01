"""What must hold after a history: from the world's own record, the input and the run directory, nothing else.

Each check gives sentences that begin with its name; no sentence, no complaint.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
import hashlib
from itertools import pairwise
import re
import sqlite3

from history import FINISHED, History
from oracle import read_results
from plans import EPOCH, MINUTE_MS, JobKey
from world import Sent

from bulk_trigger.header import JOURNAL
from bulk_trigger.settings import Duplicates, Durability, On62109, OnFailure, OnUnknown, Order

Row = Mapping[str, str]

SLACK_S = 1e-5  #: between the limiter's grant and the call that it grants lie some turns of the loop
MAX_PAUSE_S = 900.0  #: a longer Retry-After is cut to this
REFUSALS = frozenset({62103, 62104, 62102, 99400, 99404, 62101})
GOOD_CODES = frozenset({0, 62102, 62103, 62104})
IDS_GONE_WRONG = frozenset({"id of another flow", "id of another day", "no id"})
#: Replies whose attempts are not charged.
UNCHARGED = frozenset({(429, None), (401, None), (403, None), (200, 1203), (200, 62101)})
_MINUTE = 60_000


def check(history: History) -> list[str]:
    """Everything that is wrong with a history."""
    return list(_Checks(history).problems())


def digest(history: History) -> str:
    """A fingerprint of all that happened: the world's record, and the results byte for byte."""
    world = history.world
    text = "\n".join(map(repr, [*world.calls, *world.made, world.now]))
    found = hashlib.sha256(text.encode())
    for name in ("results.csv", "failed.csv", "unknown.csv", "summary.json"):
        path = history.directory / name
        found.update(path.read_bytes() if path.exists() else b"-")
    return found.hexdigest()


class _Checks:
    def __init__(self, history: History) -> None:
        self.history, self.plan, self.world = history, history.plan, history.world
        self.settings = history.plan.settings
        self.jobs = dict(enumerate(history.plan.jobs, 1))
        self.triggers = [call for call in self.world.calls if call.api == "trigger"]
        self.by_job: dict[JobKey, list[Sent]] = defaultdict(list)
        for call in self.triggers:
            if call.job:
                self.by_job[call.job].append(call)
        self.ours = Counter(made.job for made in self.world.made if made.actor == "ours")
        self.rows_of: dict[JobKey, list[int]] = defaultdict(list)
        for number, job in self.jobs.items():
            self.rows_of[job].append(number)
        results = history.directory / "results.csv"
        self.rows: list[dict[str, str]] = read_results(results) if results.exists() else []
        #: Instances that are not ours have these IDs; the older ones are from before the history.
        self.older = {_minute((each.flow, each.trigger_time)) for each in self.plan.scenario.instances}
        self.newer = {_minute(made.job) for made in self.world.made if made.actor != "ours"}
        self.others = self.older | self.newer
        minutes = Counter(_minute(job) for job in self.jobs.values())
        self.twins = {minute for minute, count in minutes.items() if count > 1}

    def problems(self) -> Iterator[str]:
        yield from self._ending()
        yield from self._broken_disk()
        yield from self._sends()
        yield from self._order()
        yield from self._one_at_a_time()
        yield from self._rate()
        yield from self._pauses()
        yield from self._budget()
        yield from self._charges()
        yield from self._intents()
        if self.rows:
            yield from self._accounting()
            for row in self.rows:
                yield from self._row(row)
            yield from self._effects()
            yield from self._uncertain_order()

    # --- the run as a whole

    def _ending(self) -> Iterator[str]:
        """The history has an end, nothing failed in silence, and `verify` finds nothing."""
        history = self.history
        for complaint in history.complaints:
            yield f"complaint: {complaint}"
        last = history.last
        if history.refused:
            powerless = any(session.crash and session.crash.loss != "none" for session in history.sessions)
            if self.settings.durability is not Durability.PROCESS or not powerless:
                yield f"refused: {history.refused}"
            return
        if not history.ended and (
            last is None or last.exit_code != 3
        ):  # on whose word it stops at each failure
            yield f"ending: after {len(history.sessions)} sessions it stands at {last and (last.exit_code, last.reason)}"
        for problem in history.unproven:
            yield f"verify: {problem}"
        yield from self._exit_codes()
        for before, after in pairwise(history.sessions):
            if after.open_intents > before.open_intents + 2 * before.settings.in_flight:
                yield f"doubts: {after.open_intents} open intents, with an in-flight cap of {before.settings.in_flight}"

    def _exit_codes(self) -> Iterator[str]:
        """A session says why it stopped, and that happened."""
        hits = self.world.hits
        at_failures = self.settings.on_failure is OnFailure.ABORT or self.settings.max_failures is not None
        possible = {
            3: at_failures,
            130: hits["operator: drain"],
            7: hits["operator: leave"] + bool(self.plan.deaf),
        }
        for session in self.history.sessions:
            ending = session.ending
            if ending is None:
                if session.grave is None and not hits["operator: cancel"]:
                    yield f"exit: session {session.number} has no ending"
            elif not possible.get(ending.exit_code, True):
                yield f"exit: {ending.exit_code} ({ending.reason}) for no reason"
            elif ending.exit_code not in FINISHED and not ending.reason:
                yield f"exit: {ending.exit_code} without a reason"

    def _accounting(self) -> Iterator[str]:
        """P1, P5: every row once, and an exit code that is no rosier."""
        if [int(row["row"]) for row in self.rows] != list(self.jobs):
            yield "accounting: the rows of the results are not those of the input"
            return
        for row in self.rows:
            if (
                row["status"] != "invalid"
                and (int(row["flowId"]), int(row["triggerTime"])) != self.jobs[int(row["row"])]
            ):
                yield f"accounting: row {row['row']} is not the input's"
        states = Counter(row["status"] for row in self.rows)
        benign = sum(
            row["status"] == "skipped" and row["code"] in {"exists", "duplicate"} for row in self.rows
        )
        blemished = states["failed"] + states["invalid"] + states["skipped"] - benign
        expected = 5 if states["unknown"] else 1 if blemished else 0
        last = self.history.last
        if last is not None and last.exit_code in FINISHED and last.exit_code != expected:
            yield f"accounting: exit code {last.exit_code} for {dict(states)}"
        final = self.history.sessions[-1]
        has_observer = self.plan.observed and self.history.ended and not self.plan.deaf
        if has_observer and final.told != Counter(list(self.jobs)):
            yield f"observer: told {sorted(final.told.items())} of {len(self.jobs)} rows"

    def _broken_disk(self) -> Iterator[str]:
        """P21: once the journal could not be written, no send begins."""
        for session in self.history.sessions:
            for call in self.triggers:
                if call.session == session.number and call.began > session.broken_at + SLACK_S:
                    yield f"disk: {call} began after the disk had failed at {session.broken_at:.4f}"

    # --- what was sent

    def _sends(self) -> Iterator[str]:
        """P2: nothing but rows of the input is sent."""
        valid = set(self.jobs.values())
        for call in self.triggers:
            if call.job not in valid or call.job[0] <= 0:
                yield f"invention: {call}"

    def _order(self) -> Iterator[str]:
        """P12: the sends of a flow follow its lane, and so do their effects.

        The one way back: refusals that nobody believes any more are taken back, and their rows sent again.
        """
        if self.history.reran:
            return
        for flow, calls in _by_flow(self.triggers).items():
            lane = self._lane(flow)
            place, refused = 0, set[JobKey | None]()
            for call in calls:
                back = lane.index(call.job)
                if lane.count(call.job) == 1:
                    if back < place and call.job not in refused:
                        yield f"order: flow {flow}: {call} comes after a later row of its lane"
                    place = back
                (refused.add if call.status == 404 else refused.discard)(call.job)
            firsts = dict.fromkeys(
                made.job for made in self.world.made if made.actor == "ours" and made.job[0] == flow
            )
            places = [lane.index(job) for job in firsts if lane.count(job) == 1]
            met = any(
                other == flow for other, _ in self.newer
            )  # somebody else's instance settled a doubt too early
            if places != sorted(places) and not (met or self._is_uncertain(flow)):
                yield f"order: the effects of flow {flow} are not in the order of its lane: {places}"

    def _is_uncertain(self, flow: int) -> bool:
        return any("order_uncertain" in row["flags"] for row in self._lane_rows(flow))

    def _lane(self, flow: int) -> list[JobKey | None]:
        rows = [(number, job) for number, job in self.jobs.items() if job[0] == flow]
        if self.settings.order is Order.TIME:
            rows.sort(key=lambda each: (each[1][1], each[0]))
        return [job for _, job in rows]

    def _one_at_a_time(self) -> Iterator[str]:
        """P12: one call of a flow is under way at a time; P11: at most as many triggers as allowed; one token call."""
        for flow, calls in _by_flow(self.triggers).items():
            for earlier, later in pairwise(calls):
                if earlier.session == later.session and (
                    earlier.ended is None or earlier.ended > later.began + SLACK_S
                ):
                    yield f"overlap: flow {flow}: {earlier} and {later}"
        tokens = [call for call in self.world.calls if call.api == "token"]
        for earlier, later in pairwise(tokens):
            if earlier.session == later.session and (
                earlier.ended is None or earlier.ended > later.began + SLACK_S
            ):
                yield f"overlap: two token calls at a time: {earlier} and {later}"
        for session in self.history.sessions:
            moments = []
            for call in self.triggers:
                if call.session == session.number:
                    moments += [(call.began, 1), (call.ended or call.began, -1)]
            most = under_way = 0
            for _, change in sorted(moments):
                under_way += change
                most = max(most, under_way)
            if most > session.settings.in_flight:
                yield f"in flight: {most} triggers at a time in session {session.number}"

    def _rate(self) -> Iterator[str]:
        """P15, P16: no window of any rate holds more calls, over restarts too."""
        calls = sorted(self.world.calls, key=lambda call: call.began)
        for session in self.history.sessions:
            for rate in session.settings.rates:
                start = 0
                for end, call in enumerate(calls):
                    if call.session != session.number:
                        continue
                    while calls[start].began <= call.began - rate.per_s + SLACK_S:
                        start += 1
                    held = end - start + 1
                    if held > rate.count:
                        yield (
                            f"rate: {held} calls within {rate.per_s:g} s, {rate} allowed, at {call.began:.4f} in session "
                            f"{session.number} (since {calls[start].began:.4f} in session {calls[start].session})"
                        )
                        return

    def _pauses(self) -> Iterator[str]:
        """P18: nothing is sent before the time that the gateway asked for."""
        by_session: dict[int, list[Sent]] = defaultdict(list)
        for call in sorted(self.world.calls, key=lambda call: call.began):
            by_session[call.session].append(call)
        for calls in by_session.values():
            pauses = [
                (call.heard, call.heard + min(call.hint_s, MAX_PAUSE_S))
                for call in calls
                if call.heard is not None and call.hint_s is not None and call.status in {429, 503}
            ]
            for start, end in pauses:
                for call in calls:
                    if start + SLACK_S < call.began < end - SLACK_S:
                        yield f"pause: {call} within a pause from {start:.3f} to {end:.3f}"
                        return

    def _budget(self) -> Iterator[str]:
        """P19: while less than half of the replies are good, hardly anything is sent again."""
        for session in self.history.sessions:
            calls = [call for call in self.triggers if call.session == session.number]
            replies = sorted((call.ended or call.began, self._is_good(call)) for call in calls)
            paid = [
                call
                for call in calls
                if any(call.job == earlier.job for earlier in calls[: calls.index(call)])
                and not any(_is_free(replies, call.began - before) for before in (0.0, 1.0, 2.0, 3.0))
            ]
            for first, start in enumerate(paid):
                for last, end in enumerate(paid[first:], first):
                    between = [call for call in calls if start.began - 1 <= call.began <= end.began]
                    free = sum((call.status, call.code) in UNCHARGED for call in calls)
                    allowed = (
                        13
                        + (end.began - start.began)
                        + 0.1 * len(between)
                        + session.settings.in_flight
                        + free
                    )
                    if last - first + 1 > allowed:
                        yield f"budget: {last - first + 1} sends again within {end.began - start.began:.1f} s of hardly any good replies"
                        return

    def _is_good(self, call: Sent) -> bool:
        good = call.succeeded or (call.heard is not None and call.code in GOOD_CODES)
        return good and call.blow not in IDS_GONE_WRONG

    def _charges(self) -> Iterator[str]:
        """P19: no row has more attempts than allowed, but for those that do not count."""
        charged: Counter[JobKey] = Counter()
        if not self.plan.is_sane:  # no success is a good reply then
            return
        for session in self.history.sessions:
            streak, trusted = 0, False
            events: list[tuple[float, int, Sent]] = []
            for call in self.world.calls:
                if call.session == session.number and call.api in {"trigger", "token"}:
                    events += [(call.began, 0, call), (call.ended or call.began, 1, call)]
            for _, is_end, call in sorted(events, key=lambda event: event[:2]):
                if call.api == "token":
                    trusted &= call.succeeded or not is_end
                elif is_end:
                    streak = 0 if self._is_good(call) else streak + 1
                    trusted |= self._is_good(call)
                elif (
                    call.heard is not None
                    and call.heard < session.died_at - 0.01  # or it may not have been recorded
                    and call.job
                    and trusted
                    and streak < 2
                    and (call.status, call.code) not in UNCHARGED
                ):
                    charged[call.job] += 1  # an outage takes more than this, so it was no trial
        allowed = (self.settings.retries + 1) * (1 + self.history.reran)
        for job, count in charged.items():
            if count > allowed * len(self.rows_of[job]):
                yield f"attempts: {job} was sent {count} times, with {self.settings.retries} retries"

    def _intents(self) -> Iterator[str]:
        """P20: what was sent had its intent on disk, whatever died in between."""
        if self.history.refused:  # without a sync, a power cut takes intents away: that is why it is refused
            return
        connection = sqlite3.connect(self.history.directory / JOURNAL)
        try:
            found = Counter(row for (row,) in connection.execute("SELECT row FROM intents"))
        finally:
            connection.close()
        for job, calls in self.by_job.items():
            if len(calls) > sum(found[row] for row in self.rows_of[job]):
                yield f"intent: {job} was sent {len(calls)} times, with fewer intents on disk"

    # --- how it ended

    def _row(self, row: Row) -> Iterator[str]:
        job = self.jobs[int(row["row"])]
        sends, flags = self.by_job[job], row["flags"].split()
        match row["status"]:
            case "succeeded":
                yield from self._succeeded(row, job)
            case "failed":
                yield from self._failed(row, job)
            case "unknown":
                yield from self._unknown(row, job)
            case "skipped":
                yield from self._skipped(row, job)
            case "invalid":
                if sends:
                    yield f"invalid: row {row['row']} was sent"
            case other:
                yield f"accounting: row {row['row']} ended as {other}"
        if "dup_risk" in flags and not any(call.code in {62109, 99500} for call in sends):
            yield f"flags: row {row['row']} carries dup_risk, but never met 62109"
        if len(self.rows_of[job]) == 1 and row["status"] != "invalid":
            attempts = int(row["attempts"])
            if not len(sends) <= attempts <= len(sends) + self._unsent():
                yield f"attempts: row {row['row']} says {attempts}, and was sent {len(sends)} times"

    def _unsent(self) -> int:
        """At most so many attempts never left: their connection failed, or they were given up before."""
        hits = self.world.hits
        given_up = sum(not session.finished for session in self.history.sessions)
        return (
            given_up
            + hits["trigger: unwritten"]
            + sum(hits[name] for name in hits if name.startswith("dial"))
        )

    def _succeeded(self, row: Row, job: JobKey) -> Iterator[str]:
        """P3: the instance exists, and it is this row's."""
        ids = {made.instance_id for made in self.world.made if made.job == job and made.actor == "ours"}
        if _minute(job) in self.newer | self.twins:
            ids |= {made.instance_id for made in self.world.made if _minute(made.job) == _minute(job)}
        if _minute(job) in self.older and self.plan.scenario.same_minute == "return-existing":
            return  # what the gateway answered was the older one
        if row["flowInstanceId"] not in ids:
            yield f"lost: row {row['row']} succeeded with {row['flowInstanceId']}, the world has {ids}"

    def _failed(self, row: Row, job: JobKey) -> Iterator[str]:
        """A row fails for a reason that the world knows."""
        sends = self.by_job[job]
        refused = any(call.code in REFUSALS or call.status in {404, 400} for call in sends)
        if refused or (
            self.settings.on_62109 is On62109.FAIL and any(call.code in {62109, 99500} for call in sends)
        ):
            return
        tries = len(sends) + self._unsent()
        if tries <= self.settings.retries:
            yield f"failed: row {row['row']} after {tries} of {self.settings.retries + 1} attempts: {row['code']} {row['message']}"

    def _skipped(self, row: Row, job: JobKey) -> Iterator[str]:
        """A row is skipped for a reason that can be seen."""
        match row["code"]:
            case "exists":
                if _minute(job) not in self.others | {_minute(made.job) for made in self.world.made}:
                    yield f"skipped: row {row['row']} does not exist: {row['flowInstanceId']}"
            case "duplicate":
                if self.settings.duplicates is not Duplicates.SKIP or _minute(job) not in self.twins:
                    yield f"skipped: row {row['row']} is no duplicate"
            case _:
                lane = [each for each in self._lane_rows(job[0]) if each["row"] != row["row"]]
                halting = {"unknown", "failed"} if self._halts(row) else set()
                if not self.history.reran and not any(each["status"] in halting for each in lane):
                    yield f"skipped: row {row['row']}, although nothing halted flow {job[0]}: {row['message']}"

    def _halts(self, row: Row) -> bool:
        by_unknown = "unknown" in row["message"] and self.settings.on_unknown is OnUnknown.STOP_FLOW
        by_failure = "failed" in row["message"] and self.settings.on_failure is OnFailure.STOP_FLOW
        return by_unknown or by_failure or bool(re.search(r"6210[34]", row["message"]))

    def _lane_rows(self, flow: int) -> list[dict[str, str]]:
        return [row for row in self.rows if row["flowId"] == str(flow)]

    def _unknown(self, row: Row, job: JobKey) -> Iterator[str]:
        """P8: `unknown` needs a doubt, and a reason why it could not be settled."""
        why = self._why_unknown(row, job)
        if why:
            yield f"unknown: row {row['row']} ({row['code']}: {row['message']}): {why}"
        if not self.by_job[job] and not self._unsent():
            yield f"unknown: row {row['row']} was never sent"

    def _why_unknown(self, row: Row, job: JobKey) -> str:  # noqa: PLR0911 - a table of reasons
        plan, text = self.plan, row["message"]
        if _minute(job) in self.twins and self.settings.duplicates is Duplicates.SEND:
            return ""
        if row["code"] == "flow-stopped":
            return "" if self.history.reran else "nothing was run again"
        if not plan.is_sane:
            return ""
        blows = {call.blow for call in self.by_job[job]}
        if "instance ID" in text and "does not belong" in text:
            return "" if blows & IDS_GONE_WRONG else "the instance ID was good"
        if "older than this run" in text:
            return "" if _minute(job) in self.others else "nobody else has it"
        if "cannot be compared" in text:
            zones = {"GMT+0", plan.scenario.timezone}
            return (
                ""
                if _minute(job) in self.others or plan.scenario.start_timezone not in zones
                else "its zone could be told"
            )
        if "no look-up could tell" in text:
            return self._patience(row)
        lookups = {word for _, word in plan.lookups} - {"allowed"}
        return "" if lookups else "look-ups were permitted all the time"

    def _patience(self, row: Row) -> str:
        settled = datetime.fromisoformat(row["settledAt"]).timestamp()
        patience_s = min(session.settings.patience_s for session in self.history.sessions)
        sent = datetime.fromisoformat(row["sentAt"]).timestamp()
        if settled - sent < patience_s - 0.01:
            return f"given up after {settled - sent:.1f} s, with a patience of {patience_s:.1f} s"
        failing = [
            call
            for call in self.world.calls
            if call.api in {"get", "list"} and not call.succeeded and call.began > sent - EPOCH
        ]
        # A strange ID may be ours; and an ID that comes twice looks like a list that repeats itself.
        strange = self.plan.scenario.id_timezone != "GMT+0" or self.others or self.twins
        return "" if failing or strange or self._unsent() else "all look-ups were answered"

    def _effects(self) -> Iterator[str]:
        """P4, P6: no job more than once, and none of what claims to have none."""
        rows = {int(row["row"]): row for row in self.rows}
        for job, count in self.ours.items():
            mine = [rows[number] for number in self.rows_of[job]]
            risky = any("dup_risk" in row["flags"] for row in mine)
            if count > len(mine) and not risky:
                yield f"twice: {job} took effect {count} times: {[call.n for call in self.by_job[job]]}"
            open_to_effects = sum(row["status"] in {"succeeded", "unknown"} for row in mine)
            if count > open_to_effects and not risky and count <= len(mine):
                yield f"rosy: {job} took effect, and its rows are {[row['status'] for row in mine]}"

    def _uncertain_order(self) -> Iterator[str]:
        """P13: what was sent behind an unknown row says so."""
        if self.history.reran:
            return
        for flow in {job[0] for job in self.jobs.values()}:
            order = (
                (lambda row: (int(row["triggerTime"]), int(row["row"])))
                if self.settings.order is Order.TIME
                else None
            )
            rows = [row for row in self._lane_rows(flow) if row["status"] != "invalid"]
            uncertain = False
            for row in sorted(rows, key=order) if order else rows:
                if (
                    uncertain
                    and int(row["attempts"])
                    and row["status"] != "skipped"
                    and "order_uncertain" not in row["flags"]
                ):
                    yield f"order: row {row['row']} was sent behind an unknown one, and does not say so"
                uncertain |= row["status"] == "unknown"


def _by_flow(calls: Iterable[Sent]) -> dict[int, list[Sent]]:
    flows: dict[int, list[Sent]] = defaultdict(list)
    for call in calls:
        if call.job:
            flows[call.job[0]].append(call)
    return flows


def _is_free(replies: list[tuple[float, bool]], now: float) -> bool:
    """Whether at least half of the replies of the last ten seconds were good, or it may look like that."""
    lately = [good for at, good in replies if now - 11.0 < at <= now]
    surely = [good for at, good in replies if now - 9.0 < at <= now]
    return any(0 < len(each) <= 2 * sum(each) for each in (lately, surely))


def _minute(job: JobKey) -> JobKey:
    return job[0], job[1] // MINUTE_MS
