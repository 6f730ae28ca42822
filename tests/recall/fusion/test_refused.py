"""Items that a user disliked or hid, and what that does to their neighbors."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pyspark.sql import SparkSession

from jobs.recall.fusion.refused import still_refused, without_refused
from jobs.recall.fusion.settings import UserRecallSettings
from tests.recall.shop import DS

SETTINGS = UserRecallSettings(dislike_days=10, hide_days=5, dislike_penalty=0.5, hide_penalty=0.25)
UNWANTED = "user_id string, item_id string, event_type string, event_date date"
NEIGHBORS = "item_id string, neighbor_item_id string, score double, methods array<string>"


def refused(spark: SparkSession, *words: tuple[str, str, str, int]) -> list[tuple]:
    rows = [(user, item, word, DS - timedelta(days=ago)) for user, item, word, ago in words]
    frame = still_refused(spark.createDataFrame(rows, UNWANTED), DS, SETTINGS)
    return sorted(tuple(row) for row in frame.collect())


def test_a_refusal_counts_for_a_set_number_of_days(spark: SparkSession) -> None:
    found = refused(
        spark,
        ("u", "a", "dislike", 9),
        ("u", "b", "dislike", 10),
        ("u", "c", "hide", 4),
        ("u", "d", "hide", 5),
    )
    assert found == [("u", "a", 0.5), ("u", "c", 0.25)]


def test_refused_items_go_and_their_neighbors_lose_by_nearness(spark: SparkSession) -> None:
    scored = spark.createDataFrame(
        [
            ("u", "x", 0.9, "i2i"),
            ("u", "near", 0.8, "i2i"),
            ("u", "far", 0.8, "vector"),
            ("u", "fill", 0.6, "popular"),
            ("u", "other", 0.4, "popular"),
            ("v", "x", 0.9, "i2i"),
            ("v", "near", 0.8, "i2i"),
        ],
        "user_id string, item_id string, score double, strongest string",
    )
    neighbors = spark.createDataFrame(
        [
            ("x", "near", 0.4, ["slim"]),
            ("x", "far", 0.1, ["slim", "content"]),
            ("x", "fill", 0.05, ["popular"]),
            ("y", "near", 0.2, ["content"]),
            ("z", "other", 0.2, ["content"]),
        ],
        NEIGHBORS,
    )
    said = spark.createDataFrame(
        [("u", "x", 0.5), ("u", "y", 0.25)], "user_id string, item_id string, penalty double"
    )
    found = without_refused(scored, said, neighbors)
    assert found.columns == scored.columns
    # near: half by x and a quarter by y, of which the larger counts. far: a half of a quarter.
    assert {(row.user_id, row.item_id): row.score for row in found.collect()} == {
        ("u", "near"): pytest.approx(0.8 * 0.5),
        ("u", "far"): pytest.approx(0.8 * (1 - 0.5 / 4)),
        ("u", "fill"): 0.6,
        ("u", "other"): 0.4,
        ("v", "x"): 0.9,
        ("v", "near"): 0.8,
    }


def test_without_a_penalty_only_the_item_itself_goes(spark: SparkSession) -> None:
    scored = spark.createDataFrame(
        [("u", "x", 0.9), ("u", "near", 0.8)], "user_id string, item_id string, score double"
    )
    neighbors = spark.createDataFrame([("x", "near", 0.4, ["slim"])], NEIGHBORS)
    said = spark.createDataFrame(
        [("u", "x", 0.0)], "user_id string, item_id string, penalty double"
    )
    rows = without_refused(scored, said, neighbors).collect()
    assert [tuple(row) for row in rows] == [("u", "near", 0.8)]
