"""Popular items in lists that are too short."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from tests.recall.fusion.fused import fuse_i2i


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
