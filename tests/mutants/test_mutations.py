"""Which changes of a module are mutants, and which of them a sample holds."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray")

from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

from tests.mutants import mutations
from tests.mutants.mutations import drawn, items_of

MODULE = Path("module.py")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def changes(code: str, sample: int = 0, seed: int = 0) -> list[tuple[str, str]]:
    MODULE.write_text(code, encoding="utf-8")
    found = drawn(items_of(MODULE, Path("session.sqlite")), sample, seed)
    return [(mutant.before, mutant.after) for mutant in found]


def test_one_wrong_result_one_moved_bound_and_one_negation_are_kept() -> None:
    assert sorted(changes("def f(a, b):\n    return a + b < b\n")) == [
        ("return a + b < b", "return a + b <= b"),
        ("return a + b < b", "return a + b >= b"),
        ("return a + b < b", "return a - b < b"),
    ]


def test_choices_annotations_and_speed_are_no_mutants() -> None:
    code = """
class Settings(Section):
    model_config = ConfigDict(frozen=True)
    neighbors: int = 50

@cache
def f(a: int | None):
    return not a
"""
    assert changes(code) == [("return not a", "return  a")]


def test_a_larger_sample_holds_a_smaller_one() -> None:
    code = "def f(a, b, c):\n    return a + b - c * 2 > a\n"
    every = changes(code)
    assert len(every) > 5
    assert changes(code, sample=2) == every[:2]
    assert changes(code, sample=4) == every[:4]


def test_another_seed_draws_others() -> None:
    code = "def f(a, b, c):\n    return a + b - c * 2 > a\n"
    draws = {tuple(changes(code, sample=2, seed=seed)) for seed in range(9)}
    assert len(draws) > 1


def test_no_more_changes_are_looked_at_than_the_sample_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = []

    def counting(code: str, operator: Operator, occurrence: int) -> str | None:
        looked_at.append(occurrence)
        return mutate_code(code, operator, occurrence)

    monkeypatch.setattr(mutations, "mutate_code", counting)
    changes("def f(a, b, c):\n    return a + b - c * 2 > a\n", sample=2)
    assert len(looked_at) == 2


def test_a_session_is_read_again_with_the_same_names() -> None:
    MODULE.write_text("def f(a, b):\n    return a + b\n", encoding="utf-8")
    first, again = (items_of(MODULE, Path("session.sqlite")) for _ in range(2))
    assert [item.job_id for item in first] == ["module.py ReplaceBinaryOperator_Add_Sub 0"]
    assert again == first
