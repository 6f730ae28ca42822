"""gold.i2i_daily: no item is left out (invariant 8) and every row explains itself (invariant 7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.gold.i2i_daily import i2i_daily
from jobs.llm.prompt import load_prompt
from jobs.settings import RecallSettings, RunParams, Settings
from tests.gold import golden
from tests.recall.shop import (
    column_types,
    contract_types,
    i2i_candidates,
    interactions,
    items,
    make_run,
    rows_of,
)

K = 3
# Ten items that can be sold; `gone` cannot. Only i0 to i3 have candidates, i9 has no text.
SELLABLE = [f"i{n}" for n in range(10)]
WITH_TEXT = SELLABLE[:9]
CANDIDATES = [
    ("cooccurrence", "i0", "i1", 0.4, 12),
    ("cooccurrence", "i0", "gone", 0.9, 15),
    ("content", "i0", "i1", 0.9, None),
    ("content", "i0", "i2", 0.8, None),
    ("content", "i1", "i1", 1.0, None),
    ("content", "i2", "i3", 0.7, None),
    ("cooccurrence", "gone", "i3", 0.1, 2),
]


def answers(spark: SparkSession, *rows: tuple) -> DataFrame:
    """silver.pair_reasons from (item, neighbor, sentence, model), accepted; contents are items."""
    version = load_prompt("pair").prompt_version
    return spark.createDataFrame(
        [(item, neighbor, "success", said, version, model) for item, neighbor, said, model in rows],
        "content_hash string, neighbor_content_hash string, status string, reason string, "
        "prompt_version string, model string",
    )


@pytest.fixture(scope="module")
def rows(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    found = i2i_daily(
        make_run(
            tmp_path_factory.mktemp("i2i"),
            RecallSettings.model_validate({"i2i": {"neighbors": K}}),
        ),
        i2i_candidates(spark, CANDIDATES),
        items(spark, SELLABLE, ["gone"], dict.fromkeys(SELLABLE[:5], "BREAD")),
        spark.createDataFrame([(item,) for item in [*WITH_TEXT, "gone"]], "item_id string"),
        interactions(spark, [("u", "i5", 0), ("v", "i5", 0), ("u", "gone", 0), ("u", "i4", 3)]),
        answers(spark),
    )
    assert column_types(found) == contract_types("gold.i2i_daily")
    columns = list(contract_types("gold.i2i_daily"))
    return [dict(zip(columns, row, strict=True)) for row in rows_of(found, *columns)]


def test_every_sellable_item_with_text_has_a_full_list(rows: list[dict]) -> None:
    ranks: dict[str, list[int]] = {}
    for row in rows:
        ranks.setdefault(row["item_id"], []).append(row["rank"])
    assert ranks == {key: [1, 2, 3] for key in WITH_TEXT} | {"gone": [1]}


def test_neighbors_can_be_sold_and_are_others(rows: list[dict]) -> None:
    assert {row["neighbor_item_id"] for row in rows} <= set(SELLABLE)
    assert all(row["item_id"] != row["neighbor_item_id"] for row in rows)
    pairs = [(row["item_id"], row["neighbor_item_id"]) for row in rows]
    assert len(set(pairs)) == len(pairs)


def test_every_row_says_which_methods_found_it_with_what_score_and_why(rows: list[dict]) -> None:
    for row in rows:
        assert row["methods"]
        assert row["methods"] == sorted(dict(row["method_scores"]))
        assert all(score >= 0 for score in dict(row["method_scores"]).values())
        assert row["score"] >= 0
        assert row["reason"]
    assert [(row["neighbor_item_id"], row["reason"]) for row in rows if row["item_id"] == "i0"] == [
        ("i1", "chosen together by 12 users; similar product: Product i1"),
        ("i2", "similar product: Product i2"),
        ("i4", "popular in BREAD"),
    ]


def test_without_a_budget_no_row_has_a_sentence_of_the_llm(rows: list[dict]) -> None:
    assert {(row["reason_prompt_version"], row["reason_model"]) for row in rows} == {(None, None)}


def test_a_sentence_of_the_llm_names_its_prompt_version_and_model(
    spark: SparkSession, tmp_path: Path
) -> None:
    model = Settings().llm_model
    found = i2i_daily(
        make_run(
            tmp_path,
            RecallSettings.model_validate({"i2i": {"neighbors": K}}),
            params=RunParams(reason_budget=2),
        ),
        i2i_candidates(spark, CANDIDATES),
        items(spark, SELLABLE, ["gone"]).withColumn("content_hash", F.col("item_id")),
        spark.createDataFrame([("i0",)], "item_id string"),
        # i5 is used most, and only what is popular fills its list; then i0, and i2 by one user
        interactions(
            spark, [(u, "i5", 0) for u in "uvw"] + [("u", "i0", 0), ("v", "i0", 0), ("u", "i2", 0)]
        ),
        answers(
            spark,
            ("i0", "i1", "One for zero.", model),
            ("i0", "i2", "Two for zero.", "another"),
            ("i2", "i3", "Three for two.", model),
        ),
    )
    said = {
        (r["item_id"], r["neighbor_item_id"]): (r["reason_prompt_version"], r["reason_model"])
        for r in found.collect()
        if r["reason_model"] is not None or r["reason"].startswith("One for zero; chosen ")
    }
    # of two heads i5 and i0; what another model said, or of a pair that is not asked about, is not
    assert said == {("i0", "i1"): (load_prompt("pair").prompt_version, model)}


def test_a_better_rank_never_has_a_lower_score(rows: list[dict]) -> None:
    in_order = sorted(rows, key=lambda r: (r["item_id"], -r["score"], r["neighbor_item_id"]))
    assert in_order == sorted(rows, key=lambda r: (r["item_id"], r["rank"]))


def test_the_same_input_gives_the_same_rows(
    rows: list[dict], spark: SparkSession, tmp_path: Path
) -> None:
    found = i2i_daily(
        make_run(tmp_path, RecallSettings.model_validate({"i2i": {"neighbors": K}})),
        i2i_candidates(spark, CANDIDATES[::-1]).repartition(3),
        items(spark, SELLABLE[::-1], ["gone"], dict.fromkeys(SELLABLE[:5], "BREAD")),
        spark.createDataFrame([(item,) for item in ["gone", *WITH_TEXT]], "item_id string"),
        interactions(spark, [("u", "i4", 3), ("u", "gone", 0), ("v", "i5", 0), ("u", "i5", 0)]),
        answers(spark),
    )
    columns = list(contract_types("gold.i2i_daily"))
    assert [dict(zip(columns, row, strict=True)) for row in rows_of(found, *columns)] == rows


@pytest.mark.parametrize("case", golden.cases("i2i_daily"), ids=lambda case: case.name)
def test_a_golden_day_has_the_rows_that_were_worked_out_by_hand(
    spark: SparkSession, tmp_path: Path, case: Path
) -> None:
    assert golden.made(spark, case, tmp_path) == golden.expected(case)
