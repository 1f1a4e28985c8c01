"""The named instants at which a process can be struck: before or after which call of which function.

The names are those of the fault catalogue (2.4), and some more. The program knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

PACKAGE = "bulk_trigger"
_EXPORTED = {"results.csv", "failed.csv", "unknown.csv", "summary.json"}
_PROGRESS = {"progress.json"}


class Call(NamedTuple):
    """A call of the wrapped function; the result is there after it only."""

    arguments: tuple[Any, ...]
    result: Any = None


def _always(_: Call) -> bool:
    return True


def _nothing(_: Call) -> None:
    pass


@dataclass(frozen=True)
class Point:
    """Before or after a function of the program, `module:name`; `counts` tells which of its calls."""

    side: Literal["before", "after"]
    where: str
    counts: Callable[[Call], bool] = _always
    first: Callable[[Call], None] = _nothing  #: what still happens, just before the act
    only: Literal["birth", "resume"] | None = (
        None  #: of a run's processes, the first, or the others, comes here
    )

    def find(self) -> tuple[Any, str]:
        """The object that holds the function, and its name there."""
        module, _, path = self.where.partition(":")
        owner: Any = import_module(module if module == "pathlib" else f"{PACKAGE}.{module}")
        *outer, name = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        return owner, name


# --- which calls count


def _has_intents(call: Call) -> bool:
    return bool(call.arguments[1])


def _has_steps(call: Call) -> bool:
    return bool(call.arguments[2])


def _has_calls(call: Call) -> bool:
    return bool(call.arguments[3])


def _step(matches: Callable[[Any], bool]) -> Callable[[Call], bool]:
    return lambda call: any(matches(step) for step in call.arguments[2])


def _found(step: Any) -> bool:
    return bool(step.via == "reconciled")


def _proven_absent(step: Any) -> bool:
    return (step.state, step.evidence) == ("pending", "not_applied") and bool(step.code != "not-sent")


def _exists(step: Any) -> bool:
    return bool(step.code == "exists")


def _something(call: Call) -> bool:
    return call.result is not None


def _awaited(call: Call) -> bool:
    return bool(call.arguments[0]._under_way)


def _to(names: set[str]) -> Callable[[Call], bool]:
    return lambda call: Path(call.arguments[1]).name in names


def _of_export(call: Call) -> bool:
    return call.arguments[0]._path.name in _EXPORTED


def _marked(call: Call) -> bool:
    return Path(call.arguments[0], "journal.db-open").exists()


def _unmarked(call: Call) -> bool:
    return not _marked(call)


def _in_outage(call: Call) -> bool:
    return call.arguments[0].outage is not None


def _read_before(call: Call) -> bool:
    return bool(call.arguments[1].doubt and call.arguments[1].doubt.absent_at)


_pauses = {float("-inf")}


def _first_after_a_pause(call: Call) -> bool:
    until = call.arguments[0]._paused_until
    is_new = until not in _pauses
    _pauses.add(until)
    return is_new


def _write_head(call: Call) -> None:
    """Let the headers of a request leave, and nothing of its body."""
    connection, request = call.arguments
    connection._sock.send(request[: request.index(b"\r\n\r\n") + 4])


POINTS: Mapping[str, Point] = {
    "import.begin": Point("before", "journal.importing:Import.run", only="birth"),
    "import.chunk": Point("before", "journal.importing:islice", only="birth"),
    "import.built": Point("after", "journal.importing:Import._build", only="birth"),
    "import.end": Point("after", "journal.importing:write_sidecar", only="birth"),
    "import.named": Point("before", "journal.importing:sync_directory", only="birth"),
    "lock.taken": Point("after", "runlock:RunLock.acquire"),
    "epoch.committed": Point("before", "journal.marker:sync_directory", _marked),
    "epoch.bumped": Point("after", "journal.database:Database.begin_session"),
    "token.before": Point("before", "gateway.http:HttpGateway.prepare"),
    "token.after": Point("after", "gateway.http:HttpGateway.prepare"),
    "baseline.read": Point("before", "run.doubts:Doubts._baseline"),
    "baseline.commit": Point("after", "journal.journal:Journal.write", _step(_exists)),
    "feed.asked": Point("before", "journal.reading:Reading.look_ahead"),
    "ready.selected": Point("after", "lanes:Lanes.take", _something),
    "d1.before_commit": Point("before", "journal.journal:Journal.write", _has_intents),
    "d1.after_commit": Point("after", "journal.journal:Journal.write", _has_intents),
    "d1.armed": Point("after", "run.dispatch:Dispatcher.committed", _has_intents),
    "send.before_connect": Point("before", "gateway.direct_dial:Dialer.dial"),
    "send.after_connect": Point("after", "gateway.direct_dial:Dialer.dial"),
    "send.before_write": Point("before", "gateway.direct_connection:Connection.call"),
    "send.after_headers": Point("before", "gateway.direct_connection:Connection.call", first=_write_head),
    "send.after_body": Point("after", "gateway.direct_connection:Connection.call"),
    "reply.first_byte": Point("before", "gateway.direct_reply:ReplyReader.feed"),
    "reply.complete": Point("before", "gateway.direct_connection:Connection._finish", _awaited),
    "classify.done": Point("after", "run.judge:Judge._is_as_expected"),
    "d2.before": Point("before", "journal.journal:Journal.write", _has_steps),
    "d2.after": Point("after", "journal.journal:Journal.write", _has_steps),
    "calls.before": Point("before", "journal.journal:Journal.write", _has_calls),
    "calls.after": Point("after", "journal.journal:Journal.write", _has_calls),
    "retry.scheduled": Point("after", "lanes:Lanes.wait"),
    "pause.enter": Point("after", "limiter:Limiter.pause"),
    "pause.exit": Point("after", "limiter:Limiter.admit", _first_after_a_pause),
    "outage.enter": Point("after", "run.dispatch:Dispatcher.suspend"),
    "outage.probed": Point("after", "gateway.http:HttpGateway.current_time"),
    "outage.exit": Point("before", "run.dispatch:Dispatcher.recovered", _in_outage),
    "reconcile.recalled": Point("after", "run.doubts:Doubts.recall", only="resume"),
    "reconcile.before_read1": Point("before", "reconcile.lookups:Lookups.read"),
    "reconcile.between": Point("after", "run.dispatch:Dispatcher.doubt", _read_before),
    "reconcile.after": Point("after", "run.doubts:conclude"),
    "reconcile.commit": Point("after", "journal.journal:Journal.write", _step(_found)),
    "reconcile.absent": Point("after", "journal.journal:Journal.write", _step(_proven_absent)),
    "calibrate.after": Point("after", "reconcile.lookups:Lookups.calibrate"),
    "skip.before": Point("before", "journal.journal:Journal.skip_rest", only="resume"),
    "skip.after": Point("after", "journal.journal:Journal.skip_rest", only="resume"),
    "progress.write": Point("before", "run.run:write_progress"),
    "progress.temp_written": Point("before", "pathlib:Path.replace", _to(_PROGRESS)),
    "shutdown.drain": Point("before", "run.run:Run._drain"),
    "shutdown.drained": Point("after", "run.run:Run._drain"),
    "shutdown.noted": Point("after", "journal.journal:Journal.note"),
    "export.begin": Point("before", "run.outputs:write_results"),
    "export.temp_written": Point("before", "files:WholeFile.finish", _of_export),
    "export.fsynced": Point("before", "pathlib:Path.replace", _to(_EXPORTED)),
    "export.renamed": Point("after", "pathlib:Path.replace", _to(_EXPORTED)),
    "export.dir_synced": Point("after", "files:WholeFile.finish", _of_export),
    "shutdown.close": Point("before", "journal.journal:Journal.close"),
    "shutdown.leave": Point("before", "journal.database:take_leave"),
    "shutdown.unmarked": Point("before", "journal.marker:sync_directory", _unmarked),
    "shutdown.closed": Point("after", "journal.journal:Journal.close"),
}

#: Where the event loop calls us, and not a task: only for `--raise`, nothing of their own happens here.
CALLBACKS: Mapping[str, Point] = {
    "callback.committed": Point("before", "run.run:Run._committed"),
    "callback.armed": Point("before", "run.dispatch:Dispatcher.committed", _has_intents),
    "callback.reply": Point("before", "gateway.direct_reply:ReplyReader.feed"),
    "callback.expired": Point("before", "gateway.direct_connection:Connection.expire"),
    "callback.told": Point("before", "run.herald:Herald.tell"),
    "callback.look": Point("before", "progress:Watch.look"),
    "callback.signal": Point("before", "cli.session:Session._drain"),
}
