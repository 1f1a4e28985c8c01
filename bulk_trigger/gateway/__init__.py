"""The EnOS API gateway over HTTP: what is said (`http`, `auth`), and how it travels (`direct`, `wire`).

Two wires carry calls: `direct`, made for triggers, and `wire`, on aiohttp, for everything else and behind a
proxy. Both say exactly how far a call got, because that decides whether it may be sent again.
"""

from .auth import Credentials
from .http import HttpGateway

__all__ = ["Credentials", "HttpGateway"]
