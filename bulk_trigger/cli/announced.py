"""A sandbox that tells a person how to use it."""

from __future__ import annotations

import sys
from typing import Self

from ..sandbox import APP_KEY, APP_SECRET, ORG_ID, USER_ID, Sandbox
from . import secrets


class Announced(Sandbox):
    """Says on standard error what to type in another terminal, as soon as it is there."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        sys.stderr.write(
            "the sandbox is running; it is not the real gateway. In another terminal:\n"
            f"  export {secrets.APP_KEY}={APP_KEY} {secrets.APP_SECRET}={APP_SECRET}\n"
            f"  bulk-trigger run samples/jobs.csv --gateway {self.url}"
            f" --org-id {ORG_ID} --user-id {USER_ID}\n"
            "Ctrl-C ends it\n"
        )
        sys.stderr.flush()
        return self
