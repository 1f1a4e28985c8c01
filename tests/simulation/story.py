"""One history in words: what was asked for, what happened, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from history import History
import msgspec
from world import Sent


def tell(history: History, problems: Sequence[str]) -> str:
    """The whole story, line by line."""
    return "\n".join(_lines(history, problems))


def _lines(history: History, problems: Sequence[str]) -> Iterator[str]:
    plan, world = history.plan, history.world
    yield f"settings  {_told(plan.settings)}"
    yield f"gateway   {_told(plan.scenario)}"
    yield f"chaos     odds {plan.odds}, cursed {plan.cursed}, spells {plan.spells}, look-ups {plan.lookups}"
    for session in history.sessions:
        ending = session.ending and f"exit {session.ending.exit_code} {session.ending.reason}"
        death = f"died at {session.died_at:.3f} of {session.crash}" if session.grave else ""
        yield f"session {session.number}: {ending or death or 'cancelled'}"
    for call in world.calls:
        yield _call(call)
    for made in world.made:
        yield f"{made.at:12.4f}  effect of call {made.n} ({made.actor}): {made.instance_id}"
    results = history.directory / "results.csv"
    yield results.read_text("utf-8") if results.exists() else "no results"
    yield from (f"WRONG: {problem}" for problem in problems)


def _told(struct: msgspec.Struct) -> str:
    """What differs from the defaults."""
    fields = zip(
        struct.__struct_fields__[-len(struct.__struct_defaults__) :], struct.__struct_defaults__, strict=True
    )
    changed = {name: getattr(struct, name) for name, default in fields if getattr(struct, name) != default}
    return ", ".join(f"{name}={value!r}" for name, value in changed.items())


def _call(call: Sent) -> str:
    heard = "nothing heard" if call.heard is None else f"{call.status} {call.code} at {call.heard:.4f}"
    asked = f"{call.n} s{call.session} {call.api} {call.job or call.about or ''}"
    return f"{call.began:12.4f}  {asked}: {call.blow or 'as usual'} -> {heard}"
