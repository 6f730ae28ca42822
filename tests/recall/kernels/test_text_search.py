"""Searches among texts: which vectors count, what is found, and the items of each text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.kernels import text_search
from jobs.recall.kernels.text_search import (
    TextVectors,
    distinct_texts,
    expand_texts,
    find_hits,
    item_texts_with_vectors,
    nearest_texts,
    places_in_texts,
    search_among_all,
)
from jobs.vectors.encoder import GRID
from tests.recall.shop import item_vectors, items, rows_of


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


def test_of_each_text_the_first_item_stands_for_it(spark: SparkSession) -> None:
    texts = {"b2": ("bread", (2.0,)), "b1": ("bread", (1.0,)), "m": ("milk", (3.0,))}
    found = distinct_texts(item_vectors(spark, texts))
    assert rows_of(found, "text_hash", "item_id", "embedding") == [
        ("bread", "b1", [1.0]),
        ("milk", "m", [3.0]),
    ]


def test_the_nearest_texts_are_those_of_comparing_with_every_text(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random vectors on the encoder's grid, of which some are equal, in several tasks and blocks;
    one vector is far from all. An index of the same texts answers the same to the last bit."""
    monkeypatch.setattr(text_search, "_VECTORS_IN_A_TASK", 7)
    draw = np.random.default_rng(3)
    corpus = np.rint(draw.normal(size=(40, 8)) * GRID / 3) / GRID
    corpus[5:15] = corpus[15:25]
    # In ids of several lengths, so that id order is not the order of the rows.
    names = [f"i{n * 7 % 40}" for n in range(40)]
    texts = item_vectors(spark, {n: (n, v.tolist()) for n, v in zip(names, corpus, strict=True)})
    queries = np.concatenate([corpus[:20], -corpus[:1]])
    asked = spark.createDataFrame(
        [(f"q{n}", v.tolist()) for n, v in enumerate(queries)],
        "user_id string, embedding array<float>",
    )
    columns = ("user_id", "item_id", "score")
    found = nearest_texts(asked, "user_id", texts, None, 6, Scratch(tmp_path))
    expected = []
    for n, query in enumerate(queries):
        scored = [(round(float(query @ v), 6), name) for name, v in zip(names, corpus, strict=True)]
        best = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:6]
        expected += [(f"q{n}", name, min(1.0, max(-1.0, score))) for score, name in best]
    assert rows_of(found, *columns) == sorted(expected)
    order = sorted(range(40), key=lambda n: names[n])
    index = search_among_all([names[n] for n in order], corpus[order].astype(np.float32))
    by_index = nearest_texts(asked, "user_id", texts, index, 6, Scratch(tmp_path))
    assert rows_of(by_index, *columns) == sorted(expected)


def test_a_block_of_the_product_is_one_vector_at_least(tmp_path: Path) -> None:
    """However many texts there are, and also where there are none."""
    texts = TextVectors(pa.array(["a", "b"]), np.eye(2, dtype=np.float32))
    texts.save(tmp_path / "texts")
    TextVectors(pa.array([], pa.string()), np.empty((0, 2), np.float32)).save(tmp_path / "none")
    asked = pa.record_batch(
        {
            "query_id": ["u", "v"],
            "embedding": pa.array([[1.0, 0.5], [0.0, 1.0]], pa.list_(pa.float32())),
        }
    )

    def found(folder: Path, cells: int) -> list[dict[str, object]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_search, "_CELLS_AT_ONCE", cells)
            parts = list(text_search._compared_in_tasks(folder, 1)(iter([asked])))
        return [row for part in parts for row in part.to_pylist()]

    best = [
        {"query_id": "u", "item_id": "a", "score": 1.0},
        {"query_id": "v", "item_id": "b", "score": 1.0},
    ]
    assert found(tmp_path / "texts", 1) == found(tmp_path / "texts", 100) == best
    assert found(tmp_path / "none", 100) == []


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
