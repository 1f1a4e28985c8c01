"""Small changes of the pure modules, one at a time, and whether their tests notice (by hand, not in CI).

    python tests/mutation/mutants.py [MODULE ...]        such as `verdicts` or `reconcile.doubt`

Prints a line for every mutant that no test killed, and a sum per module; `survivors.md` explains those that
are left. Every mutant is imported from memory in a fork of this process, so nothing on disk changes, and
what the tests stand on is loaded once. Needs `fork`: Linux.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
import multiprocessing
import os
from pathlib import Path
import resource
import sys
import time
from types import CodeType, ModuleType

import aiohttp  # noqa: F401 - loaded once, for all forks; as are the next ones
import hypothesis
import orjson  # noqa: F401
import pytest
import pytest_asyncio  # noqa: F401

ROOT = Path(__file__).parents[2]
MEMORY = 3 << 30  #: bytes; a mutant that never stops must not take the machine with it

#: The tests of each module, the quickest first.
TESTS = {
    "verdicts": ("verdicts",),
    "retry": ("retry",),
    "limiter": ("limiter",),
    "lanes": ("lanes",),
    "health": ("health",),
    "instances": ("instances", "reconcile"),
    "model": ("model", "retry", "instances"),
    "quantities": ("quantities",),
    "totals": ("tally", "results"),
    "cells": ("results",),
    "reconcile.doubt": ("reconcile",),
    "reconcile.calibration": ("reconcile",),
    "reconcile.pages": ("pages",),
    "reader.fields": ("fields", "times"),
    "reader.times": ("times", "reader_csv", "reader_jsonl"),
    "gateway.auth": ("auth",),
    "gateway.envelope": ("envelope",),
    "gateway.headers": ("envelope",),
    "journal.accounting": ("journal_check", "accounting", "journal"),
    "journal.grouping": ("journal_import", "journal"),
}

_SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
#: Where one part may be left out.
_PARTS: dict[type[ast.AST], str] = {
    ast.BoolOp: "values",
    ast.Set: "elts",
    ast.Call: "keywords",
    ast.Match: "cases",
    ast.MatchOr: "patterns",
}
_NOT_CODE = {"annotation", "returns", "decorator_list", "type_params", "bases"}


@dataclass(frozen=True)
class Mutant:
    """A change of one place."""

    line: int
    change: str
    code: CodeType


def mutants(path: Path) -> Iterator[Mutant]:
    """Give every mutant of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    for parent, field, index, node, in_function in list(_places(tree, in_function=False)):
        for change, other in _variants(node, in_function=in_function):
            _put(parent, field, index, other)
            try:
                code = compile(ast.fix_missing_locations(tree), str(path), "exec")
            except (SyntaxError, ValueError):  # a place where this change makes no program
                continue
            finally:
                _put(parent, field, index, node)
            line = getattr(node, "lineno", getattr(parent, "lineno", 0))
            yield Mutant(line, change, code)


def _places(
    parent: ast.AST, *, in_function: bool
) -> Iterator[tuple[ast.AST, str, int | None, ast.AST, bool]]:
    """Give (parent, field, index, node, whether in a function) of all that may be changed."""
    in_function = in_function or isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for field, value in ast.iter_fields(parent):
        if field in _NOT_CODE or (isinstance(parent, ast.ClassDef) and field == "keywords"):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.AST) and not _is_text(node):
                yield parent, field, index, node, in_function
                yield from _places(node, in_function=in_function)


def _is_text(node: ast.AST) -> bool:
    """Whether it is for readers and type checkers only."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_docstring or isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert)


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _variants(node: ast.AST, *, in_function: bool) -> Iterator[tuple[str, ast.AST]]:
    """Give (what is different, the node in its place)."""
    for other in _swapped(node):
        yield f"{_text(node)}  →  {_text(other)}", other
    for part, other in _without_a_part(node, in_function=in_function):
        yield f"without {_text(part)}", other
    match node:
        case ast.If(test=test) | ast.IfExp(test=test):
            for always in (True, False):
                yield f"if {_text(test)}  →  if {always}", _with(node, test=ast.Constant(always))
        case ast.While(test=test):
            yield f"while {_text(test)}  →  while False", _with(node, test=ast.Constant(value=False))
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield f"{_text(node)}  →  return None", _with(node, value=ast.Constant(None))


def _swapped(node: ast.AST) -> Iterator[ast.AST]:
    yield from (kind() for kind in _SWAPS.get(type(node), ()))
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Name(id=name) if name in _NAMES:
            yield _with(node, id=_NAMES[name])


def _without_a_part(node: ast.AST, *, in_function: bool) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Give (the part, the node without it)."""
    if field := _PARTS.get(type(node)):
        parts = getattr(node, field)
        for i, part in enumerate(parts):
            yield part, _with(node, **{field: parts[:i] + parts[i + 1 :]})
    match node:
        case ast.Dict(keys=keys, values=values) if not in_function:
            for i, value in enumerate(values):
                rest = ast.Dict(keys[:i] + keys[i + 1 :], values[:i] + values[i + 1 :])
                yield keys[i] or value, rest
        case ast.comprehension(ifs=[condition]):
            yield condition, _with(node, ifs=[])
        case ast.match_case(guard=ast.expr() as guard):
            yield guard, _with(node, guard=None)
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Expr():
            yield node, ast.Pass()
        case ast.Assign() | ast.AugAssign() if in_function:
            yield node, ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    other = copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _text(node: ast.AST) -> str:
    try:
        text = ast.unparse(ast.fix_missing_locations(node))
    except (AttributeError, KeyError):
        text = ""
    return " ".join((text or type(node).__name__).split())


class _Instead(MetaPathFinder, Loader):
    """Imports one module from a code object."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name, self._code = name, code

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


def _run_tests(name: str, code: CodeType, files: Sequence[str]) -> None:
    """In the fork: exit with 0 if all the tests pass."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.meta_path.insert(0, _Instead(f"bulk_trigger.{name}", code))
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        max_examples=50,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    )
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
    os._exit(pytest.main([*options, "-W", "ignore::pytest.PytestAssertRewriteWarning", *files]))


def survives(name: str, code: CodeType, limit_s: float) -> bool:
    """Whether all the tests of a module pass with this code in its place. To run on and on is to fail."""
    files = [f"tests/test_{each}.py" for each in TESTS[name]]
    fork = multiprocessing.get_context("fork").Process(target=_run_tests, args=(name, code, files))
    fork.start()
    fork.join(limit_s)
    fork.kill()
    fork.join()
    return fork.exitcode == 0


def try_module(name: str) -> None:
    """Try all mutants of a module, and print what is left."""
    path = ROOT / "bulk_trigger" / f"{name.replace('.', '/')}.py"
    start = time.monotonic()
    if not survives(name, compile(path.read_text("utf-8"), str(path), "exec"), 120):
        raise SystemExit(f"{name}: its tests fail without any change")
    limit_s = 3 + 3 * (time.monotonic() - start)
    tried = left = 0
    for mutant in mutants(path):
        tried += 1
        if survives(name, mutant.code, limit_s):
            left += 1
            sys.stdout.write(f"{name}:{mutant.line}: {mutant.change}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{name}: {tried} mutants, {tried - left} killed, {left} survived\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.chdir(ROOT)
    for module in sys.argv[1:] or TESTS:
        try_module(module)
