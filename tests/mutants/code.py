"""What a change of a module's code means."""

from __future__ import annotations

import ast
from functools import cache

# Defaults, bounds and grids of settings are choices. A test of one would say the number again.
_CHOICES = ("ConfigDict", "Field", "choice")


def runs_otherwise(code: str, mutated: str) -> bool:
    """Whether the mutated module compiles to something else; no annotation is ever evaluated."""
    try:
        tree = ast.parse(mutated)
    except SyntaxError:
        return False
    return _as_it_is(code) != _without_annotations(tree)


@cache
def _as_it_is(code: str) -> str:
    """Kept, because a module is compared with each of its mutants."""
    return _without_annotations(ast.parse(code))


def _without_annotations(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):  # one of a field is a choice, see below
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def lines_that_differ(code: str, mutated: str) -> tuple[str, str]:
    """The lines that the mutation changed, as they are and as they become, without indentation."""
    old, new = code.splitlines(), mutated.splitlines()
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    cut = [lines[start : len(lines) - end] for lines in (old, new)]
    before, after = (" ".join(line.strip() for line in lines) for lines in cut)
    return before, after


def lines_of_choices(tree: ast.Module) -> set[int]:
    """The lines on which settings and data classes say what a field may be."""
    fields = [
        node
        for outer in ast.walk(tree)
        if isinstance(outer, ast.ClassDef)
        for node in outer.body
        if isinstance(node, ast.AnnAssign)
    ]
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _CHOICES
    ]
    choices: list[ast.AnnAssign | ast.Call] = [*fields, *calls]
    return {
        line
        for node in choices
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
