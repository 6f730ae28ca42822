"""What a change of a module's code means, on modules of a few lines."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.code import lines_of_choices, lines_that_differ, runs_otherwise


@pytest.mark.parametrize(
    ("code", "mutated", "is_other"),
    [
        ("a = b + c", "a = b - c", True),
        ("a = b + c", "a = b  +  c", False),
        ("f(*b)", "f(/b)", False),
        (
            "def f(a: int | None) -> int | None: ...",
            "def f(a: int & None) -> int & None: ...",
            False,
        ),
        ("a: int | str = 1", "a: int & str = 1", False),
        ("a: int = 1", "a: int = 2", True),
        ("def f(a: int = 1): ...", "def f(a: int = 2): ...", True),
    ],
    ids=[
        "operator",
        "spaces",
        "does not compile",
        "annotation",
        "annotation of a variable",
        "value of a variable",
        "default",
    ],
)
def test_a_mutant_compiles_to_something_else(code: str, mutated: str, is_other: bool) -> None:
    assert runs_otherwise(code, mutated) is is_other


def test_the_lines_that_differ_have_no_indentation() -> None:
    code = "def f():\n    if a:\n        return 1\n    return 2\n"
    assert lines_that_differ(code, code.replace("1", "2")) == ("return 1", "return 2")
    assert lines_that_differ(code, code.replace("    if a:\n", "    if b:\n")) == ("if a:", "if b:")


def test_a_line_that_is_gone_differs_from_nothing() -> None:
    assert lines_that_differ("@a\n@b\ndef f(): ...", "@b\ndef f(): ...") == ("@a", "")


def test_fields_of_classes_are_choices_and_their_methods_are_not() -> None:
    code = """
class Settings(Section):
    half_life_days: HalfLifeDays = 60.0
    neighbors: int = Field(
        50, ge=1
    )
    def half(self):
        return self.neighbors / 2

Count = Annotated[int, Field(ge=1)]
LIMIT = 3
"""
    assert lines_of_choices(ast.parse(code)) == {3, 4, 5, 6, 10}


def test_how_a_model_is_configured_is_a_choice() -> None:
    code = (
        "class Contract(BaseModel):\n    model_config = ConfigDict(\n        frozen=True\n    )\n"
    )
    assert lines_of_choices(ast.parse(code)) == {2, 3, 4}
