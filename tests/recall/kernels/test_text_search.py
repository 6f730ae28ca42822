"""Searches among texts: which vectors count, what is found, and the items of each text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.kernels import text_search
from jobs.recall.kernels.text_search import (
    expand_texts,
    find_hits,
    item_texts_with_vectors,
    places_in_texts,
    search_among_all,
)
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


def test_a_search_among_all_breaks_ties_in_the_order_of_its_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_search, "_COMPARED_AT_ONCE", 1)
    right, up = np.eye(2, dtype=np.float32)
    search = search_among_all(["z", "a", "m"], np.array([right, right, up]))
    asked = np.array([right, up])
    assert search(asked, 2) == ([["z", "a"], ["m", "z"]], [[1, 1], [1, 0]])
    nothing = search_among_all([], np.empty((0, 0), np.float32))
    assert nothing(asked, 2) == ([[], []], [[], []])


def test_hits_carry_the_key_of_who_asked_and_a_cosine_of_six_places(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_search, "_VECTORS_AT_ONCE", 1)  # several parts
    asked: list[float] = []

    def search(vectors: np.ndarray, depth: int) -> tuple[list[list[str]], list[list[float]]]:
        asked.extend(vectors[:, 0].tolist())
        found = [["a", "b"][:depth] if vector[0] else [] for vector in vectors]
        return found, [[1.0000004, 0.12345678][: len(ids)] for ids in found]

    rows = [("u", [1.0]), ("v", [0.0]), ("w", [2.0])]
    vectors = spark.createDataFrame(rows, "user_id string, embedding array<float>")
    found = find_hits(vectors, "user_id", search, 2, Scratch(tmp_path))
    assert rows_of(found, "user_id", "item_id", "score") == [
        ("u", "a", 1.0),
        ("u", "b", 0.123457),
        ("w", "a", 1.0),
        ("w", "b", 0.123457),
    ]
    assert sorted(asked) == [0.0, 1.0, 2.0]
    none = find_hits(vectors.limit(0), "user_id", search, 2, Scratch(tmp_path))
    assert rows_of(none, "user_id", "item_id", "score") == []


def test_a_hit_stands_for_the_first_items_of_its_text(spark: SparkSession) -> None:
    texts = spark.createDataFrame(
        [("b2", "bread"), ("b10", "bread"), ("b1", "bread"), ("m", "milk")],
        "item_id string, text_hash string",
    )
    places = places_in_texts(texts)
    assert rows_of(places, "text_hash", "place", "item_id") == [
        ("bread", 1, "b1"),
        ("bread", 2, "b10"),
        ("bread", 3, "b2"),
        ("milk", 1, "m"),
    ]
    hits = spark.createDataFrame(
        [("u", "b2", 0.9), ("v", "m", 0.4), ("v", "gone", 0.8)],
        "user_id string, item_id string, score double",
    )
    found = expand_texts(hits, places, "user_id", 2)
    assert rows_of(found, "user_id", "item_id", "text_hash", "place", "score") == [
        ("u", "b1", "bread", 1, 0.9),
        ("u", "b10", "bread", 2, 0.9),
        ("v", "m", "milk", 1, 0.4),
    ]
