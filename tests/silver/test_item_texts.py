"""Each sellable item has a text, and says where it comes from."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake import Run
from jobs.llm.prompt import load_prompt
from jobs.silver.item_texts import item_texts

DS = date(2026, 3, 31)
ITEMS = (
    "item_id string, title string, category string, department string, brand string, "
    "size string, description string, is_sellable boolean, content_hash string, valid_from date"
)
INTERACTIONS = "user_id string, item_id string, event_date date, weight double, event_ts timestamp"
ANSWERS = (
    "content_hash string, prompt_version string, model string, status string, summary string, "
    "keywords array<string>"
)


@pytest.fixture
def items(spark: SparkSession) -> DataFrame:
    rows = [
        ("i1", "BREAD:ITALIAN/FRENCH", "BREAD", "PASTRY", "Private", "12 OZ", None, True, "c1"),
        ("i2", "BREAD:ITALIAN/FRENCH", "BREAD", "PASTRY", "Private", "24 OZ", None, True, "c1"),
        ("i3", "Brie", None, None, None, None, "Soft cheese from  France", True, "c2"),
        ("i4", "Gone", None, None, None, None, None, False, "c3"),
        ("i5", "  ", "BREAD", None, None, None, None, True, "c4"),
    ]
    return spark.createDataFrame([(*row, DS) for row in rows], ITEMS)


def texts(run: Run, items: DataFrame, answers: list[tuple], sold: list[str]) -> dict[str, tuple]:
    spark = items.sparkSession
    moments = [("ann", item, DS, 1.0, datetime(2026, 3, 31, 9)) for item in sold]
    made = item_texts(
        run,
        items=items,
        interactions=spark.createDataFrame(moments, INTERACTIONS),
        enrichments=spark.createDataFrame(answers, ANSWERS),
    )
    return {
        row.item_id: (row.text, row.text_source, row.prompt_version, row.model)
        for row in made.collect()
    }


def answer(run: Run, content: str, status: str = "success", version: str = "") -> tuple:
    version = version or load_prompt("item").prompt_version
    return (
        content,
        version,
        run.settings.llm.llm_model,
        status,
        "Crusty loaf.",
        ["baguette", "loaf"],
    )


def test_own_words_alone_are_a_template_text(make_run, items: DataFrame) -> None:
    bread = "bread italian french. bread. pastry. private brand."
    assert texts(make_run(DS), items, [], ["i1"]) == {
        "i1": (f"{bread} 12 oz.", "template", None, None),
        "i2": (f"{bread} 24 oz.", "template", None, None),
        "i3": ("brie. Soft cheese from  France.", "template", None, None),
    }


def test_an_accepted_answer_joins_every_item_of_the_content(make_run, items: DataFrame) -> None:
    run = make_run(DS)
    made = texts(run, items, [answer(run, "c1")], ["i1"])
    said = "Crusty loaf. baguette, loaf"
    bread = "bread italian french. bread. pastry. private brand."
    by = (load_prompt("item").prompt_version, run.settings.llm.llm_model)
    assert made["i1"] == (f"{bread} 12 oz. {said}", "enriched", *by)
    assert made["i2"] == (f"{bread} 24 oz. {said}", "enriched", *by)
    assert made["i3"][1] == "template"


@pytest.mark.parametrize("status", ["rejected_by_gate", "invalid_output"])
def test_an_answer_that_the_gate_stopped_is_not_used(
    make_run, items: DataFrame, status: str
) -> None:
    run = make_run(DS)
    assert texts(run, items, [answer(run, "c1", status)], ["i1"])["i1"][1] == "template"


def test_an_answer_to_another_prompt_is_not_used(make_run, items: DataFrame) -> None:
    run = make_run(DS)
    made = texts(run, items, [answer(run, "c1", version="v0-aaaaaaaa")], ["i1"])
    assert made["i1"][1] == "template"


def test_invariant_2_a_content_that_the_day_did_not_select_keeps_its_template(
    make_run, items: DataFrame
) -> None:
    run = make_run(DS, item_budget=1)
    answers = [answer(run, "c1"), answer(run, "c2")]
    made = texts(run, items, answers, ["i3", "i3", "i1"])
    assert made["i3"][1] == "enriched"
    assert made["i1"][1] == "template"
