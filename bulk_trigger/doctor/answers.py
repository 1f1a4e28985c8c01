"""What the gateway said, without opinion, and how to say it again."""

from __future__ import annotations

import msgspec

from ..cells import clean
from ..model import Job, Kind, Reply, Scope, Verdict
from ..verdicts import judge
from .census import Census

_NOBODY = Job(0, 0, 0)  #: `judge` speaks of the reply to a job; the doctor's calls have none
_OF_ALL_CALLS = {Kind.UNREACHABLE, Kind.THROTTLED, Kind.TOKEN}


class Answers(msgspec.Struct, kw_only=True):
    """The replies to the doctor's questions; None where it did not come to the question."""

    no_credentials: str = ""  #: why nothing could be asked
    token: Reply | None = None  #: the refusal of a token
    ready: bool = False  #: there is a token
    clock: Reply | None = None
    ahead_s: float = 0.0  #: by how much the gateway's clock is ahead of ours, if `clock` tells it
    zone: Reply | None = None
    listed: Reply | None = None  #: List Flow Instances
    got: Reply | None = None  #: Get Flow Instance, of one that does not exist
    census: Census = msgspec.field(default_factory=Census)

    @property
    def broken(self) -> bool:
        """Whether there is no use in any more questions."""
        return not self.ready or any(map(concerns_all, self._replies))

    @property
    def heard(self) -> bool:
        """Whether the service itself has said anything."""
        return bool(self.census.answered) or any(map(is_of_service, self._replies))

    @property
    def _replies(self) -> list[Reply]:
        replies = (self.clock, self.zone, self.listed, self.got)
        return [reply for reply in replies if reply is not None]


def is_answer(reply: Reply) -> bool:
    """Whether a reply is a success."""
    return reply.success and reply.status == 200 and reply.fault is None


def is_of_service(reply: Reply) -> bool:
    """Whether a reply is the service's own word, good or bad, and not that of something before it."""
    if reply.fault is not None or verdict_of(reply).kind is Kind.TOKEN:
        return False
    return reply.success or reply.code not in {None, 0, reply.status}


def verdict_of(reply: Reply) -> Verdict:
    """What a reply that is no success means."""
    return judge(_NOBODY, reply)


def concerns_all(reply: Reply) -> bool:
    """Whether what a reply says goes for every other call as well."""
    if is_answer(reply):
        return False
    verdict = verdict_of(reply)
    return (
        reply.fault is not None
        or verdict.kind in _OF_ALL_CALLS
        or (verdict.scope is Scope.EVERYONE and is_of_service(reply))
    )


def said(reply: Reply) -> str:
    """What a reply says, in a few words: `1003 encryption is invalid`, `http-403 ...`, `tls ...`."""
    if is_answer(reply):
        return "a success that makes no sense"
    verdict = verdict_of(reply)
    return clean(f"{verdict.code} {verdict.message or reply.message}").strip()
