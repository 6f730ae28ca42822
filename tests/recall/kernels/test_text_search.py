"""Searches among texts: which vectors count, what is found, and the items of each text."""

from __future__ import annotations

from pyspark.sql import SparkSession

from jobs.recall.kernels.text_search import item_texts_with_vectors
from tests.recall.shop import items, rows_of


def test_only_vectors_of_the_days_text_and_encoder_and_of_sellable_items_count(
    spark: SparkSession,
) -> None:
    texts = spark.createDataFrame(
        [("a", "new"), ("b", "t"), ("gone", "t"), ("no_vector", "x")],
        "item_id string, text_hash string",
    )
    embeddings = spark.createDataFrame(
        [
            ("a", "old", "mini", [1.0]),
            ("a", "new", "mini", [2.0]),
            ("a", "new", "other", [3.0]),
            ("b", "t", "other", [4.0]),
            ("b", "t", "mini", [5.0]),
            ("gone", "t", "mini", [6.0]),
        ],
        "item_id string, text_hash string, encoder string, embedding array<float>",
    )
    found = item_texts_with_vectors(
        texts, embeddings, items(spark, ["a", "b", "no_vector"], unsellable=["gone"]), "mini"
    )
    assert rows_of(found, "item_id", "text_hash", "embedding") == [
        ("a", "new", [2.0]),
        ("b", "t", [5.0]),
    ]
