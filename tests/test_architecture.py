"""The shape of the package: who may import whom, what stays pure, and how large a file may grow.

A new file has to be given its place in `LAYERS`; that is the moment to think about it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "bulk_trigger"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: A file or package imports only from the layers above its own, never from its own.
LAYERS = (
    # words and values that know nothing of each other
    {"errors", "version", "model", "cells", "csv_text", "masking", "sandbox"},
    # decisions and small tools over them
    {"ports", "quantities", "files", "verdicts", "instances", "lanes", "health"},
    {"settings", "reconcile", "runlock", "recap"},
    {"limiter", "retry", "header", "totals", "sightings"},
    {"calls"},
    {"listing"},
    # the stages at the rim
    {"reader", "gateway", "journal", "results", "summary"},
    {"child", "planning", "following"},
    # the run
    {"run"},
    # what people and programs use
    {"launch", "progress", "doctor"},
    {"api", "view", "bench", "report", "cluster"},
    {"__init__", "cli"},
    {"__main__"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

#: Each works on what it is handed; only the run knows them all.
STAGES = {
    "reader",
    "journal",
    "lanes",
    "limiter",
    "gateway",
    "verdicts",
    "retry",
    "reconcile",
    "health",
    "results",
    "summary",
}

PURE = {
    "errors",
    "model",
    "lanes",
    "verdicts",
    "retry",
    "health",
    "instances",
    "quantities",
    "settings",
}
#: The one file of `doctor` that asks the gateway.
ASKS = {"questions"}
#: The files of `planning` that neither ask the gateway nor write.
PURE_PLANNING = {
    "cadence",
    "cron",
    "failed",
    "missing",
    "moments",
    "plan",
    "quartz",
    "ranges",
    "recovery",
    "zones",
}
IMPURE = {"asyncio", "anyio", "aiohttp", "sqlite3", "time", "random", "logging", "os", "threading", "socket"}
CLOCKS = {
    "now",
    "utcnow",
    "today",
}  #: attributes that read a clock

#: Libraries that only these files and packages may import.
ONLY_IN = {
    "aiohttp": {"gateway", "sandbox", "bench"},
    "aiolimiter": {"limiter"},
    "sqlite3": {"journal"},
    "rich": {"view", "report"},
    "click": {"cli"},
    "cronsim": {"planning"},
    "ray": {"cluster"},
}

MOST_LINES = 300
#: Known to be too long, and to be split by noun. Whoever splits one takes it out of here.
TOO_LONG = {"run/dispatch.py", "run/run.py"}

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager"}


def name_of(path: Path) -> str:
    """The file or package right below the root, which has a layer."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


@cache
def imports(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """What a file imports, anywhere in it: our modules, as paths below the root, and foreign libraries."""
    package = path.relative_to(PACKAGE).parts[:-1]
    own: set[str] = set()
    foreign: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = package[: len(package) - (node.level - 1)]
            own |= {".".join((*start, *module)) for module in _targets(start, node)}
        elif isinstance(node, ast.ImportFrom):
            foreign.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Import):
            foreign |= {alias.name.partition(".")[0] for alias in node.names}
    return frozenset(own), frozenset(foreign)


def _targets(start: tuple[str, ...], node: ast.ImportFrom) -> Iterator[tuple[str, ...]]:
    """`from .a import b` is the file a, or a/b; `from . import b` is the file b, or a name of the package."""
    module = tuple(node.module.split(".")) if node.module else ()
    for alias in node.names:
        folder = PACKAGE.joinpath(*start, *module)
        if (folder / f"{alias.name}.py").is_file() or (folder / alias.name).is_dir():
            yield (*module, alias.name)
        elif folder.is_dir():
            yield (*module, "__init__")
        else:
            yield module


def test_every_file_has_exactly_one_place() -> None:
    places = [name for layer in LAYERS for name in layer]

    assert len(places) == len(set(places))
    assert {name_of(path) for path in MODULES} <= set(places), "give the new file a layer"


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_a_module_imports_only_from_layers_above_it(path: Path) -> None:
    name = name_of(path)
    for module in imports(path)[0]:
        other = module.partition(".")[0]
        assert other == name or RANK[other] < RANK[name], f"{module_of(path)} must not import {module}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also not within a package, and not for the type checker only."""
    files = {module_of(path): path for path in MODULES}

    order = list(TopologicalSorter({name: imports(path)[0] for name, path in files.items()}).static_order())

    assert set(files) <= set(order)


def test_stages_do_not_import_one_another() -> None:
    for path in MODULES:
        if (name := name_of(path)) in STAGES:
            others = {module.partition(".")[0] for module in imports(path)[0]} - {name}
            assert not others & STAGES, f"{module_of(path)} must not import {others & STAGES}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_decisions_are_pure(name: str) -> None:
    """Time and chance are arguments: the same input gives the same decision (P32)."""
    path = PACKAGE / f"{name}.py"
    own, foreign = imports(path)
    called = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}

    assert not foreign & IMPURE
    assert own <= PURE
    assert not called & CLOCKS


@pytest.mark.parametrize("name", sorted(PURE_PLANNING))
def test_planning_is_pure_but_for_its_questions_and_its_file(name: str) -> None:
    path = PACKAGE / "planning" / f"{name}.py"
    own, foreign = imports(path)
    called = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}

    assert not foreign & IMPURE
    assert {module for module in own if module.startswith("planning.")} <= {
        f"planning.{n}" for n in PURE_PLANNING
    }
    assert not called & CLOCKS


def test_the_doctor_is_pure_but_for_its_questions() -> None:
    for path in (PACKAGE / "doctor").glob("*.py"):
        if path.stem in ASKS:
            continue
        own, foreign = imports(path)
        called = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}

        assert not foreign & IMPURE, path.name
        assert not own & {"calls", *(f"doctor.{name}" for name in ASKS)}, path.name
        assert not called & CLOCKS, path.name


def test_the_sandbox_imports_nothing_of_ours() -> None:
    """It is the independent witness: a shared mistake could hide in shared code."""
    for path in (PACKAGE / "sandbox").glob("*.py"):
        own, foreign = imports(path)
        assert all(module.startswith("sandbox.") for module in own), path.name
        assert "bulk_trigger" not in foreign, path.name


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_stays_behind_its_files(library: str) -> None:
    users = {name_of(path) for path in MODULES if library in imports(path)[1]}

    assert users <= ONLY_IN[library]


def test_inside_the_package_imports_are_relative() -> None:
    assert [module_of(path) for path in MODULES if "bulk_trigger" in imports(path)[1]] == []


@pytest.mark.parametrize("path", [*MODULES, *sorted(TESTS.rglob("*.py"))], ids=lambda path: path.name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), "the docstring is the legend of the tree"


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_no_file_grows_too_long(path: Path) -> None:
    is_long = len(path.read_text("utf-8").splitlines()) > MOST_LINES

    assert is_long is (path.relative_to(PACKAGE).as_posix() in TOO_LONG), "split it by noun"


def test_no_file_has_a_name_that_says_nothing() -> None:
    names = {part.removesuffix(".py") for path in MODULES for part in path.relative_to(PACKAGE).parts}

    assert not names & VAGUE


def test_tests_use_no_mocks() -> None:
    """The sandbox, scripted servers and small implementations of our ports are real."""
    for path in TESTS.rglob("*.py"):
        words = {
            alias.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) for alias in _aliases(node)
        }
        assert not words & {"mock", "unittest.mock", "MagicMock", "Mock", "patch"}, path.name


def _aliases(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, ast.Import | ast.ImportFrom) else []
