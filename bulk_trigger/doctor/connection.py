"""The lines about the way to the service: address, TLS, token, service.

The first call that fails tells; how far it got says which of the four is at fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from ..model import Fault, Kind, Reply
from ..settings import Settings
from .answers import Answers, is_answer, said, verdict_of
from .page import Line, Mark, not_asked

ADDRESS, TLS, TOKEN, SERVICE = "address", "TLS", "token", "service"

_CURES: Mapping[Fault, str] = {
    Fault.NAME: "check --gateway for a slip, and whether this machine can resolve names (DNS, VPN)",
    Fault.REFUSED: "nobody listens there: check host and port of --gateway",
    Fault.UNREACHABLE: "check --gateway, the network, VPN and firewall",
    Fault.CONNECT_TIMEOUT: "check --gateway; often a firewall or a missing VPN swallows what is sent",
    Fault.PROXY: "check the proxy",
}
_KEYS = "BULK_TRIGGER_APP_KEY and BULK_TRIGGER_APP_SECRET"
_TOKEN_CURES: Mapping[int | None, str] = {
    1002: "BULK_TRIGGER_APP_KEY is not known there: check it, and that --gateway is its environment",
    1003: "check BULK_TRIGGER_APP_SECRET, and the clock of this machine",
}


def connection_lines(answers: Answers, settings: Settings) -> Iterator[Line]:
    """The four lines, in the order in which a call meets their things."""
    place = settings.gateway
    if answers.no_credentials:
        yield not_asked(ADDRESS, f"{place}: nothing was asked, for want of credentials")
        yield not_asked(TLS, "nothing was asked")
        yield Line(TOKEN, Mark.WRONG, answers.no_credentials)
        yield not_asked(SERVICE, "nothing was asked")
        return
    failed = None if answers.ready else answers.token
    yield _address(failed, place)
    yield _tls(failed, place, is_sandbox=settings.is_sandbox)
    yield _token(failed, answers)
    yield _service(answers, settings.api)


def _address(failed: Reply | None, place: str) -> Line:
    if failed is None or (failed.fault is None and _is_of_gateway(failed)):
        return Line(ADDRESS, Mark.OK, f"{place} answers")
    if failed.fault is Fault.TLS:
        return Line(ADDRESS, Mark.OK, f"{place}: something answers")
    found = f"{place}: {said(failed)}"
    if failed.fault is Fault.RESOURCES:
        return Line(ADDRESS, Mark.NOT_KNOWN, found, "raise the limit of this shell: ulimit -n 4096")
    return Line(ADDRESS, Mark.WRONG, found, _address_cure(failed))


def _address_cure(failed: Reply) -> str:
    if failed.fault is not None:
        what = "something takes the call and gives no whole reply: check --gateway, and ask who runs it"
        return _CURES.get(failed.fault, what)
    if failed.status == HTTPStatus.FORBIDDEN:
        return "have the address of this machine allowed on the gateway's IP list"
    return "what answers there is no EnOS API gateway: check --gateway (https://apim-<domain>)"


def _is_of_gateway(reply: Reply) -> bool:
    """Whether a reply is one that the gateway may give, good or bad."""
    if reply.success or (reply.code is not None and reply.code != reply.status):
        return True
    return reply.status in {401, 429} or (reply.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR


def _tls(reply: Reply | None, place: str, *, is_sandbox: bool) -> Line:
    if is_sandbox or urlsplit(place).scheme == "http":
        return Line(TLS, Mark.OK, "none, and none is needed: what is sent stays on this machine")
    if reply is None:
        return Line(TLS, Mark.OK, "the certificate is valid")
    if reply.fault is Fault.TLS:
        cure = (
            "check host and port; the certificate has to be valid for this very name; for an authority of "
            "your own: SSL_CERT_FILE. Verification is never switched off"
        )
        return Line(TLS, Mark.WRONG, said(reply), cure)
    if reply.fault is not None and reply.status is None:
        return not_asked(TLS, "nothing came back that would tell")
    return Line(TLS, Mark.OK, "the certificate is valid")


def _token(failed: Reply | None, answers: Answers) -> Line:
    if failed is not None:
        if failed.fault is not None or not _is_of_gateway(failed):
            return not_asked(TOKEN, "the token service was not reached")
        if verdict_of(failed).kind in {Kind.REFUSED, Kind.TOKEN}:
            cure = _TOKEN_CURES.get(failed.code, f"check {_KEYS}")
            return Line(TOKEN, Mark.WRONG, said(failed), cure)
        return Line(
            TOKEN, Mark.NOT_KNOWN, f"the token service says {said(failed)}", "try again a little later"
        )
    clock = answers.clock
    if clock is not None and not is_answer(clock) and verdict_of(clock).kind is Kind.TOKEN:
        cure = f"check {_KEYS}, and the clock of this machine"
        return Line(TOKEN, Mark.WRONG, f"given, and then not accepted: {said(clock)}", cure)
    if answers.heard:
        return Line(TOKEN, Mark.OK, "given, and accepted")
    return not_asked(TOKEN, "given; whether it is accepted was not found out")


def _service(answers: Answers, api: str) -> Line:
    clock = answers.clock
    if clock is None:
        return not_asked(SERVICE, "not asked, for want of a token")
    if answers.heard:
        return Line(SERVICE, Mark.OK, f"the batch service answers in {api}")
    verdict = verdict_of(clock)
    if clock.fault is not None or verdict.kind is Kind.TOKEN:
        return not_asked(SERVICE, f"not reached: {said(clock)}")
    if verdict.kind is Kind.REFUSED or verdict.nonsense:
        cure = f"check --api ({api}), whether the batch service is there, and whether the app may call it"
        return Line(SERVICE, Mark.WRONG, said(clock), cure)
    return Line(SERVICE, Mark.NOT_KNOWN, said(clock), "try again a little later")
