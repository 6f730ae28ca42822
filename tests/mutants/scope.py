"""Which modules are mutated, and which tests speak of each."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lake", "recall", "llm", "vectors", "evaluation", "judging")

# Tests that speak of a module besides the test of its name, or instead of one: where it has none,
# and no test imports it either, or too many do. Those of what it is part of.
TESTS_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "evaluation/report.py": ("cli/test_report.py",),
    "judging/published.py": ("gold/test_recall_metrics_daily.py",),
    "lake/__init__.py": ("lake/test_runtime.py",),
    "lake/contract.py": ("lake/test_tables.py",),
    "lake/expectations.py": ("lake/test_audit.py", "lake/test_contract.py"),
    "lake/hashing.py": ("silver/test_items.py",),
    "lake/oplog.py": ("lake/test_runtime.py", "lake/intake/test_requeue.py"),
    "lake/publishing.py": ("lake/test_runtime.py",),
    "lake/row_expectations.py": ("lake/test_audit.py",),
    "lake/schema.py": ("lake/test_tables.py",),
    "lake/storage.py": ("lake/test_tables.py",),
    "lake/versions.py": ("lake/test_runtime.py",),
    "llm/answers.py": ("silver/test_item_enrichments.py",),
    "llm/contents.py": ("llm/test_selection.py",),
    "llm/daily.py": ("silver/test_item_enrichments.py", "silver/test_user_enrichments.py"),
    "llm/drift.py": ("gold/test_llm_quality_daily.py",),
    "llm/engine_process.py": ("llm/test_engine.py",),
    "llm/errors.py": ("llm/test_client.py", "llm/test_engine.py"),
    "llm/subjects.py": ("gold/test_llm_quality_daily.py", "llm/test_second_try.py"),
    "recall/params.py": ("recall/settings/test_settings.py",),
    "recall/settings/fields.py": ("recall/settings/test_settings.py",),
    "recall/sources/__init__.py": ("recall/settings/test_settings.py",),
}
# Modules that are not mutated, and why.
LEFT_OUT = {
    "evaluation/memory.py": "reads how much memory the process took; it decides nothing",
}


def modules(only: str = "") -> list[Path]:
    """The modules below `jobs/` to mutate, as paths from the root, package by package.

    only: a package (`llm`), a folder (`lake/intake`) or a module (`llm/pace`) of them.
    Raises ValueError when it names nothing.
    """
    found = [
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in sorted(Path(ROOT, "jobs", package).rglob("*.py"))
    ]
    kept = [path for path in found if _key(path) not in LEFT_OUT and _is_within(path, only)]
    if not kept:
        raise ValueError(f"ONLY={only}: not a package, folder or module of {', '.join(PACKAGES)}")
    return kept


def _key(module: Path) -> str:
    return module.relative_to("jobs").as_posix()


def _is_within(module: Path, only: str) -> bool:
    wanted = only.removeprefix("jobs/").removesuffix(".py").strip("/")
    name = _key(module).removesuffix(".py")
    return not wanted or name == wanted or name.startswith(f"{wanted}/")


def package_of(module: Path) -> str:
    return module.parts[1]


def files_testing(module: Path) -> list[list[Path]]:
    """The test files that a mutant of the module meets one list after another, as long as it lives.

    First the test of the module's name. Then those named in TESTS_ELSEWHERE. Where there are
    neither, all that import the module. Paths from the root.
    """
    own = Path("tests", *module.parts[1:-1], f"test_{module.name}")
    elsewhere = [Path("tests", name) for name in TESTS_ELSEWHERE.get(_key(module), ())]
    named = [files for files in ([own] if (ROOT / own).exists() else [], elsewhere) if files]
    return named or [_files_importing(module)]


def _files_importing(module: Path) -> list[Path]:
    dotted = ".".join(module.with_suffix("").parts)
    tests = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py"))
    return [path for path in tests if dotted in _imported(ROOT / path)]


def _imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


def fixtures_of(tests: Iterable[Path]) -> Iterator[Path]:
    """The conftest files of some tests."""
    for folder in sorted({folder for test in tests for folder in test.parents}):
        if (ROOT / folder / "conftest.py").exists():
            yield folder / "conftest.py"
