"""Fusion of methods: scale, agreement, and what content says where few users could."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.recall.fusion.neighbors import best_neighbors
from jobs.recall.fusion.settings import I2ISettings
from tests.recall.fusion.fused import fuse_i2i
from tests.recall.shop import i2i_candidates, items, rows_of


def test_scores_are_scaled_to_the_mean_best_of_each_method_and_agreement_adds_up(
    spark: SparkSession, tmp_path: Path
) -> None:
    # The best of behaviour are 0.02 and 0.04, 0.03 in the mean, of content 0.8. For a, b is found
    # by both: 3/4 · 0.02/0.03 + 1/4 · 0.6/0.8; m and c by one: 3/4 · 0.008/0.03, 1/4 · 0.8/0.8.
    rows = fuse_i2i(
        spark,
        tmp_path,
        [
            ("cooccurrence", "a", "b", 0.02, 14),
            ("cooccurrence", "a", "m", 0.008, 3),
            ("cooccurrence", "n", "m", 0.04, 2),
            ("content", "a", "b", 0.6, None),
            ("content", "a", "c", 0.8, None),
        ],
        k=3,
    )
    *rows, near = rows
    assert [(r["rank"], r["neighbor_item_id"], r["score"]) for r in rows] == [
        (1, "b", pytest.approx(0.6875)),
        (2, "c", pytest.approx(0.25)),
        (3, "m", pytest.approx(0.2)),
    ]
    # A near neighbor of n stays above the best of a.
    assert (near["item_id"], near["score"]) == ("n", pytest.approx(1.0))
    assert rows[0]["methods"] == ["content", "cooccurrence"]
    assert dict(rows[0]["method_scores"]) == pytest.approx({"content": 0.75, "cooccurrence": 2 / 3})
    assert [row["reason"] for row in rows] == [
        "chosen together by 14 users; similar product: Product b",
        "similar product: Product c",
        "chosen together by 3 users",
    ]


def test_content_speaks_for_behaviour_where_few_users_could(
    spark: SparkSession, tmp_path: Path
) -> None:
    # 9 users took m lately, 4 a, 2 b, and none c or d. Half of the 3/4 that co-occurrence leaves
    # silent: all of it for m and c, 2 / (2 + 4) for m and a; b has both methods.
    rows = fuse_i2i(
        spark,
        tmp_path,
        [
            ("cooccurrence", "m", "b", 0.04, 14),
            ("content", "m", "b", 0.8, None),
            ("content", "m", "c", 0.6, None),
            ("content", "m", "a", 0.6, None),
        ],
        k=3,
        content_trust=0.5,
        cold_users=2,
    )
    assert [(row["neighbor_item_id"], row["score"]) for row in rows] == [
        ("b", pytest.approx(1.0)),
        ("c", pytest.approx(0.75 * (0.25 + 0.5 * 0.75))),
        ("a", pytest.approx(0.75 * (0.25 + 0.5 * 0.75 / 3))),
    ]
    assert [row["methods"] for row in rows] == [
        ["content", "cooccurrence"],
        ["content"],
        ["content"],
    ]


def test_the_list_of_one_item_does_not_depend_on_which_others_are_wanted(
    spark: SparkSession,
) -> None:
    """Reasons are asked about pairs of lists that are made before the day's are published."""
    rows = [
        ("cooccurrence", "m", "a", 0.04, 4),
        ("cooccurrence", "a", "b", 0.4, 4),
        ("content", "m", "b", 0.8, None),
        ("content", "a", "m", 0.2, None),
        ("content", "a", "gone", 0.9, None),
    ]
    candidates, catalogue = i2i_candidates(spark, rows), items(spark, "abm", ["gone"])
    popularity = spark.createDataFrame([("m", 2.0)], "item_id string, score double")
    lists = (
        best_neighbors(candidates, catalogue, popularity, I2ISettings(), of)
        for of in (
            spark.createDataFrame([("a",), ("b",), ("m",)], "item_id string"),
            spark.createDataFrame([("m",)], "item_id string"),
        )
    )
    every, of_m = (rows_of(each, "item_id", "rank", "neighbor_item_id", "score") for each in lists)
    assert [row[:3] for row in every] == [
        ("a", 1, "b"), ("a", 2, "m"), ("m", 1, "b"), ("m", 2, "a")
    ]  # fmt: skip
    assert of_m == every[2:]
