"""What an error means for the call that it ended, in the words of `model.Fault`.

Rule 1: an error that no table lists is taken for the worst: sent, and its end unknown.
Rule 2: "not sent" is said only where no byte of the body was handed to the transport, so it errs on the
        safe side: what lies in a buffer of ours, of TLS or of the kernel counts as sent.
"""

from __future__ import annotations

from collections.abc import Mapping
import errno
import socket
import ssl

import aiohttp

from ..model import Fault

#: What an aiohttp error means. The most specific class that is listed counts.
_FAULTS: Mapping[type[BaseException], Fault] = {
    aiohttp.ClientConnectorDNSError: Fault.NAME,
    aiohttp.ClientConnectorCertificateError: Fault.TLS,
    aiohttp.ClientConnectorSSLError: Fault.TLS,
    aiohttp.ClientHttpProxyError: Fault.PROXY,
    aiohttp.ClientProxyConnectionError: Fault.PROXY,
    aiohttp.ClientConnectorError: Fault.UNREACHABLE,
    aiohttp.ConnectionTimeoutError: Fault.CONNECT_TIMEOUT,
    TimeoutError: Fault.TIMEOUT,
    aiohttp.ServerDisconnectedError: Fault.RESET,
    aiohttp.ClientOSError: Fault.RESET,
    aiohttp.ClientConnectionResetError: Fault.RESET,
    aiohttp.ClientPayloadError: Fault.CUT,
    aiohttp.ClientResponseError: Fault.MALFORMED,
}

#: Why a connection could not be made, where the system says more than "unreachable".
_CONNECT_FAULTS: Mapping[int | None, Fault] = {
    errno.ECONNREFUSED: Fault.REFUSED,
    errno.ETIMEDOUT: Fault.CONNECT_TIMEOUT,
    errno.EMFILE: Fault.RESOURCES,
    errno.ENFILE: Fault.RESOURCES,
    errno.ENOBUFS: Fault.RESOURCES,
    errno.ENOMEM: Fault.RESOURCES,
    errno.EADDRNOTAVAIL: Fault.RESOURCES,
}

#: What an error means that kept the direct wire from making a connection. The most specific class counts.
_DIAL_FAULTS: Mapping[type[BaseException], Fault] = {
    socket.gaierror: Fault.NAME,
    UnicodeError: Fault.NAME,
    ssl.SSLEOFError: Fault.UNREACHABLE,  # hung up in the middle: no verdict on its certificate
    ssl.SSLError: Fault.TLS,
    TimeoutError: Fault.CONNECT_TIMEOUT,
    OSError: Fault.UNREACHABLE,
}

#: If the body was not touched at all, these become certainties.
_UNSENT = {Fault.RESET: Fault.NOT_SENT, Fault.TIMEOUT: Fault.CONNECT_TIMEOUT}


class AboutToReplay(Exception):  # noqa: N818 - it wraps an error, it is none
    """Carries, as its cause, an error on which aiohttp would send a GET again by itself."""


class Unfit(Exception):  # noqa: N818 - the reply is unfit, we are not
    """A reply came that must not be used."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


def fault_of(error: BaseException, *, untouched: bool) -> tuple[Fault, str]:
    """What an error means. `untouched`: there is a body, and no byte of it was handed over."""
    if isinstance(error, AboutToReplay) and error.__cause__ is not None:
        error = error.__cause__
    text = str(error) or type(error).__name__
    if isinstance(error, Unfit):
        return error.fault, text
    fault = _listed(error, _FAULTS)
    if fault is None:
        return Fault.RESET, _unforeseen(error)
    if fault is Fault.UNREACHABLE and isinstance(error, OSError):
        return _CONNECT_FAULTS.get(error.errno, fault), text
    if fault is Fault.TLS and isinstance(error.__cause__, ssl.SSLEOFError):
        return (
            Fault.UNREACHABLE,
            text,
        )  # hung up in the middle of the handshake: no verdict on its certificate
    return (_UNSENT.get(fault, fault) if untouched else fault), text


def dial_fault(error: BaseException) -> tuple[Fault, str]:
    """What an error means that came before the direct wire had a connection."""
    fault = _listed(error, _DIAL_FAULTS)
    if fault is None:
        return Fault.RESET, _unforeseen(error)
    if fault is Fault.UNREACHABLE and isinstance(error, OSError):
        fault = _CONNECT_FAULTS.get(error.errno, fault)
    return fault, str(error) or "no connection within its time"


def _listed(error: BaseException, table: Mapping[type[BaseException], Fault]) -> Fault | None:
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)


def _unforeseen(error: BaseException) -> str:
    return f"unforeseen {type(error).__name__}: {str(error) or type(error).__name__}"
