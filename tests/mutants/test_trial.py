"""Mutants of a module of one line before tests that read the file instead of running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("cosmic_ray")

from cosmic_ray.work_db import WorkDB, use_db

from tests.mutants import trial
from tests.mutants.mutations import drawn, items_of
from tests.mutants.pytest_run import Outcome, Runs
from tests.mutants.trial import Spark, Trial, survived

MODULE = Path("module.py")
CODE = "def f(a, b):\n    return a + b < 3\n"
PLUS, MORE, LESS = Path("test_plus.py"), Path("test_more.py"), Path("test_less.py")
FOREVER = float("inf")


class Reading(Runs):
    """Each test passes as long as the module holds its sign; which met what is written down."""

    def __init__(self) -> None:
        self.met: list[tuple[str, str]] = []

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], timeout_seconds: float
    ) -> Outcome:
        code = MODULE.read_text(encoding="utf-8")
        [test] = [name for name in arguments if name.startswith("test_")]
        self.met.append((test, code.splitlines()[-1].strip()))
        signs = {str(PLUS): " + ", str(MORE): " < 3", str(LESS): " - "}
        return Outcome(passed=signs[test] in code, in_time=True, output="")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    MODULE.write_text(CODE, encoding="utf-8")


def lived(stages: list[list[Path]], runs: Runs, deadline: float = FOREVER) -> dict[str, bool]:
    """Whether each mutant lives, by the line that it makes; without those that were not tried."""
    session = Path("session.sqlite")
    mutants = drawn(items_of(MODULE, session), 0, 0)
    Trial(MODULE, stages, session, runs, Spark(Path("spark")), set()).run(mutants, deadline)
    with use_db(session, WorkDB.Mode.open) as database:
        results = dict(database.results)
    after = {mutant.item.job_id: mutant.after for mutant in mutants}
    return {after[name]: survived(result) for name, result in results.items()}


def test_what_the_first_test_lets_live_meets_the_second_alone() -> None:
    runs = Reading()
    assert lived([[PLUS], [MORE]], runs) == {
        "return a - b < 3": False,
        "return a + b <= 3": False,
        "return a + b >= 3": False,
        "return a + b < 4": False,
        "return a + b < 2": False,
    }
    assert ("test_more.py", "return a - b < 3") not in runs.met
    assert ("test_more.py", "return a + b < 4") in runs.met


def test_a_mutant_that_every_test_lets_live_survives() -> None:
    alive = {line for line, lives in lived([[PLUS]], Reading()).items() if lives}
    assert alive == {
        "return a + b <= 3",
        "return a + b >= 3",
        "return a + b < 4",
        "return a + b < 2",
    }


def test_the_second_test_does_not_run_when_nothing_lives() -> None:
    runs = Reading()
    MODULE.write_text("def f(a, b):\n    return a + b\n", encoding="utf-8")
    assert lived([[PLUS], [MORE]], runs) == {"return a - b": False}
    assert {test for test, _ in runs.met} == {"test_plus.py"}


def test_what_has_not_met_every_test_before_the_deadline_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = Reading()
    met_the_second = lambda: float(any(test == str(MORE) for test, _ in runs.met))  # noqa: E731
    monkeypatch.setattr(trial, "time", SimpleNamespace(monotonic=met_the_second))
    assert lived([[PLUS], [MORE]], runs, deadline=0.5) == {"return a - b < 3": False}


def test_a_module_that_no_test_speaks_of_survives() -> None:
    assert set(lived([[]], Reading()).values()) == {True}


def test_tests_that_fail_as_it_is_judge_nothing() -> None:
    with pytest.raises(trial.TestsFail, match=r"the tests of module\.py fail as it is"):
        lived([[LESS]], Reading())
    assert MODULE.read_text(encoding="utf-8") == CODE
