"""Trying mutants: each is written into the copy of the repository, and its tests are run there.

Runs in the copy, as its working directory, so that test processes, Spark's Python workers and
whatever a test starts all import the mutated module.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

from infra.stack import spark_connect
from tests.mutants.mutations import Mutant
from tests.mutants.pytest_run import Outcome, Runs
from tests.mutants.report import TIMED_OUT

NO_TEST = "no test speaks of this module"
_SLOWER = 3
_SPARE_SECONDS = 20
_LONGEST_SECONDS = 1800


class TestsFail(Exception):
    """The tests of a module fail without any mutation, so they can judge none."""


class Spark:
    """One Spark Connect server for the tests of all mutants, started when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self._url = ""

    def url(self) -> str:
        if not self._url:
            self._url = self._running.enter_context(spark_connect(self._folder))
        return self._url

    def end(self) -> None:
        """End the server, and with it what a mutant left running there."""
        self._running.close()
        self._url = ""


class Trial:
    """The mutants of one module before its tests.

    stages: the test files of each; a mutant that one lets live meets the next. on_spark: those of
    them that need Spark. Raises TestsFail when a stage fails on the module as it is, before the
    first mutant or, with Spark, after the last: then something else than the mutants failed, and no
    result is kept.
    """

    def __init__(
        self,
        module: Path,
        stages: Sequence[Sequence[Path]],
        session: Path,
        runs: Runs,
        spark: Spark,
        on_spark: set[Path],
    ) -> None:
        self._module = module
        self._stages = stages
        self._session = session
        self._runs = runs
        self._spark = spark
        self._on_spark = on_spark
        code = module.read_text(encoding="utf-8")
        self._is_compiled = "import njit" in code or "import kernel" in code

    def run(self, mutants: Sequence[Mutant], deadline: float) -> int:
        """Try the mutants until the deadline (`time.monotonic`); how many were tried."""
        found: dict[str, WorkResult] = {}
        alive = list(mutants)
        for tests in self._stages:
            tried = self._stage(tests, alive, deadline) if alive else {}
            alive = [mutant for mutant in alive if survived(tried.get(mutant.item.job_id))]
            found |= tried
            # what this stage lets live has not met the next, and may not before the deadline
            for mutant in alive if tests is not self._stages[-1] else ():
                del found[mutant.item.job_id]
        self._keep(found)
        return len(found)

    def _stage(
        self, tests: Sequence[Path], mutants: Sequence[Mutant], deadline: float
    ) -> dict[str, WorkResult]:
        """What becomes of the mutants, those that the deadline leaves time for."""
        if not tests:
            nothing = WorkResult(WorkerOutcome.NO_TEST, NO_TEST, TestOutcome.SURVIVED)
            return {mutant.item.job_id: nothing for mutant in mutants}
        spark = self._spark if self._on_spark.intersection(tests) else None
        took = self._baseline(tests, spark)
        found: dict[str, WorkResult] = {}
        for mutant in mutants:
            if time.monotonic() + took > deadline:
                break
            found[mutant.item.job_id] = self._try(mutant, tests, spark, took)
        if found and spark:
            self._baseline(tests, spark)
        return found

    def _baseline(self, tests: Sequence[Path], spark: Spark | None) -> float:
        """Seconds that the tests take on the module as it is."""
        start = time.monotonic()
        outcome = self._run_tests(tests, spark, _LONGEST_SECONDS)
        if not outcome.passed:
            raise TestsFail(f"the tests of {self._module} fail as it is:\n{outcome.output[-3000:]}")
        return time.monotonic() - start

    def _try(
        self, mutant: Mutant, tests: Sequence[Path], spark: Spark | None, took: float
    ) -> WorkResult:
        """took: the seconds that the tests take on the module as it is."""
        spec = mutant.spec
        operator = get_operator(spec.operator_name)()
        with use_mutation(spec.module_path, operator, spec.occurrence) as (code, mutated):
            outcome = self._run_tests(tests, spark, _SLOWER * took + _SPARE_SECONDS)
        if spark and not outcome.in_time:
            spark.end()
        return WorkResult(
            WorkerOutcome.NORMAL,
            outcome.output if outcome.in_time else TIMED_OUT,
            TestOutcome.SURVIVED if outcome.passed else TestOutcome.KILLED,
            "\n".join(difflib.unified_diff(code.splitlines(), mutated.splitlines(), lineterm="")),
        )

    def _run_tests(self, tests: Sequence[Path], spark: Spark | None, timeout: float) -> Outcome:
        """pytest, which stops at the first test that fails."""
        if self._is_compiled:
            # numba keeps a compiled loop as long as its own file is the same, though it holds the
            # loops of other files that it calls.
            for path in Path("jobs").rglob("*.nb[ic]"):
                path.unlink()
        env = {"RECLAKE_TEST_SPARK_URL": spark.url()} if spark else {}
        chosen = ("-m", "not chaos", "--hypothesis-seed=0", *map(str, tests))
        return self._runs.run(("-x", "-q", "-p", "no:cacheprovider", *chosen), env, timeout)

    def _keep(self, found: dict[str, WorkResult]) -> None:
        with use_db(self._session, WorkDB.Mode.open) as database:
            for job_id, result in found.items():
                database.set_result(job_id, result)


def survived(result: WorkResult | None) -> bool:
    """Whether a mutant that was tried survived."""
    return result is not None and result.test_outcome == TestOutcome.SURVIVED


def need_spark(tests: Iterable[Path]) -> set[Path]:
    """Those of the test files that hold a test which uses Spark."""
    argv = [sys.executable, "-m", "pytest", "-qq", "--collect-only", "-m", "server and not chaos"]
    done = subprocess.run(
        [*argv, *sorted(map(str, set(tests)))], check=False, capture_output=True, text=True
    )
    # a line a test with -q, a line a file with -qq
    files = (line.partition(":")[0] for line in done.stdout.splitlines())
    return {Path(name) for name in files if name.endswith(".py")}
