"""What is said to the person at the terminal, or to the log that took its place.

All of it goes to standard error; standard output carries only what was asked for (`Console.out`). Nothing
that is printed can steer a terminal, whoever wrote it, and a terminal that has gone is no reason to fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
import json
import os
import sys
from typing import Any


class Console:
    """One per process. The flags of the command set its fields before anything is said."""

    def __init__(self) -> None:
        self.quiet = False
        self.verbose = False
        self.as_json = False  #: each line on standard error is a JSON object
        self.print: Callable[[str], None] = _print_error  #: the live view puts itself in between

    def tell(self, event: str, text: str, *, always: bool = False, **facts: Any) -> None:
        """Say something; `quiet` hides it unless `always`. `event` and `facts` are for the JSON form."""
        if self.quiet and not always:
            return
        text = printable(text)
        if self.as_json:
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            text = json.dumps({"at": at, "event": event, "message": text, **facts}, ensure_ascii=False)
        with suppress(OSError, ValueError):  # nobody listens any more; the run goes on
            self.print(text)

    def tell_end(self, event: str, lines: Sequence[str], **facts: Any) -> None:
        """Say how it ended: in all lines, or in the first where little or JSON is wanted."""
        text = "\n".join(lines[:1] if self.quiet or self.as_json else lines)
        self.tell(event, text, always=True, **facts)

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self.tell("error", text if self.as_json else f"error: {text}", always=True)

    def warn(self, text: str) -> None:
        """Say what may go wrong."""
        self.tell("warning", text if self.as_json else f"warning: {text}")

    @staticmethod
    def out(text: str) -> None:
        """Print what was asked for. Raises `BrokenPipeError` when nobody reads it any more."""
        encoding = sys.stdout.encoding or "utf-8"
        text = printable(text).encode(encoding, "backslashreplace").decode(encoding)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def printable(text: str) -> str:
    """Text without anything that steers a terminal; line ends stay."""
    return "\n".join(_line(line) for line in text.split("\n"))


def open_closed_streams() -> None:
    """Give a process whose standard streams were closed (`>&-`) silent ones.

    Without them, the next files that are opened take their numbers, and what is printed lands in these.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - it stays open


def silence_stdout() -> None:
    """Nobody reads standard output any more: keep the interpreter from complaining about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)


def _print_error(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
