"""Try a sample of the mutants on the tests, in a copy of the repository that is thrown away.

Prints a table by package, and writes .reclake/mutants/survivors.diff. What was tried before is not
tried again until its module or its tests change. Exits with 0 whatever survives.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkItem, WorkResult
from rich.console import Console

from tests.mutants.mutations import Mutant, drawn, items_of
from tests.mutants.pytest_run import Runs
from tests.mutants.report import TIMED_OUT, Tried, listed, table, write_survivors
from tests.mutants.scope import ROOT, files_testing, fixtures_of, modules, package_of

HOME = Path(".reclake", "mutants")
_IN_COPY = "RECLAKE_MUTANTS_HOME"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="a package, folder or module below jobs/")
    parser.add_argument("--fast", action="store_true", help="only where no test needs Spark")
    parser.add_argument("--sample", type=int, default=40, help="mutants a package; 0 means all")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="when to stop")
    chosen = parser.parse_args()
    if home := os.environ.get(_IN_COPY):
        try_all(Path(home), chosen)
        return
    with copy_of_the_code(ROOT / HOME / "code") as code:
        env = os.environ | {_IN_COPY: str(ROOT / HOME), "PYTHONPATH": str(code)}
        argv = [sys.executable, "-m", "tests.mutants", *sys.argv[1:]]
        raise SystemExit(subprocess.run(argv, check=False, cwd=code, env=env).returncode)


@contextmanager
def copy_of_the_code(folder: Path) -> Iterator[Path]:
    """The repository without its state, and with Delta's JARs."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "images"))
    jars = ROOT / ".reclake" / "jars"
    if jars.exists():
        (folder / ".reclake").mkdir()
        (folder / ".reclake" / "jars").symlink_to(jars)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def try_all(home: Path, chosen: argparse.Namespace) -> None:
    """Try what is chosen and not tried yet; the working directory is the copy."""
    from tests.mutants.trial import Spark, TestsFail, Trial, need_spark

    deadline = time.monotonic() + 60 * chosen.minutes
    tests = {module: files_testing(module) for module in modules(chosen.only)}
    on_spark = need_spark(chain(*chain(*tests.values())))
    if chosen.fast:
        tests = {
            module: stages
            for module, stages in tests.items()
            if not on_spark.intersection(chain(*stages))
        }
    sessions = {module: session_of(module, home / "sessions") for module in tests}
    known = {module: items_of(module, session) for module, session in sessions.items()}
    todo = chosen_of(known, chosen.sample, chosen.seed)
    spark, runs = Spark(home / "spark"), Runs(home / "tests.log")
    failed = []
    try:
        for module, mutants in todo.items():
            done = results_of(sessions[module])
            pending = [mutant for mutant in mutants if mutant.item.job_id not in done]
            if not pending or time.monotonic() > deadline:
                continue
            trial = Trial(module, tests[module], sessions[module], runs, spark, on_spark)
            try:
                Console().print(f"{module}: {trial.run(pending, deadline)} of {len(pending)} tried")
            except TestsFail as error:
                failed.append(str(error))
    finally:
        spark.end()
    show(home, known, todo, sessions)
    if failed:
        raise SystemExit("\n\n".join(failed))


def chosen_of(
    known: dict[Path, list[WorkItem]], sample: int, seed: int
) -> dict[Path, list[Mutant]]:
    """The sample of each package by module, in the order of its lines."""
    by_package: dict[str, list[WorkItem]] = {}
    for module, items in known.items():
        by_package.setdefault(package_of(module), []).extend(items)
    chosen: dict[Path, list[Mutant]] = {module: [] for module in known}
    for items in by_package.values():
        for mutant in drawn(items, sample, seed):
            chosen[mutant.spec.module_path].append(mutant)
    for mutants in chosen.values():
        mutants.sort(key=lambda mutant: (mutant.spec.start_pos, mutant.item.job_id))
    return chosen


def session_of(module: Path, folder: Path) -> Path:
    """Where the results of a module are kept, as long as it and its tests are the same."""
    tests = list(chain(*files_testing(module)))
    content = sha256()
    for path in (module, *tests, *fixtures_of(tests)):
        content.update((ROOT / path).read_bytes())
    name = ".".join(module.with_suffix("").parts)
    session = folder / f"{name}-{content.hexdigest()[:12]}.sqlite"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{name}-*.sqlite"):
        if stale != session:
            stale.unlink()
    return session


def results_of(session: Path) -> dict[str, WorkResult]:
    with use_db(session, WorkDB.Mode.open) as database:
        return dict(database.results)


def show(
    home: Path,
    known: dict[Path, list[WorkItem]],
    todo: dict[Path, list[Mutant]],
    sessions: dict[Path, Path],
) -> None:
    """Print the table and write the survivors."""
    alike = listed((ROOT / "docs" / "mutants.md").read_text(encoding="utf-8"))
    counts: dict[str, int] = {}
    tried = []
    for module, mutants in todo.items():
        package = package_of(module)
        counts[package] = counts.get(package, 0) + len(known[module])
        results = results_of(sessions[module])
        tried += [
            outcome(mutant, results[mutant.item.job_id], alike)
            for mutant in mutants
            if mutant.item.job_id in results
        ]
    left = write_survivors(home / "survivors.diff", tried)
    Console().print(table(tried, counts))
    Console().print(f"{left} survivors that no page explains: {HOME / 'survivors.diff'}")


def outcome(mutant: Mutant, result: WorkResult, alike: set[tuple[str, str, str]]) -> Tried:
    return Tried(
        package=package_of(mutant.spec.module_path),
        place=f"{mutant.module}:{mutant.spec.start_pos[0]} {mutant.spec.definition_name or ''}",
        died=result.test_outcome != TestOutcome.SURVIVED,
        timed_out=result.output == TIMED_OUT,
        changes_nothing=(mutant.module, mutant.before, mutant.after) in alike,
        diff=result.diff or f"-{mutant.before}\n+{mutant.after}\n({result.output})",
    )


if __name__ == "__main__":
    main()
