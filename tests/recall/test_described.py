"""The glossary, the contracts and the DAG follow the entries of jobs/recall/sources."""

from __future__ import annotations

import re

import pytest
import yaml

from jobs.lake.settings import ROOT
from jobs.recall.sources import CHANNEL_NAMES, METHOD_NAMES
from tests.recall.described import PAGE, drawn

TABLES = {
    "silver.i2i_candidates": ("method", METHOD_NAMES),
    "silver.user_candidates": ("channel", CHANNEL_NAMES),
}


def test_the_glossary_lists_every_source() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == drawn(page), "run `python -m tests.recall.described` and commit the diff"


@pytest.mark.parametrize("table", TABLES)
def test_the_dag_has_a_task_for_every_source(table: str) -> None:
    dag = (ROOT / "dags" / "recall_daily.py").read_text(encoding="utf-8")
    drawn_by_hand = set(re.findall(rf'step\("{re.escape(table)}", "(\w+)"', dag))
    _, names = TABLES[table]
    missing, unknown = set(names) - drawn_by_hand, drawn_by_hand - set(names)
    assert not missing, f"dags/recall_daily.py: add a task and its edges for {sorted(missing)}"
    assert not unknown, f"dags/recall_daily.py: no entry in jobs/recall/sources: {sorted(unknown)}"


def test_contracts_name_no_source_that_does_not_exist() -> None:
    for path in sorted((ROOT / "expectations").glob("*/*.yaml")):
        contract = yaml.safe_load(path.read_text(encoding="utf-8"))
        for check in contract["checks"]:
            for column, names in TABLES.values():
                listed = re.findall(
                    rf"\b{column} (?:IN \(([^)]*)\)|(?:=|<>) ('\w+'))", str(check.get("condition"))
                )
                found = set(re.findall(r"'(\w+)'", " ".join(a + b for a, b in listed)))
                assert found <= set(names), f"{path}: {check['expect']}: {found - set(names)}"
