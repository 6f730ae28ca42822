"""Which modules are mutated, and which tests each mutant meets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.scope import LEFT_OUT, PACKAGES, ROOT, TESTS_ELSEWHERE, files_testing, modules


def test_a_module_meets_the_test_of_its_name() -> None:
    assert files_testing(Path("jobs/llm/pace.py")) == [[Path("tests/llm/test_pace.py")]]
    assert files_testing(Path("jobs/lake/intake/mapping.py")) == [
        [Path("tests/lake/intake/test_mapping.py")]
    ]


def test_a_module_without_a_test_of_its_name_meets_those_that_were_named() -> None:
    assert files_testing(Path("jobs/lake/publishing.py")) == [[Path("tests/lake/test_runtime.py")]]


def test_what_the_test_of_its_name_lets_live_meets_those_that_were_named() -> None:
    assert files_testing(Path("jobs/lake/contract.py")) == [
        [Path("tests/lake/test_contract.py")],
        [Path("tests/lake/test_tables.py")],
    ]


def test_a_module_that_has_neither_meets_all_that_import_it() -> None:
    [importing] = files_testing(Path("jobs/lake/intake/drops.py"))
    assert Path("tests/lake/test_step.py") in importing


def test_every_name_that_was_written_down_is_a_file() -> None:
    wanted = [f"jobs/{module}" for module in (*TESTS_ELSEWHERE, *LEFT_OUT)]
    wanted += [f"tests/{test}" for tests in TESTS_ELSEWHERE.values() for test in tests]
    assert [path for path in wanted if not Path(ROOT, path).is_file()] == []


def test_only_names_a_package_a_folder_or_a_module() -> None:
    assert {path.parts[1] for path in modules()} == set(PACKAGES)
    assert {path.parts[:2] for path in modules("llm")} == {("jobs", "llm")}
    assert {path.parts[:3] for path in modules("lake/intake")} == {("jobs", "lake", "intake")}
    assert modules("llm/pace") == modules("jobs/llm/pace.py") == [Path("jobs/llm/pace.py")]


def test_a_name_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="ONLY=lak: not a package"):
        modules("lak")


def test_what_is_left_out_is_not_mutated() -> None:
    assert not {path.relative_to("jobs").as_posix() for path in modules()} & LEFT_OUT.keys()
