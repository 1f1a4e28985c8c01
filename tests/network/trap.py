"""A listener that nobody may ever call, though a careless program would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import socket


class Trap:
    """Counts who knocks. Nobody is let in, and the kernel keeps those who come."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"

    @property
    def knocks(self) -> int:
        """Connections since it was last looked at."""
        count = 0
        while True:
            try:
                self._listener.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1


@contextmanager
def trap() -> Iterator[Trap]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Trap(listener)
