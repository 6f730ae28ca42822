"""The mutants of a module: cosmic-ray's, less those that cannot change what the code does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
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

    def place_in_sample(self, seed: int) -> str:
        """Mutants in this order are shuffled, and a larger sample holds every smaller one."""
        return sha256(f"{seed} {self.item.job_id}".encode()).hexdigest()


def mutants_of(module: Path, session: Path) -> list[Mutant]:
    """All mutants of a module, in the order of its lines.

    module: relative to the working directory. session: cosmic-ray's database of them, written when
    it is not there; one that is there keeps its results.
    """
    code = module.read_text(encoding="utf-8")
    with use_db(session, WorkDB.Mode.create) as database:
        if database.num_work_items == 0:
            init([module], database, {})
            named = [_named(item) for item in database.work_items]
            database.clear()
            database.add_work_items(named)
        items = list(database.work_items)
    choices = lines_of_choices(ast.parse(code))
    logic = [item for item in items if item.mutations[0].start_pos[0] not in choices]
    found = [mutant for item in logic for mutant in _changed(item, code)]
    return sorted(found, key=lambda mutant: (mutant.spec.start_pos, mutant.item.job_id))


def _named(item: WorkItem) -> WorkItem:
    """The item under a name that stays the same from run to run, where cosmic-ray's is random."""
    spec = item.mutations[0]
    return WorkItem.single(f"{spec.module_path} {_kind(spec)} {spec.occurrence}", spec)


def _kind(spec: MutationSpec) -> str:
    return spec.operator_name.rpartition("/")[2]


def _changed(item: WorkItem, code: str) -> Iterator[Mutant]:
    """The mutant, unless it is one that no test could tell from the code."""
    spec = item.mutations[0]
    kind = _kind(spec)
    if "_" in kind and kind not in _KEPT:
        return
    try:
        mutated = mutate_code(code, get_operator(spec.operator_name)(), spec.occurrence)
    except AttributeError:  # cosmic-ray cannot replace `a.b` in `except (a.b, C)`
        return
    if mutated is None or not runs_otherwise(code, mutated):
        return
    before, after = lines_that_differ(code, mutated)
    if not _SPEED.search(before):
        yield Mutant(item, before, after)
