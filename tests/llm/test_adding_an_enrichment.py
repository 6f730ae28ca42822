"""The example of docs/adding-an-enrichment.md, as it stands there, pays and keeps its answers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake import Lake, Sink
from jobs.lake.settings import ROOT
from jobs.lake.step import find_step, temporary_steps
from jobs.llm import prompt as prompts
from jobs.settings import RunParams, Settings
from tests.llm.faulty_server import Response, says, serve

DAY = date(2017, 12, 28)
PAGE = (ROOT / "docs" / "adding-an-enrichment.md").read_text(encoding="utf-8")
ITEMS = (
    "item_id string, content_hash string, title string, category string, department string, "
    "brand string, description string, is_sellable boolean, valid_from date"
)


def block(path: str) -> str:
    """The first code block after the sentence that names the file."""
    found = re.search(rf"`{re.escape(path)}`.*?```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found, path
    return found[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The contracts, with the page's; prompts come from the page too. Gives the contracts."""
    contracts = tmp_path / "expectations"
    shutil.copytree(ROOT / "expectations", contracts)
    for path in (
        "expectations/silver/item_allergens.yaml",
        "jobs/llm/prompts/allergens/v1.yaml",
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block(path), encoding="utf-8")

    def prompt_of(name: str, settings: Settings) -> prompts.Prompt:
        return prompts.load_prompt(name, folder=tmp_path / "jobs" / "llm" / "prompts")

    monkeypatch.setattr("jobs.silver.item_enrichments.prompt_of", prompt_of)
    with temporary_steps():
        yield contracts


def test_the_files_of_the_page_are_an_enrichment(
    make_lake: Callable[..., Lake], spark: SparkSession, project: Path
) -> None:
    def answer(question: str, number: int) -> Response:
        title = json.loads(question)["title"]
        return says(json.dumps({"contains": ["milk"] if "milk" in title else ["fish"]}))

    module: dict[str, object] = {"__name__": "jobs.silver.item_allergens"}
    exec(compile(block("jobs/silver/item_allergens.py"), "item_allergens.py", "exec"), module)
    registered = find_step("silver.item_allergens")
    rows = [
        ("i1", "c1", "FLUID MILK", "MILK", "GROCERY", None, None, True, DAY),
        ("i2", "c2", "SHAMPOO", "HAIR CARE", "DRUG", None, None, True, DAY),
    ]
    items = spark.createDataFrame(rows, ITEMS)
    sold = spark.createDataFrame(
        [("u", "i1", DAY, 1.0)],
        "user_id string, item_id string, event_date date, weight double",
    )
    with serve(answer) as server:
        lake = make_lake(llm_url=server.url, contracts=project)
        lake.tables.create(lake.contracts["silver.item_allergens"])

        def run_once() -> int:
            run = lake.by_hand(DAY, params=RunParams(item_budget=10))
            frames = {name: lake.read_as_of(r.table, DAY) for name, r in registered.reads.items()}
            frames |= {"items": items, "interactions": sold}
            done = registered.function(run, Sink(lake.tables), **frames)
            return int(done.counts["sent"])

        assert (run_once(), run_once()) == (2, 0)
    answers = {
        row["content_hash"]: (row["status"], row["contains"])
        for row in lake.tables.read("silver.item_allergens").collect()
    }
    assert answers == {"c1": ("success", ["milk"]), "c2": ("rejected_by_gate", ["fish"])}
