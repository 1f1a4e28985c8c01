"""P28: secrets appear nowhere but in the request."""

from __future__ import annotations

import base64
from pathlib import Path
import socket
from urllib.parse import quote

from command import Place
import pytest

from bulk_trigger.cli import main
from bulk_trigger.cli.secrets import APP_KEY, APP_SECRET, read_secrets, redact
from bulk_trigger.errors import SettingsError

KEY = "canary-key/9f+1"
SECRET = "canary-secret/47+="  # with characters that a URL writes differently


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, {APP_KEY: KEY, APP_SECRET: SECRET})


def forms(secret: str) -> list[bytes]:
    """What a secret may look like."""
    raw = secret.encode()
    return [raw, quote(secret, safe="").encode(), base64.b64encode(raw).rstrip(b"="), raw.hex().encode()]


def test_a_run_leaves_no_secret_in_any_output_or_file(place: Place) -> None:
    """P28: the canaries are looked for in every form, in everything that a run leaves."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        gateway = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = place.call(
            *(
                "run",
                place.jobs([(1, 0), (2, 0)]),
                "-v",
                "--gateway",
                gateway,
                "--org-id",
                "o",
                "--user-id",
                "u",
            ),
            *("--patience", "500ms", "--timeout", "500ms", "--run-dir", "run"),
        )

    files = [path.read_bytes() for path in place.directory.rglob("*") if path.is_file()]
    assert done.returncode == 4
    assert len(files) > 3
    for form in [*forms(KEY), *forms(SECRET)]:
        assert not [text for text in [done.stdout.encode(), done.stderr.encode(), *files] if form in text]


@pytest.mark.parametrize("flag", ["--app-secret", "--app-key"])
@pytest.mark.parametrize("separator", [" ", "="])
def test_a_secret_as_a_flag_is_explained_and_not_repeated(
    flag: str, separator: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """F124."""
    arguments = f"run jobs.csv --sandbox {flag}{separator}hunter22".split(" ")

    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert APP_SECRET in printed
    assert "hunter22" not in printed


def test_a_file_is_stripped_and_told_about_if_others_can_read_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F125."""
    warnings: list[str] = []
    place.write("secret", f"\n  {SECRET}\t\n")
    monkeypatch.setenv(APP_KEY, KEY)
    monkeypatch.setenv(f"{APP_SECRET}_FILE", "secret")
    monkeypatch.delenv(APP_SECRET, raising=False)

    (place.directory / "secret").chmod(0o644)
    assert read_secrets(warnings.append) == (KEY, SECRET)
    assert "chmod 600 secret" in warnings[0]

    (place.directory / "secret").chmod(0o600)
    warnings.clear()
    assert read_secrets(warnings.append) == (KEY, SECRET)
    assert not warnings


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, f"{APP_KEY} is not set"),
        ({APP_KEY: KEY}, f"{APP_SECRET} is not set"),
        ({APP_KEY: KEY, APP_SECRET: " "}, f"{APP_SECRET} is not set"),
        ({APP_KEY: KEY, APP_SECRET: SECRET, f"{APP_SECRET}_FILE": "f"}, "both"),
        ({APP_KEY: KEY, f"{APP_SECRET}_FILE": "none"}, "none: No such file"),
        ({APP_KEY: KEY, f"{APP_SECRET}_FILE": "empty"}, "is empty"),
        ({APP_KEY: KEY, APP_SECRET: "canary\nsecret"}, "one value only"),
    ],
)
def test_missing_credentials_are_told_without_what_there_is(
    environment: dict[str, str], told: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("empty", "\n")
    for name in (APP_KEY, APP_SECRET, f"{APP_KEY}_FILE", f"{APP_SECRET}_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as error:
        read_secrets(lambda _: None)

    assert told in str(error.value)
    assert "canary" not in str(error.value)


def test_every_form_of_a_secret_is_blackened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(APP_KEY, KEY)
    monkeypatch.setenv(APP_SECRET, SECRET)
    slipped = f"{SECRET} {quote(SECRET, safe='')} {base64.b64encode(SECRET.encode()).decode()} {KEY}"

    assert redact(slipped) == "*** *** *** ***"
