"""The command line: one file per command. A command turns what was typed into calls of `launch`."""

from __future__ import annotations

from .program import main

__all__ = ["main"]
