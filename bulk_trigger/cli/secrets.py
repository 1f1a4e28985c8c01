"""Where the credentials come from: the environment or a file that it names, and nowhere else.

A flag would show them to everybody on the machine (`ps`), and a settings file gets committed one day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import os
from pathlib import Path

from ..errors import SettingsError
from ..masking import BLACK, mask_of

APP_KEY = "BULK_TRIGGER_APP_KEY"
APP_SECRET = "BULK_TRIGGER_APP_SECRET"  # noqa: S105 - the name of a variable
WHY_NOT = (
    f"the key and the secret are read from {APP_KEY} and {APP_SECRET}, or from the files that "
    f"{APP_KEY}_FILE and {APP_SECRET}_FILE name; a flag would show them to everybody on this machine, and "
    "a settings file is soon copied or committed"
)
_OTHERS = 0o077
_SHORTEST = 4  #: shorter ones would turn up in harmless text


def read_secrets(warn: Callable[[str], None]) -> tuple[str, str]:
    """Give key and secret. `warn` is told about files that others can read. Raises `SettingsError`."""
    return _read(APP_KEY, warn), _read(APP_SECRET, warn)


def redact(text: str) -> str:
    """Text without the secrets that are configured, in any form in which they may have slipped in."""
    return mask_of(_configured()).sub(BLACK, text)


def _read(name: str, warn: Callable[[str], None]) -> str:
    value, path = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if value and path:
        raise SettingsError(f"both {name} and {name}_FILE are set; keep one of them")
    if path:
        value = _read_file(name, Path(path), warn)
    if not value or not value.strip():
        where = f"the file that {name}_FILE names is empty" if path else f"{name} is not set"
        raise SettingsError(f"no credentials: {where}; set {name}, or {name}_FILE to the path of a file")
    if not value.strip().isprintable():
        raise SettingsError(f"{name}: it has line breaks or control characters inside; give one value only")
    return value.strip()


def _read_file(name: str, path: Path, warn: Callable[[str], None]) -> str:
    try:
        if os.name != "nt" and path.stat().st_mode & _OTHERS:
            warn(f"{path} holds a secret and can be read by others; chmod 600 {path}")
        if any((place / ".git").exists() for place in path.resolve().parents):
            warn(f"{path} holds a secret and lies in a git work tree; keep it where nobody can commit it")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{name}_FILE: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name}_FILE: {path} is not text") from None


def _configured() -> Iterator[str]:
    for name in (APP_KEY, APP_SECRET):
        try:
            secret = _read(name, lambda _: None)
        except SettingsError:  # there is none, or none that could have been used
            secret = os.environ.get(name, "")
        if len(secret) >= _SHORTEST:
            yield secret
