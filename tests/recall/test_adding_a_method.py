"""The example of docs/adding-a-method.md, as it stands there, in a copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.lake.settings import ROOT

PAGE = (ROOT / "docs" / "adding-a-method.md").read_text(encoding="utf-8")
MODULE = "jobs/recall/methods/confidence.py"
TEST = "tests/recall/methods/test_confidence.py"
ENTRIES, DAG = "jobs/recall/sources/methods.py", "dags/recall_daily.py"


def blocks(path: str) -> list[str]:
    """The code blocks of the section whose first sentence names the file."""
    section = re.search(rf"\n`{re.escape(path)}`(.*?)(?=\n## |\Z)", PAGE, re.DOTALL)
    assert section, path
    return re.findall(r"```(?:python|text)\n(.*?)```", section[1], re.DOTALL)


def insert(file: Path, before: str, block: str) -> None:
    """Put a block of code before the first line that begins with `before`."""
    head, mark, rest = file.read_text(encoding="utf-8").partition(f"\n{before}")
    assert mark, before
    file.write_text(f"{head}\n{block}{mark}{rest}", encoding="utf-8")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, spark_url: str) -> dict[str, Any]:
    """What became of the method, by stage; a process of its own imports the copy."""
    project = tmp_path_factory.mktemp("project")
    for folder in ("jobs", "expectations", "dags", "tests", "infra", "docs"):
        shutil.copytree(
            ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__", "images")
        )
    (module,), (test,) = blocks(MODULE), blocks(TEST)
    (project / MODULE).write_text(module, encoding="utf-8")
    (project / TEST).write_text(test, encoding="utf-8")
    settings, entry = blocks(ENTRIES)
    insert(project / ENTRIES, "_TIMED = ", f"\n{settings}\n")
    methods = (project / ENTRIES).read_text(encoding="utf-8").rstrip()
    assert methods.endswith("\n)")
    (project / ENTRIES).write_text(f"{methods[:-1]}{entry})\n", encoding="utf-8")
    (edge,) = blocks(DAG)
    with (project / DAG).open("a", encoding="utf-8") as dag:
        dag.write(edge)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.recall.adding_a_method", spark_url],
        cwd=project,
        env=os.environ | {"RECLAKE_HOME": str(project / "home"), "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_its_slice_is_built_by_the_runtime(seen: dict[str, Any]) -> None:
    # Of the three users of a two took b, both users of b took a; the third user has only a.
    assert seen["built"] == [["a", "b", 2 / 3, 2], ["b", "a", 1.0, 2]]


def test_its_own_test_passes(seen: dict[str, Any]) -> None:
    assert seen["tested"]


def test_the_fusion_counts_it_and_says_why(seen: dict[str, Any]) -> None:
    # The only method with a weight: a score of 1 is its mean best, (2/3 + 1) / 2 = 5/6.
    item, neighbor, methods, score, reason = seen["fused"]
    assert (item, neighbor, methods) == ("b", "a", ["confidence"])
    assert score == pytest.approx(6 / 5)
    assert reason == "chosen together by 2 users"


def test_it_can_be_evaluated_tuned_and_explained(seen: dict[str, Any]) -> None:
    assert seen["evaluated"] == 1.0
    assert seen["tuned"] == [1, ["confidence: support", "i2i: weight of confidence"]]
    assert seen["explained"] == "chosen together by 2 users"


def test_the_help_and_the_settings_know_it(seen: dict[str, Any]) -> None:
    assert seen["help"]
    assert seen["settings"] == {"min_support": 2, "neighbors": 50}


def test_the_graph_is_complete(seen: dict[str, Any]) -> None:
    assert seen["upstream"] == ["gold.data_report_daily"]  # which comes after all that it reads
    assert seen["downstream"] == ["silver.pair_reasons"]
