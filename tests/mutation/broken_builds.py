"""Builds that are broken on purpose, each in one place, and the tests that must notice (faults.md 2.5).

A test that cannot fail proves nothing. Each build is a few words of the package, replaced in a copy of
it; the words stand here as they stand there, so an edit of the package that takes them away says so here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import shutil


class Stale(AssertionError):  # noqa: N818 - what it is
    """The words to be replaced are not there any more: the build has to be written anew."""


@dataclass(frozen=True)
class Build:
    """A broken build."""

    name: str  #: what it does wrong
    breaks: str  #: the promise
    path: str  #: the file, below the package
    edits: tuple[tuple[str, str], ...]  #: (as it is, as it is broken), each exactly once in the file
    caught_by: tuple[str, ...]  #: tests, below `tests`

    def apply(self, package: Path) -> None:
        """Break the package in that folder. Raises `Stale`."""
        path = package / self.path
        text = path.read_text("utf-8")
        for old, new in self.edits:
            if text.count(old) != 1:
                raise Stale(f"{self.path} has {text.count(old)} times: {old}")
            text = text.replace(old, new)
        path.write_text(text, "utf-8")


def build(name: str, breaks: str, path: str, *edits: tuple[str, str]) -> Callable[..., Build]:
    """`build(name, promise, file, (old, new), ...)(test, ...)`."""
    return lambda *tests: Build(name, breaks, path, edits, tests)


def copy_package(package: Path, to: Path) -> Path:
    """A copy of the package in that folder, without what Python made of it."""
    return Path(shutil.copytree(package, to / package.name, ignore=shutil.ignore_patterns("__pycache__")))


SENDING = (
    build(
        "a timeout is retried blindly",
        "P6",
        "verdicts.py",
        ("Fault.TIMEOUT: _UNANSWERED,", "Fault.TIMEOUT: _TRANSIENT,"),
    )("network/test_slow.py::test_a_network_that_parts_for_a_minute_is_waited_for[direct-5.0]"),
    build(
        "a reset counts as not applied",
        "P6",
        "verdicts.py",
        ("Fault.RESET: _UNANSWERED,", "Fault.RESET: _TRANSIENT,"),
    )(
        "network/test_after_send.py::"
        "test_a_connection_that_ends_without_a_reply_leaves_a_doubt_and_is_never_replayed"
        "[F16 fresh connections-direct]"
    ),
    build(
        "a reply that was cut counts as not applied",
        "P6",
        "verdicts.py",
        ("Fault.CUT: _UNANSWERED,", "Fault.CUT: _TRANSIENT,"),
    )(
        "network/test_cuts.py::"
        "test_a_reply_cut_after_any_byte_proves_nothing_and_is_found_by_a_look_up[direct]"
    ),
    build(
        "500 counts as not applied",
        "P6",
        "verdicts.py",
        ("    500: _ANSWERED,", "    500: _TRANSIENT,"),
    )("network/test_statuses.py::test_every_status_proves_what_the_table_says[direct-5]"),
    build(
        "62104 is tried again",
        "P4",
        "verdicts.py",
        ("    62104: _FLOW,", "    62104: _TRANSIENT,"),
    )("test_verdicts.py::test_a_listed_code_counts_whatever_the_status[200-62104]"),
    build(
        "62109 is retried although it could be looked up",
        "P10",
        "retry.py",
        (
            "if settings.on_62109 is On62109.RETRY or not (can_look_up or duplicate):",
            "if settings.on_62109 is not On62109.FAIL:",
        ),
    )("service/test_62109.py::test_a_62109_about_somebody_elses_instance_is_not_taken_for_ours"),
    build(
        "an instance ID of another flow is believed",
        "P3",
        "verdicts.py",
        ("or not given.startswith(prefix)\n", "or not given\n"),
    )("test_verdicts.py::test_a_success_without_an_id_of_our_flow_is_a_doubt"),
    build(
        "success may be said as text",
        "P3",
        "gateway/envelope.py",
        ("success = type(value) is int and value == 0 and", "success = value in (0, '0') and"),
    )("test_envelope.py::test_only_the_configured_form_is_a_success"),
    build(
        "every row sees a free retry budget",
        "P19",
        "health.py",
        ("        if self._saved < 1:\n", "        if self._saved < -inf:\n"),
        ("from collections import deque\n", "from collections import deque\nfrom math import inf\n"),
    )("test_health.py::test_not_many_retries_are_saved_up"),
    build(
        "the breaker never opens",
        "P18",
        "health.py",
        (
            "        return self._why(verdict, now - self._since, lanes_left, latency_s)\n",
            "        return None\n",
        ),
    )("test_health.py::test_the_breaker_opens_on_streaks_without_a_good_reply"),
    build(
        "Retry-After is not heeded",
        "P18",
        "retry.py",
        ("return min(max(hint_s or 0.0, own), MAX_PAUSE_S)", "return min(own, MAX_PAUSE_S)"),
    )("service/test_limits.py::test_what_a_429_asks_for_is_waited_out_even_for_minutes"),
)

LOOKING_UP = (
    build(
        "there is no quarantine",
        "P7",
        "reconcile/doubt.py",
        (
            "        return max(self.quarantine_s, self.answered_s)\n",
            "        return 0.0\n",
        ),
    )(
        "service/test_lookups.py::"
        "test_a_read_side_that_lags_less_than_the_quarantine_makes_nobody_send_twice[False-5]"
    ),
    build(
        "the first absent look-up closes a doubt",
        "P7",
        "reconcile/doubt.py",
        (
            "    if first is None:\n        return ReadAgain(half)\n",
            "    if first is not None:\n        return Absent()\n",
        ),
    )("test_reconcile.py::test_absent_is_concluded_when_the_table_says[False-reads4-expected4]"),
    build(
        "an incomplete page is taken for a page",
        "P7",
        "instances.py",
        ("return instances if len(instances) == len(entries) else None", "return instances"),
    )("test_instances.py::test_a_page_that_cannot_be_read_completely_says_nothing"),
    build(
        "a page that failed ends the list",
        "P7",
        "reconcile/lookups.py",
        ("                    return _refused(reply)\n", "                    break\n"),
    )("test_reconcile.py::test_a_gateway_that_is_down_says_nothing"),
    build(
        "a neighbour's instance is taken for ours",
        "P3",
        "instances.py",
        ("if each.instance_id == instance_id)", "if instance_id in each.instance_id)"),
    )("test_instances.py::test_only_the_exact_id_is_found"),
    build(
        "an instance that is older than the run is taken for ours",
        "P3",
        "reconcile/calibration.py",
        ("return shown - self.zone_s >= first_sent_s - OLDER_S", "return True"),
    )("test_reconcile.py::test_an_instance_is_ours_by_the_time_of_its_start"),
    build(
        "the baseline is not looked at",
        "P3",
        "run/dispatch.py",
        ("if self._settings.baseline and not (case.checked or case.attempts):", "if case is None:"),
    )("test_run.py::test_a_baseline_skips_what_exists"),
)

ORDER_AND_RATE = (
    build(
        "flows are served by trigger time, whatever was asked for",
        "P12",
        "journal/schema.py",
        ('Order.INPUT: "row", Order.TIME', 'Order.INPUT: "trigger_time_ms, row", Order.TIME'),
    )("test_journal_import.py::test_duplicates_that_are_sent_know_that_they_are_some"),
    build(
        "a second row of a flow starts while the first is under way",
        "P12",
        "lanes.py",
        ('        lane.place = "busy"\n        self.ready -= 1\n', '        lane.place = "busy"\n'),
    )("test_lanes.py::test_lanes_and_cases_show_themselves"),
    build(
        "the limiter is full again after a restart",
        "P16",
        "run/run.py",
        (
            "self.limiter.remember(earlier_calls(self._journal, now_s, longest_s))",
            "list(earlier_calls(self._journal, now_s, longest_s))",
        ),
    )("service/test_limits.py::test_a_restart_does_not_refill_our_own_rate"),
    build(
        "look-ups do not count against the rate",
        "P15",
        "run/dispatch.py",
        (
            "                self._limiter.started()\n                self._count_call()",
            "                self._limiter.give_back(1)\n                self._count_call()",
        ),
    )("service/test_limits.py::test_a_limit_that_is_ours_is_never_hit_however_it_is_counted[100-100-bucket]"),
    build(
        "a window holds one call more",
        "P15",
        "limiter.py",
        ("return self.rate.count - self._held\n", "return self.rate.count - self._held + 1\n"),
    )("test_limiter.py::test_calls_of_an_earlier_process_count"),
    build(
        "an unknown row does not stop its flow",
        "P13",
        "retry.py",
        ("stop = settings.on_unknown is OnUnknown.STOP_FLOW", "stop = False"),
    )("test_retry.py::test_an_undecided_look_up_ends_as_unknown_and_blocks_the_flow"),
)

REMEMBERING = (
    build(
        "the intent is written behind the send",
        "P20",
        "run/scribe.py",
        (
            "        self._writing, self._urgent = True, False\n",
            "        self._writing, self._urgent = True, False\n        self._committed(intents, [])\n",
        ),
        ("            self._committed(intents, steps)\n", "            self._committed([], steps)\n"),
    )("test_scribe.py::test_an_intent_is_in_the_journal_before_it_is_said_to_be"),
    build(
        "the outcome of a row is written behind the intent of the next",
        "P20",
        "journal/journal.py",
        (
            'append(connection, "steps", self._step_records(steps, first, undo))',
            'append(connection, "intents", self._intent_records(intents, first, undo))',
        ),
        (
            'append(connection, "intents", self._intent_records(intents, first + len(steps), undo))',
            'append(connection, "steps", self._step_records(steps, first + len(intents), undo))',
        ),
    )("test_journal.py::test_steps_go_before_the_intents_of_their_batch"),
    build(
        "intents are committed without a sync",
        "P9",
        "journal/database.py",
        ("Durability.POWER: 2,", "Durability.POWER: 1,"),
    )("test_journal_crash.py::test_the_pragmas_hold"),
    build(
        "an error of the disk is not the last word",
        "P21",
        "journal/database.py",
        (
            "        self._broken = journal_error(self.path, error)\n        return self._broken\n",
            "        return journal_error(self.path, error)\n",
        ),
    )("test_journal_crash.py::test_a_full_database_latches_too"),
    build(
        "an open intent counts as not sent after a crash",
        "P6",
        "run/recall.py",
        ("    case.state = past.state\n", "    case.state = State.PENDING if past.intent else past.state\n"),
    )("test_recall.py::test_an_open_intent_counts_as_sent_at_that_moment"),
    build(
        "a second process may operate the same run",
        "P22",
        "runlock.py",
        (
            "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
            "fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        ),
    )("test_runlock.py::test_a_second_process_is_refused_and_told_who_has_it"),
    build(
        "a row may end twice",
        "P1",
        "journal/standing.py",
        ("        if after not in _LEGAL[before]:\n", "        if before == after == -1:\n"),
    )("test_journal.py::test_a_row_that_has_ended_does_not_end_again"),
)

READING = (
    build(
        "CSV is read leniently",
        "P24",
        "reader/csv_rows.py",
        ("if not is_open and not _RECORD.fullmatch(", "if size < 0 and not _RECORD.fullmatch("),
        ("    if is_open:\n        raise InputError(", "    if size < 0:\n        raise InputError("),
        (
            "reader = csv.reader(_whole_quotes(blocks, self._name), strict=True)",
            "reader = csv.reader(_whole_quotes(blocks, self._name))",
        ),
    )("test_reader_csv.py::test_quotes_that_cannot_be_trusted_refuse_the_file"),
    build(
        "flow IDs are whatever int() takes",
        "P25",
        "reader/rows.py",
        ("            and str(flow) == flow_id\n", ""),
    )("input/test_corpus.py::test_good_and_bad_values_of_one_list_are_told_apart"),
    build(
        "the unit of a time is guessed",
        "P25",
        "reader/times.py",
        (
            "        if not _fits(number, self._unit):\n            return self._wrong_unit(text, number)\n",
            "        if not _fits(number, self._unit):\n            number *= 1000\n",
        ),
    )("test_times.py::test_any_other_text_is_refused_with_a_cure"),
    build(
        "duplicates are accepted",
        "P3",
        "journal/importing.py",
        (
            "            case Duplicates.REFUSE if count:\n",
            "            case Duplicates.REFUSE if count < 0:\n",
        ),
    )("test_journal_import.py::test_rows_that_would_share_an_instance_id_are_refused_with_both_numbers"),
    build(
        "a row in doubt is read as a new one",
        "P6",
        "reader/rows.py",
        ("return status.strip().lower() == State.UNKNOWN", "return not State.UNKNOWN"),
    )(
        "input/test_corpus.py::"
        "test_the_import_holds_every_row_once_when_bad_ones_may_be_skipped[P6 a row in doubt]"
    ),
    build(
        "a file that was cut off is taken for a whole one",
        "P24",
        "reader/csv_rows.py",
        ("        if not self._source.ends_in_newline:\n", "        if not self._source:\n"),
    )("test_reader_csv.py::test_a_file_that_seems_cut_off_is_refused"),
    build(
        "one bad row does not keep the others from being sent",
        "P24",
        "journal/importing.py",
        ("self._settings = settings\n", "self._settings = replace(settings, skip_invalid=True)\n"),
        ("import sqlite3\n", "import sqlite3\nfrom msgspec.structs import replace\n"),
    )("input/test_corpus.py::test_the_import_makes_a_run_only_of_a_list_without_fault[F111 one field]"),
)

TELLING = (
    build(
        "unknown counts as success",
        "P5",
        "run/outputs.py",
        ("    if counts[State.UNKNOWN]:\n        return 5\n", ""),
    )("service/test_lookups.py::test_another_actor_who_was_there_first_leaves_the_row_unknown[before]"),
    build(
        "rows in doubt stand in failed.csv",
        "P6",
        "results.py",
        (
            "return skipped or outcome.state is State.FAILED",
            "return skipped or outcome.state in {State.FAILED, State.UNKNOWN}",
        ),
    )("test_results.py::test_failed_rows_are_a_job_list_in_the_words_of_the_input"),
    build(
        "results are written in place",
        "P23",
        "files.py",
        ("        self._temporary = _beside(path)\n", "        self._temporary = path\n"),
        ("_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL", "_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC"),
        (
            "            self._file.close()\n        self._temporary.unlink(missing_ok=True)\n",
            "            self._file.close()\n",
        ),
    )("test_results.py::test_when_one_file_fails_none_is_replaced"),
    build(
        "a formula of the gateway's goes into a cell",
        "P27",
        "cells.py",
        ('return f"\'{text}" if cell and text.startswith(_FORMULA) else text', "return text"),
    )("test_results.py::test_text_of_the_gateway_becomes_one_harmless_line[+1-'+1]"),
)

SECRETS = (
    build(
        "redirects are followed",
        "P29",
        "gateway/wire.py",
        ("allow_redirects=False", "allow_redirects=True"),
    )(
        "network/test_redirects.py::"
        "test_a_redirect_of_the_token_service_stops_the_run_before_anything_is_sent[302]"
    ),
    build(
        "the token stands in the repr of who has it",
        "P28",
        "gateway/auth.py",
        ("    value: str = field(repr=False)\n    serial", "    value: str\n    serial"),
    )("test_auth.py::test_no_repr_shows_a_secret"),
    build(
        "what a gateway echoes is not masked",
        "P28",
        "gateway/http.py",
        (
            'shown = " ".join(self._mask.sub(BLACK, text)[:MESSAGE_LENGTH].split())',
            'shown = " ".join(text[:MESSAGE_LENGTH].split())',
        ),
    )("test_gateway.py::test_a_secret_that_the_gateway_repeats_is_masked"),
    build(
        "credentials go over plain http",
        "P29",
        "settings.py",
        (
            '    if parts.scheme == "http" and not is_loopback(host):\n',
            '    if parts.scheme == "ftp" and not is_loopback(host):\n',
        ),
    )("test_settings.py::test_any_other_origin_is_refused_with_the_cure"),
    build(
        "a reply may come compressed",
        "P30",
        "gateway/direct_reply.py",
        ("        if value.strip().lower() != allowed:\n", "        if value is None:\n"),
    )("test_direct_reply.py::test_what_is_wrong_with_an_unfit_reply_is_told"),
)

BUILDS: tuple[Build, ...] = (
    *SENDING,
    *LOOKING_UP,
    *ORDER_AND_RATE,
    *REMEMBERING,
    *READING,
    *TELLING,
    *SECRETS,
)
