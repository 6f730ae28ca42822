"""Nothing in `jobs/` asks what time it is, but the log that says when something happened."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.lake.settings import ROOT

# Attributes, imported names and called names, of whatever library.
CLOCKS = {"now", "utcnow", "today", "current_timestamp", "current_date", "localtimestamp"}
# Of module `time`, whose other clocks (monotonic, perf_counter) only measure how long.
CLOCKS_OF_TIME = {"time", "time_ns"}
SQL_CLOCK = re.compile(r"\b(current_timestamp|current_date|localtimestamp)\b|\b(now|today)\s*\(")
# When a row was logged, and when Airflow shall look again; no row of a table depends on either.
ALLOWED = {
    ("jobs/lake/oplog.py", "write_time"),
    ("jobs/airflow_task.py", "wait_for_other_days"),
}


def clock_reads(source: str, path: str) -> Iterator[str]:
    """Each place that asks for the time or date: `file:line: code`."""
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.FunctionDef) and (path, node.name) in ALLOWED)
    ]
    for node in ast.walk(tree):
        if _is_clock(node):
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


def _is_clock(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="time"), attr=name) if name in CLOCKS_OF_TIME:
            return True
        case ast.Attribute(attr=name) | ast.Call(func=ast.Name(id=name)):
            return name in CLOCKS
        case ast.ImportFrom(module=module, names=names):
            clocks = CLOCKS | CLOCKS_OF_TIME if module == "time" else CLOCKS
            return any(alias.name in clocks for alias in names)
        case ast.Constant(value=str(text)):
            return SQL_CLOCK.search(text.lower()) is not None
    return False


def test_invariant_1_nothing_in_jobs_asks_what_time_it_is() -> None:
    files = sorted(Path(ROOT, "jobs").rglob("*.py"))
    assert len(files) > 50
    found = []
    for file in files:
        path = file.relative_to(ROOT).as_posix()
        found += clock_reads(file.read_text(encoding="utf-8"), path)
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "date.today()",
        "field(default_factory=datetime.today)",
        "time.time()",
        "from time import time",
        "F.current_timestamp()",
        "F.current_date()",
        "F.now()",
        "now()",
        "from pyspark.sql.functions import current_date",
        "F.expr('current_date()')",
        "query('SELECT Today()')",
    ],
)
def test_a_clock_is_named_with_its_file_and_line(code: str) -> None:
    (found,) = clock_reads(f"\n{code}\n", "jobs/x.py")
    assert found.startswith("jobs/x.py:2: ")


@pytest.mark.parametrize(
    "code",
    [
        "time.monotonic()",
        "time.perf_counter()",
        "datetime.combine(day, time())",
        "from datetime import date, datetime, time",
        "now.home",
        "'what is known today'",
    ],
)
def test_what_measures_or_computes_is_no_clock(code: str) -> None:
    assert list(clock_reads(code, "jobs/x.py")) == []


def test_only_the_stamp_of_the_log_may() -> None:
    allowed = "def write_time():\n    return datetime.now(UTC)\n"
    assert list(clock_reads(allowed, "jobs/lake/oplog.py")) == []
    assert len(list(clock_reads(allowed, "jobs/lake/runtime.py"))) == 1
    assert len(list(clock_reads(allowed.replace("write_time", "mark"), "jobs/lake/oplog.py"))) == 1
