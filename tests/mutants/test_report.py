"""The table and the list of survivors, on a few mutants."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.report import Tried, listed, table, write_survivors

KILLED = Tried("llm", "jobs/llm/a.py:1 f", True, False, False, "-a\n+b")
TIMED_OUT = Tried("llm", "jobs/llm/a.py:2 f", True, True, False, "-c\n+d")
SURVIVED = Tried("llm", "jobs/llm/a.py:3 g", False, False, False, "-e\n+f")
LISTED = Tried("lake", "jobs/lake/b.py:1 h", False, False, True, "-g\n+h")


def test_the_table_counts_each_package() -> None:
    shown = table([KILLED, TIMED_OUT, SURVIVED, LISTED], {"llm": 9, "lake": 4, "recall": 2})
    rows = list(zip(*(list(column.cells) for column in shown.columns), strict=True))
    assert rows == [
        ("llm", "9", "3", "2", "1", "1", "0", "66.7%"),
        ("lake", "4", "1", "0", "0", "1", "1", "0.0%"),
        ("recall", "2", "0", "0", "0", "0", "0", ""),
        ("all", "15", "4", "2", "1", "2", "1", "50.0%"),
    ]


def test_survivors_are_written_with_their_place_and_without_those_that_are_listed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "survivors.diff"
    assert write_survivors(path, [KILLED, SURVIVED, LISTED]) == 1
    assert path.read_text(encoding="utf-8") == "# jobs/llm/a.py:3 g\n-e\n+f\n"


def test_a_listed_mutant_is_known_by_its_lines() -> None:
    page = "# Mutants\n- `jobs/llm/a.py`: `return a | b` becomes `return a & b`: both are one bit\n"
    assert listed(page) == {("jobs/llm/a.py", "return a | b", "return a & b")}


def test_a_mutant_without_a_reason_is_not_listed() -> None:
    assert listed("- `jobs/llm/a.py`: `a` becomes `b`: ") == set()
