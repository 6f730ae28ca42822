"""silver.user_candidates: what each channel hands to the fusion."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.recall.settings import RecallSettings, SimilarUsersChannelSettings
from jobs.silver.user_candidates import i2i, popular, similar_users
from tests.recall.shop import (
    column_types,
    contract_types,
    interactions,
    items,
    make_run,
    rows_of,
)

EVENTS = [("u", "a", 0), ("v", "b", 40)]


def test_i2i_recalls_the_neighbors_of_what_active_users_took(
    spark: SparkSession, tmp_path: Path
) -> None:
    neighbors = spark.createDataFrame(
        [("a", "c", 0.8), ("b", "c", 0.4), ("b", "gone", 0.9)],
        "item_id string, neighbor_item_id string, score double",
    )
    found = i2i(
        make_run(tmp_path),
        interactions(spark, [*EVENTS, ("inactive", "a", 0)]),
        neighbors,
        items(spark, "abc", unsellable=["gone"]),
        spark.createDataFrame([("u",), ("v",)], "user_id string"),
    )
    assert column_types(found) == contract_types("silver.user_candidates")
    assert rows_of(found, "user_id", "rank", "item_id", "because_item_id") == [
        ("u", 1, "c", "a"),
        ("v", 1, "c", "b"),
    ]


def test_similar_users_recalls_what_a_user_like_this_one_took(
    spark: SparkSession, tmp_path: Path
) -> None:
    # Every strength is 1/2. u and v share a and b: 2 · 1/2 · 1/2 = 1/2 without the exponents, and
    # v's c is worth half of it, 1/4. v is inactive: listened to, but without a list.
    channel = SimilarUsersChannelSettings(item_exponent=0, user_exponent=0, popularity_exponent=0)
    taken = [("u", "a", 0), ("u", "b", 0), *(("v", item, 0) for item in "abc"), ("w", "c", 0)]
    found = similar_users(
        make_run(tmp_path, RecallSettings(similar_users=channel)),
        interactions(spark, taken),
        items(spark, "abc"),
        spark.createDataFrame([("u",)], "user_id string"),
    )
    assert column_types(found) == contract_types("silver.user_candidates")
    assert rows_of(found, "user_id", "rank", "item_id", "score", "because_item_id") == [
        ("u", 1, "c", pytest.approx(1 / 4, rel=1e-5), None),
    ]


def test_popular_fills_the_list_of_every_active_user(spark: SparkSession, tmp_path: Path) -> None:
    listed = [("all", rank, f"i{rank:03}") for rank in range(1, 101)]
    recall = RecallSettings.model_validate({"user": {"items": 5}})
    found = popular(
        make_run(tmp_path, recall),
        interactions(spark, [("u", "i002", 0), ("v", "i001", 30)]),
        spark.createDataFrame(listed, "segment string, rank int, item_id string"),
        spark.createDataFrame(
            [("u", {"age": "65+"})], "user_id string, attributes map<string,string>"
        ),
        spark.createDataFrame([("u",), ("v",), ("new",)], "user_id string"),
    )
    assert column_types(found) == contract_types("silver.user_candidates")
    first_five = ["i001", "i002", "i003", "i004", "i005"]
    assert rows_of(found, "user_id", "rank", "item_id") == [
        (user, rank, item)
        for user, expected in (
            ("new", first_five),
            ("u", ["i001", "i003", "i004", "i005", "i006"]),
            ("v", first_five),
        )
        for rank, item in enumerate(expected, start=1)
    ]
