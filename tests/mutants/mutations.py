"""The mutants of a module: cosmic-ray's, less those that cannot change what the code does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import islice
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, WorkItem

from tests.mutants.code import lines_of_choices, lines_that_differ, runs_otherwise

# cosmic-ray puts each operator in the place of each other one. Most of these die of a TypeError,
# which says nothing about the tests. One wrong result, one moved bound and one negation are kept.
BINARY = {
    "Add": "Sub", "Sub": "Add", "Mul": "Div", "Div": "Mul", "FloorDiv": "Mul", "Mod": "FloorDiv",
    "Pow": "Mul", "RShift": "LShift", "LShift": "RShift", "BitOr": "BitAnd", "BitAnd": "BitOr",
    "BitXor": "BitAnd",
}  # fmt: skip
COMPARISONS = {
    "Eq": ("NotEq",), "NotEq": ("Eq",), "Is": ("IsNot",), "IsNot": ("Is",),
    "Lt": ("LtE", "GtE"), "LtE": ("Lt", "Gt"), "Gt": ("GtE", "LtE"), "GtE": ("Gt", "Lt"),
}  # fmt: skip
UNARY = ("Delete_Not", "Delete_Invert", "USub_UAdd")
_KEPT = {
    *(f"ReplaceBinaryOperator_{old}_{new}" for old, new in BINARY.items()),
    *(f"ReplaceComparisonOperator_{old}_{new}" for old, all in COMPARISONS.items() for new in all),
    *(f"ReplaceUnaryOperator_{kind}" for kind in UNARY),
}
# These decide how fast a function runs, and nothing else.
_SPEED = re.compile(r"(cache|nogil)=True|@(njit|kernel|cache|lru_cache|cached_property)\b")


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    item: cosmic-ray's own record of it. before, after: the lines that differ.
    """

    item: WorkItem
    before: str
    after: str

    @property
    def spec(self) -> MutationSpec:
        return self.item.mutations[0]

    @property
    def module(self) -> str:
        return self.spec.module_path.as_posix()


def items_of(module: Path, session: Path) -> list[WorkItem]:
    """cosmic-ray's changes of a module, less the kinds and lines that are left out.

    Not each of them changes what the code does: `mutant_of` says which. module: relative to the
    working directory. session: cosmic-ray's database of them, written when it is not there; one
    that is there keeps its results.
    """
    code = module.read_text(encoding="utf-8")
    with use_db(session, WorkDB.Mode.create) as database:
        if database.num_work_items == 0:
            database.add_work_items(_items(module, code))
        items = list(database.work_items)
    choices = lines_of_choices(ast.parse(code))
    return [item for item in items if item.mutations[0].start_pos[0] not in choices]


def _items(module: Path, code: str) -> Iterator[WorkItem]:
    """As cosmic-ray's `init`, with names that are the same each time and without most operators."""
    nodes = list(ast_nodes(get_ast(code)))
    for name in operator_names():
        kind, operator = name.rpartition("/")[2], get_operator(name)
        if operator.arguments() or ("_" in kind and kind not in _KEPT):
            continue
        positions = ((node, at) for node in nodes for at in operator().mutation_positions(node))
        for occurrence, (node, (start, end)) in enumerate(positions):
            within = ASTQuery(node).get_definition_name()
            spec = MutationSpec(module, name, occurrence, start, end, {}, within)
            yield WorkItem.single(f"{module} {kind} {occurrence}", spec)


def drawn(items: Iterable[WorkItem], sample: int, seed: int) -> list[Mutant]:
    """The first mutants in the order that the seed gives, so a larger sample holds a smaller one.

    sample: how many; 0 means all.
    """
    shuffled = sorted(items, key=lambda item: sha256(f"{seed} {item.job_id}".encode()).digest())
    found = (mutant for mutant in map(mutant_of, shuffled) if mutant)
    return list(islice(found, sample or None))


def mutant_of(item: WorkItem) -> Mutant | None:
    """The mutant, unless it is one that no test could tell from the code."""
    spec = item.mutations[0]
    code = _code(spec.module_path.resolve())
    try:
        mutated = mutate_code(code, get_operator(spec.operator_name)(), spec.occurrence)
    except AttributeError:  # cosmic-ray cannot replace `a.b` in `except (a.b, C)`
        return None
    if mutated is None or not runs_otherwise(code, mutated):
        return None
    before, after = lines_that_differ(code, mutated)
    return None if _SPEED.search(before) else Mutant(item, before, after)


@cache
def _code(module: Path) -> str:
    return module.read_text(encoding="utf-8")
