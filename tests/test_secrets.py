"""P28: secrets appear nowhere but in the request. What a run leaves, says and shows, and the search itself.

The search of `canary` follows every test of this folder; here it is shown that it finds what is there, and
the program is brought to where secrets would slip out: crashes, debug modes, dumps, process lists.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
import gc
import io
import json
import logging
import os
from pathlib import Path
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from typing import Any
from urllib.parse import quote

import canary
from command import PATIENCE_S, Place
from hypothesis import given
from hypothesis import strategies as st
import pytest
from running import Rig, after, hourly, rig

from bulk_trigger import Rate
from bulk_trigger.cli import main
from bulk_trigger.cli.secrets import APP_KEY, APP_SECRET, read_secrets
from bulk_trigger.errors import BulkTriggerError, RunRefused
from bulk_trigger.gateway.answer import Answer
from bulk_trigger.gateway.auth import Credentials, Signer, Tokens
from bulk_trigger.gateway.envelope import parse
from bulk_trigger.launch import create, execute
from bulk_trigger.masking import mask_of
from bulk_trigger.reader import JobTuples
from bulk_trigger.run import Run
from bulk_trigger.settings import Settings

KEY = "canary-key/9f+1"
SECRET = "canary-secret/47+="  # with characters that a URL writes differently
TOKEN = "canary-token-77"
EVERY_DRESS = [
    (secret, dress) for secret in (KEY, SECRET, TOKEN) for dress in canary.dresses(secret.encode())
]
CHILDREN = "/proc/{0}/task/{0}/children"
LINUX = pytest.mark.skipif(not Path(CHILDREN.format(os.getpid())).exists(), reason="reads /proc")


# --- the search finds what is there


def plant_text(folder: Path, planted: bytes) -> None:
    (folder / "notes.log").write_bytes(b"some text " + planted + b" and more")


def plant_row(folder: Path, planted: bytes) -> None:
    """In a journal; while it is open the row is in the write-ahead log alone."""
    journal = sqlite3.connect(folder / "journal.db")
    journal.execute("PRAGMA journal_mode = WAL")
    journal.execute("CREATE TABLE notes (json BLOB)")
    journal.execute("INSERT INTO notes VALUES (?)", (planted,))
    journal.commit()
    KEPT.append(journal)


KEPT: list[sqlite3.Connection] = []  #: a closed journal has no write-ahead log any more


def plant_deep(folder: Path, planted: bytes) -> None:
    (folder / "runs" / "one").mkdir(parents=True)
    (folder / "runs" / "one" / "progress.json").write_bytes(b'{"why": "' + planted + b'"}')


def plant_name(folder: Path, planted: bytes) -> None:
    (folder / os.fsdecode(planted.replace(b"/", b"_").replace(b"\0", b""))).touch()


@pytest.mark.parametrize("plant", [plant_text, plant_row, plant_deep, plant_name])
@pytest.mark.parametrize(("secret", "dress"), EVERY_DRESS)
def test_a_planted_secret_is_found_in_any_dress_and_any_file(
    plant: Any, secret: str, dress: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The scanner is no proof unless it can find something."""
    if plant is plant_name and dress == "utf-16":
        pytest.skip("no file name is written like that")
    folder = tmp_path_factory.mktemp("planted")
    assert list(canary.found_below(folder)) == []

    plant(folder, canary.dresses(secret.encode())[dress])

    assert list(canary.found_below(folder))
    for journal in KEPT:
        journal.close()
    KEPT.clear()


@given(
    before=st.binary(max_size=7), behind=st.binary(max_size=7), place=st.sampled_from([KEY, SECRET, TOKEN])
)
def test_base64_is_seen_through_whatever_stands_around_the_secret(
    before: bytes, behind: bytes, place: str
) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert canary.found_in(encode(before + place.encode() + behind))


def test_harmless_files_are_not_suspected(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)  # the user's own file
    (tmp_path / "notes").write_text("a canary, a sandbox, an app, a token")

    assert list(canary.found_below(tmp_path)) == []


LEAKS = {
    "a file": 'def test_leak(tmp_path): (tmp_path / "a.log").write_text("canary-secret-1")',
    "standard output": 'def test_leak(): print("canary-secret-1")',
    "standard error": 'import sys\ndef test_leak(): print("canary-secret-1", file=sys.stderr)',
    "a log": 'import logging\ndef test_leak(): logging.getLogger("x").warning("canary-%s", "secret-1")',
    "a child": 'import subprocess\ndef test_leak(): subprocess.run(["echo", "canary-secret-1"], stdout=-1)',
    "a child of the loop": (
        "import asyncio\nasync def test_leak():\n"
        '    child = await asyncio.create_subprocess_exec("echo", "canary-secret-1", stdout=-1)\n'
        "    await child.communicate()"
    ),
}


def test_a_test_that_leaves_a_secret_behind_fails_whatever_it_asserts(tmp_path_factory: Any) -> None:
    """The seam: the search follows each test, and covers files, output, logs and children."""
    folder: Path = tmp_path_factory.mktemp("inner")
    for number, leak in enumerate(LEAKS.values()):
        (folder / f"test_{number}.py").write_text(leak)
    (folder / "test_none.py").write_text("def test_clean(tmp_path): print('nothing')")
    tests = Path(__file__).parent

    options = ["-q", "-p", "conftest", "-p", "no:cacheprovider", "--rootdir", ".", "--tb=line"]
    options += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    with (folder / "told").open("wb") as told_to:  # a file, so that nobody overhears what was found
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "."],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"},
            stdout=told_to,
            timeout=PATIENCE_S * 2,
            check=False,
        )

    told = (folder / "told").read_text()
    assert done.returncode == 1, told
    assert told.count("ERROR at teardown of test_leak") == len(LEAKS), told
    assert "a secret was left behind" in told
    assert f"{1 + len(LEAKS)} passed, {len(LEAKS)} error" in told


# --- the program's own mask


@given(
    before=st.text(max_size=5),
    behind=st.text(max_size=5),
    secret=st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=8, max_size=30),
)
def test_the_mask_blackens_every_form(before: str, behind: str, secret: str) -> None:
    """P28, F46: plain, percent-encoded, hex, and base64 with whatever stands around it."""
    raw, mask = secret.encode(), mask_of([secret])
    whole = before.encode() + raw + behind.encode()
    for form in (secret, quote(secret, safe=""), raw.hex(), raw.hex().upper()):
        assert form not in mask.sub("***", before + form + behind)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert "***" in mask.sub("***", encode(whole).decode())


def test_a_mask_of_no_secret_changes_nothing() -> None:
    assert mask_of([]).sub("***", "text") == mask_of([""]).sub("***", "text") == "text"


# --- crashes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(APP_KEY, KEY)
    monkeypatch.setenv(APP_SECRET, SECRET)
    return Place(tmp_path, {APP_KEY: KEY, APP_SECRET: SECRET})


def aims(place: Place) -> list[str]:
    """The arguments of a run whose gateway does not matter."""
    jobs = place.jobs([(1, 0), (2, 0)])
    return [
        "run",
        jobs,
        "--gateway",
        "http://127.0.0.1:9",
        "--org-id",
        "o",
        "--user-id",
        "u",
        "--run-dir",
        "r",
    ]


@pytest.mark.parametrize("verbose", [True, False])
def test_a_crash_in_the_engine_tells_no_secret(
    verbose: bool, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """F126: secrets in locals, in the text of an error, and in the error that was the reason for it."""

    def ask(tokens: Tokens, wall_ms: int) -> bytes:
        app_secret = tokens._credentials.app_secret
        reason = ValueError(f"could not encrypt {app_secret} {app_secret.encode().hex()}")
        shown = base64.b64encode(f"{wall_ms}{app_secret}".encode()).decode()
        raise RuntimeError(f"{KEY} {quote(KEY, safe='')} {shown}") from reason

    monkeypatch.setattr(Tokens, "ask", ask)

    assert main([*aims(place), *(["-v"] if verbose else [])]) == BulkTriggerError.exit_code

    told = capsys.readouterr().err
    assert "a bug in bulk-trigger: RuntimeError: *** ***" in told
    assert ("could not encrypt *** ***" in told) is verbose
    assert ("Traceback (most recent call last)" in told) is verbose
    assert canary.found_in(told.encode()) == []


async def test_nothing_of_the_engine_shows_a_secret_in_its_repr(tmp_path: Path) -> None:
    """F126: every living object of ours, in the middle of a run."""
    jobs = hourly(200)
    shown: dict[str, str] = {}

    def look(_: Run) -> None:
        ours = [each for each in gc.get_objects() if str(type(each).__module__).startswith("bulk_trigger.")]
        for each in ours:
            if not type(each).__module__.startswith("bulk_trigger.sandbox"):
                shown[type(each).__qualname__] = shown.get(type(each).__qualname__, "") + repr(each)

    async with rig(tmp_path, "[latency]\nmedian_ms = 5\n") as run:
        await run.trigger(jobs, watch=after(20, look))

    assert {"HttpGateway", "Credentials", "Tokens", "Token", "Signer", "DirectWire", "Run", "Opened"} <= set(
        shown
    )
    assert [
        (name, canary.found_in(text.encode()))
        for name, text in shown.items()
        if canary.found_in(text.encode())
    ] == []


def test_what_a_token_call_brought_is_not_shown_either() -> None:
    """F126: values that live too short to be caught by the test above."""
    body = json.dumps({"status": 0, "data": {"accessToken": TOKEN}}).encode()

    assert canary.found_in(f"{Answer(status=200, body=body)!r} {parse(body, 'status')!r}".encode()) == []
    assert canary.found_in(f"{Credentials(KEY, SECRET)!r} {Signer({'a': 'b'}, SECRET)!r}".encode()) == []


# --- debug modes and dumps


@pytest.mark.asyncio(loop_factories=["real", "uvloop"])
async def test_the_debug_modes_of_the_libraries_tell_no_secret(tmp_path: Path) -> None:
    """F126: asyncio's debug mode, every callback reported as slow, every logger at its most talkative."""
    told = io.StringIO()
    handler, root = logging.StreamHandler(told), logging.getLogger()
    level, loop = root.level, asyncio.get_running_loop()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    jobs = hourly(50)
    scenario = "token_lifetime_s = 1\n" + '[[faults]]\nkind = "reset"\nwhen = "after"\nrate = 0.1\n'
    try:
        async with rig(tmp_path, scenario + '[[faults]]\nkind = "code"\nrate = 0.1\n') as run:
            ending = await run.trigger(jobs, rates=(Rate(40, 1.0),))
    finally:
        loop.set_debug(False)
        root.setLevel(level)
        root.removeHandler(handler)

    assert ending.exit_code == 0
    assert told.getvalue().count("\n") > 1000
    assert "Executing <" in told.getvalue()
    assert canary.found_in(told.getvalue().encode()) == []


@contextmanager
def gateway(place: Place, *arguments: str) -> Iterator[list[str]]:
    """A sandbox in a process of its own; writes its credentials, and gives the arguments of a run."""
    with place.start("sandbox", "--port", "0", *arguments) as process:
        assert process.stdout is not None
        card = json.loads(process.stdout.readline())
        for name in ("appKey", "appSecret"):
            path = place.directory / {"appKey": "app-key", "appSecret": "app-secret"}[name]
            path.write_text(card[name])
            path.chmod(0o600)
        yield ["--gateway", card["url"], "--org-id", card["orgId"], "--user-id", card["userId"]]


FROM_FILES: dict[str, Any] = {
    APP_KEY: "",
    APP_SECRET: "",
    f"{APP_KEY}_FILE": "app-key",
    f"{APP_SECRET}_FILE": "app-secret",
}
SLOW = ("--rate", "20/s", "--no-progress", "--run-dir", "r")


def wait_until_sending(process: subprocess.Popen[str], directory: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        progress = directory / "progress.json"
        if progress.exists() and json.loads(progress.read_bytes()).get("sends", 0) > 0:
            return
        time.sleep(0.01)
    raise AssertionError(f"it never sent anything: {process.poll()}")


@LINUX
def test_a_sandbox_child_is_not_given_the_secrets_of_its_parent(place: Place) -> None:
    """F124, design decision 18: configured credentials are not used, so they go nowhere."""
    jobs = place.jobs((flow, minute) for minute in range(30) for flow in (1, 2))
    with place.start("run", jobs, "--sandbox", *SLOW) as process:
        wait_until_sending(process, place.directory / "r")
        children = Path(CHILDREN.format(process.pid)).read_text().split()
        shown = [
            Path(f"/proc/{child}/{what}").read_bytes()
            for child in children
            for what in ("cmdline", "environ")
        ]
        process.kill()

    assert children
    assert canary.found_in(b"\0".join(shown)) == []


@LINUX
def test_neither_the_process_list_nor_a_dump_of_a_dying_process_shows_a_secret(place: Place) -> None:
    """F124, F127: in the middle of a run with `..._FILE`; then faulthandler at SIGABRT, and what is left."""
    jobs = place.jobs((flow, minute) for minute in range(30) for flow in (1, 2))
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))  # a core is the system's, and holds all there is
    try:
        with (
            gateway(place) as target,
            place.start("run", jobs, *target, *SLOW, PYTHONFAULTHANDLER="1", **FROM_FILES) as process,
        ):
            wait_until_sending(process, place.directory / "r")
            shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            around = Path(f"/proc/{process.pid}/environ").read_bytes()
            process.send_signal(signal.SIGABRT)
            _, told = process.communicate(timeout=PATIENCE_S)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)

    assert b"bulk_trigger" in shown
    assert b"BULK_TRIGGER_APP_SECRET_FILE" in around
    assert "Fatal Python error: Aborted" in told
    assert canary.found_in(b"\0".join([shown, around, told.encode()])) == []
    assert list(canary.found_below(place.directory)) == []


# --- who may read the files


def modes_below(directory: Path) -> Iterator[tuple[str, int]]:
    """The permissions of a directory and its files; those that are gone by the time are left out."""
    for folder, _, names in os.walk(directory):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            yield ("a directory" if stat.S_ISDIR(mode) else path.name, stat.S_IMODE(mode))


def test_the_files_of_a_run_are_its_owners_alone_at_any_moment(place: Place) -> None:
    """F122: under a umask of 000; also those that live for a moment, and results that the user named."""
    jobs = place.jobs((flow, minute) for minute in range(40) for flow in (1, 2))
    seen: set[tuple[str, int]] = set()
    before = os.umask(0o000)
    try:
        with place.start(
            "run", jobs, "--sandbox", "--rate", "100/s", "-o", "named.csv", "--run-dir", "runs/deep/r"
        ) as process:
            while process.poll() is None:
                seen |= set(modes_below(place.directory / "runs"))
            assert process.returncode == 0
        assert place.call("export", "runs/deep/r", "-o", "again.jsonl").returncode == 0
    finally:
        os.umask(before)

    seen |= set(modes_below(place.directory / "runs"))
    assert {mode for what, mode in seen if what == "a directory"} == {0o700}
    assert {(what, mode) for what, mode in seen if what != "a directory" and mode != 0o600} == set()
    assert {"journal.db", "journal.db-wal", "run.lock", "progress.json", "results.csv"} <= dict(seen).keys()
    assert stat.S_IMODE((place.directory / "named.csv").stat().st_mode) == 0o600
    assert stat.S_IMODE((place.directory / "again.jsonl").stat().st_mode) == 0o600


def test_a_run_directory_that_everybody_can_change_is_refused_with_the_cure(tmp_path: Path) -> None:
    """F122: whoever may rename files there could put a journal of his own in place of ours."""
    directory = tmp_path / "r"
    directory.mkdir()
    directory.chmod(0o777)
    settings = Settings(gateway="http://127.0.0.1:9", org_id="o", user_id="u")

    with pytest.raises(RunRefused, match=f"chmod o-w {directory}"):
        create(JobTuples(hourly(2)), directory, settings)
    assert list(directory.iterdir()) == []

    directory.chmod(0o755)
    create(JobTuples(hourly(2)), directory, settings).close()


# --- where results go


def links(place: Path) -> dict[str, Path]:
    """Places for results where something is already."""
    for name in ("victim", "linked", "plain"):
        (place / name).write_text("mine")
    os.link(place / "linked", place / "hard")
    (place / "soft").symlink_to("victim")
    (place / "dangling").symlink_to("nowhere")
    (place / "directory").mkdir()
    os.mkfifo(place / "fifo")
    return {name: place / name for name in ("plain", "hard", "soft", "dangling", "directory", "fifo")}


@pytest.mark.parametrize("kind", ["plain", "hard", "soft", "dangling", "directory", "fifo"])
def test_results_go_nowhere_where_something_is_already(
    kind: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """F121: exit 2, no run is made, and what is there is untouched."""
    target = links(place.directory)[kind]
    before = target.lstat()

    assert main([*aims(place), "-o", str(target)]) == 2

    assert str(target) in capsys.readouterr().err
    assert not (place.directory / "r").exists()
    assert target.lstat() == before
    assert (place.directory / "victim").read_text() == "mine"


def elsewhere() -> Path | None:
    """A directory in another file system, if there is one."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) and shared.stat().st_dev != Path.cwd().stat().st_dev else None


@pytest.mark.parametrize("kind", ["plain", "hard", "soft", "dangling", "elsewhere"])
async def test_results_that_replace_something_replace_only_its_name(tmp_path: Path, kind: str) -> None:
    """F121, P23: `--force`: no link is followed, and other names of the same file keep their content."""
    target = links(tmp_path).get(kind)
    if target is None:
        if (shared := elsewhere()) is None:
            pytest.skip("there is no other file system to write to")
        target = shared / f"{tmp_path.parent.name}-{tmp_path.name}.csv"
        target.write_text("mine")
    jobs = hourly(10)
    try:
        async with rig(tmp_path) as run:
            ending = await trigger_into(run, jobs, target)

        assert ending == 0
        assert not target.is_symlink()
        assert target.read_bytes() == (run.directory / "results.csv").read_bytes()
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert {(tmp_path / name).read_text() for name in ("victim", "linked")} == {"mine"}
        assert not (tmp_path / "nowhere").exists()
        assert list(target.parent.glob(f".{target.name}.*")) == []
    finally:
        if kind == "elsewhere":
            target.unlink()


async def trigger_into(run: Rig, jobs: list[tuple[int, int]], target: Path) -> int:
    with create(JobTuples(jobs), run.directory, run.settings(), outputs=[target], force=True) as opened:
        return (await execute(opened, run.credentials, outputs=[target])).exit_code


# --- where credentials come from


def test_a_dot_env_file_is_never_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """F125: whoever wrote the directory would choose the account."""
    (place.directory / "secret").write_text(f"{APP_KEY}={KEY}\n{APP_SECRET}={SECRET}\n")
    (place.directory / ".env").symlink_to("secret")
    monkeypatch.delenv(APP_KEY)
    monkeypatch.delenv(APP_SECRET)

    assert main(aims(place)) == 2
    assert f"{APP_KEY} is not set" in capsys.readouterr().err


def test_a_secret_in_a_work_tree_is_warned_about(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """F125: it is committed one day; and one that others can read is told about too."""
    warnings: list[str] = []
    deep = place.directory / "deep"
    deep.mkdir()
    (deep / "secret").write_text(SECRET)
    (deep / "secret").chmod(0o644)
    monkeypatch.delenv(APP_SECRET)
    monkeypatch.setenv(f"{APP_SECRET}_FILE", "deep/secret")

    assert read_secrets(warnings.append) == (KEY, SECRET)
    assert warnings == ["deep/secret holds a secret and can be read by others; chmod 600 deep/secret"]

    (place.directory / ".git").mkdir()
    (deep / "secret").chmod(0o600)
    assert read_secrets(warnings.append) == (KEY, SECRET)
    assert "deep/secret holds a secret and lies in a git work tree" in warnings[1]
    assert len(warnings) == 2
