"""gold.i2i_daily: no item is left out (invariant 8) and every row explains itself (invariant 7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.gold.i2i_daily import i2i_daily
from jobs.recall.settings import RecallSettings
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


@pytest.fixture(scope="module")
def rows(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    found = i2i_daily(
        make_run(
            tmp_path_factory.mktemp("i2i"), RecallSettings.model_validate({"i2i": {"neighbors": K}})
        ),
        i2i_candidates(spark, CANDIDATES),
        items(spark, SELLABLE, ["gone"], dict.fromkeys(SELLABLE[:5], "BREAD")),
        spark.createDataFrame([(item,) for item in [*WITH_TEXT, "gone"]], "item_id string"),
        interactions(spark, [("u", "i5", 0), ("v", "i5", 0), ("u", "gone", 0), ("u", "i4", 3)]),
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
    )
    columns = list(contract_types("gold.i2i_daily"))
    assert [dict(zip(columns, row, strict=True)) for row in rows_of(found, *columns)] == rows
