"""Fuzz target: settings of any bytes, from the settings file, the environment and the command line at once.

An input has three parts: the file, lines of NAME=VALUE, and one argument per line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import math
import os
from pathlib import Path
import tempfile
from urllib.parse import urlsplit

import click
import msgspec

from bulk_trigger import SettingsError
from bulk_trigger.cli.console import Console
from bulk_trigger.cli.merge import settings_of
from bulk_trigger.cli.run import run
from bulk_trigger.cli.secrets import redact
from bulk_trigger.quantities import parse_rate
from bulk_trigger.settings import Settings

CUT = b"\n----\n"
CANARY = "canary-7f31"
_TARGET = b"--gateway\nhttps://apim.example\n--org-id\no1\n--user-id\nu1"
GOOD = (
    CUT.join(
        (
            b'gateway = "https://apim.example"\norg-id = "o1"\nuser-id = "u1"\nrate = ["50/s", "2000/m"]\n',
            b"BULK_TRIGGER_TIMEOUT=30s\nBULK_TRIGGER_IN_FLIGHT=64\nBULK_TRIGGER_MAX_FAILURES=5%",
            b"--patience\n15m\n--drain\n500ms",
        )
    ),
    b'[run]\ntimezone = "Asia/Shanghai"\ntime-unit = "ms"\nretries = 3\n' + CUT * 2 + _TARGET,
    CUT + b"BULK_TRIGGER_RATE=none\nBULK_TRIGGER_SANDBOX=1\nBULK_TRIGGER_ROWS=1-1000" + CUT + b"-j\n5",
    CUT * 2 + b"--sandbox\n--seed\n7\n--rate\n5/s\n--rate\n100/d\n--reconcile-wait\n1.5h\n--rows\n2-9",
    CUT * 2 + _TARGET + b"\n--max-failures\n10\n--on-62109\nretry\n--order\ntime\n--durability\nprocess",
)
WORDS = (
    b"BULK_TRIGGER_", b"RATE=", b"GATEWAY=", b"50/s", b"0/s", b"999999999/d", b"1e3/s", b"none", b"5%",
    b"100.001%", b"99999999999999999999h", b"0.0000001s", b"-1s", b"inf", b"nan", b"1-1", b"9-1",
    b"--rate\n", b"--timeout\n", b"--gateway\n", b"http://", b"https://u:p@h", b"https://[::1",
    b"http://127.0.0.1:9", b"http://localhost.evil", b"https://h:99999", b"https://h/p?q#f", b"\xff\xfe",
    b"--config\n", b"--help", b"--app-secret\nx", b"= {", b"[[run]]", b'"""', b"[run]\n", b"rate = [",
    b"1979-05-27T07:32:00Z", b"true", b"0x10", b"inf\n", b"app-secret = ", b"=1\n", b"--timezone\n../x",
    b"--run-dir\n/", b"--output\n-", b"--seed\n", b"-j\n", b"--in-flight\n", b"--retries\n", CUT,
)  # fmt: skip


def set_up(data: bytes) -> None:
    """F119, F128, P25, P28: settings that make sense, or words that say why not and hold no secret."""
    toml, environment, arguments = [*data.split(CUT, 2), b"", b""][:3]
    with tempfile.TemporaryDirectory() as folder, _environment(environment):
        path = Path(folder, "settings.toml")
        path.write_bytes(toml)
        words = [os.fsdecode(word) for word in arguments.split(b"\n") if word and b"\0" not in word]
        try:
            with run.make_context("run", ["jobs.csv", "--config", str(path), *words], obj=Console()) as ctx:
                settings = settings_of(ctx)
        except click.exceptions.Exit:
            return  # --help
        except (click.ClickException, SettingsError) as error:
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            assert text
            assert CANARY not in redact(text)
            return
    assert_sound(settings)


def assert_sound(settings: Settings) -> None:
    """What is accepted makes sense, and is stored so that `resume` has the very same."""
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
    for seconds in (settings.timeout_s, settings.drain_s, settings.patience_s, settings.reconcile_wait_s):
        assert math.isfinite(seconds)
        assert seconds >= 0
    assert settings.timeout_s > 0
    assert settings.in_flight >= 1
    assert settings.retries >= 0
    for rate in settings.rates:
        assert parse_rate(str(rate)) == rate
        assert rate.count >= 1
    limit = settings.max_failures
    assert limit is None or 0 <= limit.number <= (100 if limit.percent else 10**9)
    assert settings.rows is None or settings.rows[0] >= 0
    if settings.is_sandbox:
        return
    parts = urlsplit(settings.gateway)
    assert parts.hostname
    assert "@" not in settings.gateway
    assert parts.path in {"", "/"}
    host = parts.hostname or ""
    assert parts.scheme == "https" or host in {"localhost", "::1"} or host.startswith("127.")
    assert settings.org_id
    assert settings.user_id


@contextmanager
def _environment(lines: bytes) -> Iterator[None]:
    """The process's environment with these variables, and with secrets that no message may hold."""
    before = {name: value for name, value in os.environ.items() if name.startswith("BULK_TRIGGER")}
    for name in before:
        del os.environ[name]
    os.environ["BULK_TRIGGER_APP_KEY"] = f"key-{CANARY}"
    os.environ["BULK_TRIGGER_APP_SECRET"] = CANARY
    ours = {"BULK_TRIGGER_APP_KEY", "BULK_TRIGGER_APP_SECRET"}
    try:
        for line in lines.split(b"\n"):
            variable, equals, value = os.fsdecode(line.replace(b"\0", b"")).partition("=")
            if variable.startswith("BULK_TRIGGER_") and equals:
                os.environ[variable] = value
                ours.add(variable)
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        os.environ.update(before)
