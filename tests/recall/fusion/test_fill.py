"""Popular items in lists that are too short."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.recall.fusion.fill import fill_neighbors
from tests.recall.fusion.fused import fuse_i2i
from tests.recall.shop import rows_of


def test_short_lists_are_filled_from_the_category_then_from_everywhere(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = fuse_i2i(spark, tmp_path, [("cooccurrence", "c", "n", 0.5, 2)], k=5, texts="c")
    assert [row["neighbor_item_id"] for row in rows] == ["n", "a", "b", "d", "m"]
    assert [row["methods"] for row in rows] == [["cooccurrence"], *[["popular"]] * 4]
    assert [row["reason"] for row in rows[1:3]] == ["popular in BREAD"] * 2
    assert rows[-1]["reason"] == "popular in MILK"
    assert all(0 < row["score"] < rows[0]["score"] for row in rows[1:])


def test_a_list_is_as_long_as_other_sellable_items_allow(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = fuse_i2i(spark, tmp_path, [], k=50, texts="abcdmn")
    listed = {}
    for row in rows:
        listed.setdefault(row["item_id"], []).append(row["neighbor_item_id"])
    assert {item: set(found) for item, found in listed.items()} == {
        item: set("abcdmn") - {item} for item in "abcdmn"
    }
    assert all(len(found) == 5 for found in listed.values())


def test_what_cannot_be_listed_makes_no_list_full(spark: SparkSession, tmp_path: Path) -> None:
    # The two neighbors of a are by a method that is switched off, those of b cannot be sold.
    rows = fuse_i2i(
        spark,
        tmp_path,
        [
            ("slim", "a", "m", 0.9, 2),
            ("slim", "a", "n", 0.8, 2),
            ("cooccurrence", "b", "x", 0.9, 2),
            ("cooccurrence", "b", "y", 0.8, 2),
        ],
        k=2,
        unsellable="xy",
        texts="ab",
    )
    assert [(row["item_id"], row["neighbor_item_id"], row["methods"]) for row in rows] == [
        ("a", "b", ["popular"]),
        ("a", "c", ["popular"]),
        ("b", "a", ["popular"]),
        ("b", "c", ["popular"]),
    ]


def test_nothing_unsellable_is_a_neighbor_and_nothing_fills_an_unsellable_item(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = fuse_i2i(
        spark,
        tmp_path,
        [("cooccurrence", "a", "d", 0.9, 2), ("cooccurrence", "d", "a", 0.9, 2)],
        k=2,
        sellable="abcmn",
        unsellable="d",
        texts="ad",
    )
    assert [(row["item_id"], row["neighbor_item_id"]) for row in rows] == [
        ("a", "b"),
        ("a", "c"),
        ("d", "a"),
    ]


def test_what_fills_comes_after_the_list_with_the_scores_of_its_popularity(
    spark: SparkSession,
) -> None:
    # Users of a 4, b 2, m 8. In BREAD a has the most and b half of it; of all, m has the most, a
    # half and b a quarter. c's list has m with 0.4: a comes at (1 + 1) / 4 of it, b at
    # (1 + 1/2) / 4. m's list is empty and begins below 0.1, with nothing else in MILK: a comes at
    # 1/2 / 4 of it, b at 1/4 / 4, and c, which nobody uses, at 0.
    found = fill_neighbors(
        spark.createDataFrame(
            [("c", "m", 0.4)], "item_id string, neighbor_item_id string, score double"
        ),
        spark.createDataFrame([("c",), ("m",)], "item_id string"),
        spark.createDataFrame(
            [("a", "BREAD"), ("b", "BREAD"), ("c", "BREAD"), ("m", "MILK")],
            "item_id string, category string",
        ),
        spark.createDataFrame([("a", 4.0), ("b", 2.0), ("m", 8.0)], "item_id string, score double"),
        3,
    )
    rows = rows_of(found, "item_id", "rank", "neighbor_item_id", "score")
    assert rows == [
        ("c", 2, "a", pytest.approx(0.4 * 0.5)),
        ("c", 3, "b", pytest.approx(0.4 * 0.375)),
        ("m", 1, "a", pytest.approx(0.1 * 0.125)),
        ("m", 2, "b", pytest.approx(0.1 * 0.0625)),
        ("m", 3, "c", 0.0),
    ]
    shares = {(row[0], row[1]): dict(row[2]) for row in rows_of(found, "item_id", "rank", "scores")}
    assert shares == {
        ("c", 2): {"popular": 1.0},
        ("c", 3): {"popular": 0.5},
        ("m", 1): {"popular": 0.5},
        ("m", 2): {"popular": 0.25},
        ("m", 3): {"popular": 0.0},
    }
