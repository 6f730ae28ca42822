"""Channel `vector`: what is near to a user's text, and what is left out."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.channels.vector import recall_by_vector, recall_hits
from jobs.recall.sources.channels import VectorSettings
from jobs.recall.sources.methods import ContentSettings
from tests.recall.shop import DS, exact_index, interactions, item_vectors, items, rows_of

COLUMNS = ("user_id", "rank", "item_id", "score", "because_item_id")
# Cosine of bread with rye 0.8 and with milk 0, of rye with milk 0.6.
BREAD, RYE, MILK = (1.0, 0.0), (0.8, 0.6), (0.0, 1.0)
SHOP = {
    "b1": ("bread", BREAD),
    "b2": ("bread", BREAD),
    "b3": ("bread", BREAD),
    "m1": ("milk", MILK),
    "r1": ("rye", RYE),
}


def test_near_items_are_listed_unless_seen_or_not_sellable(spark: SparkSession) -> None:
    hits = spark.createDataFrame(
        [("u", "a", 0.9), ("u", "b", 0.9), ("u", "x", 0.7), ("u", "gone", 1.0), ("u", "y", -0.1)],
        "user_id string, item_id string, score double",
    )
    found = recall_by_vector(
        hits,
        interactions(spark, [("u", "b", 89), ("u", "x", 90)]),
        items(spark, ["a", "b", "x", "y"], unsellable=["gone"]),
        DS,
        VectorSettings(exclude_seen_days=90),
    )
    assert rows_of(found, *COLUMNS) == [("u", 1, "a", 0.9, None), ("u", 2, "x", 0.7, None)]


def test_users_are_given_a_few_items_of_each_near_text(spark: SparkSession, tmp_path: Path) -> None:
    users = spark.createDataFrame(
        [("u", [0.8, 0.6]), ("v", [-1.0, 0.0])], "user_id string, embedding array<float>"
    )
    settings = ContentSettings(items_per_text=2)
    found = recall_hits(
        users, item_vectors(spark, SHOP), exact_index(SHOP), settings, Scratch(tmp_path)
    )
    assert rows_of(found, "user_id", "item_id", "score") == [
        ("u", "b1", 0.8),
        ("u", "b2", 0.8),
        ("u", "m1", 0.6),
        ("u", "r1", 1.0),
    ]
