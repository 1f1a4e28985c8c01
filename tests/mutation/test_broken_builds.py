"""Each build that is broken on purpose is noticed, by an assertion of the tests that should notice it.

The tests run in a process of their own, against a copy of the package; two builds are tried at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
import os
from pathlib import Path
import re
import subprocess
import sys
from typing import NamedTuple

from broken_builds import BUILDS, Build, Stale, copy_package
import pytest

import bulk_trigger

TESTS = Path(__file__).parents[1]
PACKAGE = Path(bulk_trigger.__file__).parent
AT_ONCE = 2
FAILED = (
    1  #: pytest's exit code when tests failed; errors of another kind have others, but for those in fixtures
)
WHOSE = "whose_build"

#: Says which package the tests got, and stops them if it is not the copy.
_GUARD = """
from pathlib import Path
import pytest
import bulk_trigger

def pytest_configure(config):
    if not Path(bulk_trigger.__file__).is_relative_to(Path(__file__).parent):
        raise pytest.UsageError(f"not the copy, but {bulk_trigger.__file__}")
"""
_ASSERTS = re.compile(r"^FAILED .* - (AssertionError|assert |Failed: DID NOT RAISE)", re.MULTILINE)
_ERRORS = re.compile(r"^ERROR \S+\.py", re.MULTILINE)  #: a file or a fixture that went wrong

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="some of the tests are for POSIX only"),
]


class Trial(NamedTuple):
    """How a build's tests ended."""

    code: int
    said: str


SOUND = Build(
    "nothing", "", "version.py", (), tuple(sorted({test for build in BUILDS for test in build.caught_by}))
)


def attempt(build: Build, place: Path) -> Trial:
    """Run a build's tests against the build. Raises `Stale`."""
    place.mkdir()
    build.apply(copy_package(PACKAGE, place))
    (place / f"{WHOSE}.py").write_text(_GUARD)
    said = place / "said"  # not through a pipe: a test that fails may show the secrets that it works with
    with said.open("wb") as file:
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pytest",
                    "-x",
                    "-q",
                    "--tb=short",
                    "-p",
                    "no:cacheprovider",
                    "-p",
                    WHOSE,
                ),
                *("-c", str(TESTS.parent / "pyproject.toml"), "--rootdir", str(TESTS.parent)),
                *(str(TESTS / test) for test in build.caught_by),
            ],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"},
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
    return Trial(done.returncode, said.read_text("utf-8", "replace"))


@pytest.fixture(scope="session")
def trials(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Trial]]]:
    """The trials of the builds that were asked for, under way two at a time."""
    place = tmp_path_factory.mktemp("builds")
    wanted = {
        item.callspec.params["build"].name
        for item in request.session.items
        if hasattr(item, "callspec") and isinstance(item.callspec.params.get("build"), Build)
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            build.name: pool.submit(attempt, build, place / str(number))
            for number, build in enumerate((SOUND, *BUILDS))
            if build.name in wanted
        }


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: f"{build.breaks} {build.name}")
def test_a_broken_build_is_caught(build: Build, trials: dict[str, Future[Trial]]) -> None:
    """The number of the promise that it breaks stands in the test's id."""
    code, said = trials[build.name].result()

    assert code == FAILED, f"nobody noticed: {said[-3000:]}"
    assert not _ERRORS.search(said), said[-3000:]
    assert _ASSERTS.search(said), f"not by an assertion: {said[-3000:]}"


@pytest.mark.parametrize("build", [SOUND], ids=["unbroken"])
def test_the_same_tests_find_nothing_wrong_with_the_build_as_it_is(
    build: Build, trials: dict[str, Future[Trial]]
) -> None:
    code, said = trials[build.name].result()

    assert code == 0, said[-5000:]


def test_an_edit_that_does_not_fit_any_more_says_so(tmp_path: Path) -> None:
    (tmp_path / "version.py").write_text((PACKAGE / "version.py").read_text())

    with pytest.raises(Stale, match=r"version\.py has 0 times: words that nobody wrote"):
        Build("", "", "version.py", (("words that nobody wrote", ""),), ()).apply(tmp_path)


def test_there_are_enough_builds_and_each_has_a_name_of_its_own() -> None:
    assert len(BUILDS) >= 30
    assert len({build.name for build in BUILDS}) == len(BUILDS)
    assert all(build.caught_by and build.breaks for build in BUILDS)
