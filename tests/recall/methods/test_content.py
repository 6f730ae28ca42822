"""Neighbors by the meaning of their text, on texts of which some are shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.methods.content import content_neighbors
from jobs.recall.sources.methods import ContentSettings
from jobs.vectors.hits import TextSearch
from tests.recall.shop import exact_index, item_vectors, rows_of

COLUMNS = ("item_id", "rank", "neighbor_item_id", "score", "support")
# Cosine of bread with rye 0.8 and with milk 0, of rye with milk 0.6.
BREAD, RYE, MILK = (1.0, 0.0), (0.8, 0.6), (0.0, 1.0)
SHOP = {
    "b1": ("bread", BREAD),
    "b2": ("bread", BREAD),
    "b3": ("bread", BREAD),
    "m1": ("milk", MILK),
    "r1": ("rye", RYE),
}


@pytest.mark.parametrize("index", [None, exact_index(SHOP)], ids=["in tasks", "by an index"])
def test_lists_are_by_cosine_then_id_without_the_item_itself(
    spark: SparkSession, tmp_path: Path, index: TextSearch | None
) -> None:
    found = content_neighbors(
        item_vectors(spark, SHOP), index, ContentSettings(), Scratch(tmp_path)
    )
    assert rows_of(found, *COLUMNS) == [
        ("b1", 1, "b2", 1.0, None),
        ("b1", 2, "b3", 1.0, None),
        ("b1", 3, "r1", 0.8, None),
        ("b2", 1, "b1", 1.0, None),
        ("b2", 2, "b3", 1.0, None),
        ("b2", 3, "r1", 0.8, None),
        ("b3", 1, "b1", 1.0, None),
        ("b3", 2, "b2", 1.0, None),
        ("b3", 3, "r1", 0.8, None),
        ("m1", 1, "r1", 0.6, None),
        ("r1", 1, "b1", 0.8, None),
        ("r1", 2, "b2", 0.8, None),
        ("r1", 3, "b3", 0.8, None),
        ("r1", 4, "m1", 0.6, None),
    ]


@pytest.mark.parametrize("cap", [1, 2])
def test_one_text_does_not_crowd_a_list(spark: SparkSession, tmp_path: Path, cap: int) -> None:
    settings = ContentSettings(items_per_text=cap)
    found = content_neighbors(item_vectors(spark, SHOP), None, settings, Scratch(tmp_path))
    listed: dict[str, list[str]] = {}
    for item, neighbor in rows_of(found, "item_id", "neighbor_item_id"):
        listed.setdefault(item, []).append(neighbor)
    breads = {item: [n for n in found if n[0] == "b"] for item, found in listed.items()}
    first = {"b1": ["b2", "b3"], "b2": ["b1", "b3"], "b3": ["b1", "b2"], "r1": ["b1", "b2"]}
    assert breads == {item: found[:cap] for item, found in first.items()} | {"m1": []}
    assert all("r1" in listed[item] for item in ("b1", "b2", "b3"))


def test_each_distinct_text_is_asked_once(spark: SparkSession, tmp_path: Path) -> None:
    asked: list[np.ndarray] = []

    def search(vectors: np.ndarray, depth: int) -> tuple[list[list[str]], list[list[float]]]:
        asked.append(vectors)
        return exact_index(SHOP)(vectors, depth)

    content_neighbors(item_vectors(spark, SHOP), search, ContentSettings(), Scratch(tmp_path))
    (vectors,) = asked
    assert vectors.dtype == np.float32
    assert sorted(map(tuple, vectors.tolist())) == sorted(
        tuple(np.float32(v).tolist()) for v in (BREAD, RYE, MILK)
    )


@pytest.mark.parametrize("neighbors", [1, 2, 3, 5])
@pytest.mark.parametrize("cap", [1, 2, 10])
def test_lists_are_what_comparing_all_items_gives(
    spark: SparkSession, tmp_path: Path, neighbors: int, cap: int
) -> None:
    # Nine items, of which four share a text and two another; r9 is as near to bread as r1.
    shop = SHOP | {"b4": ("bread", BREAD), "m2": ("milk", MILK), "r9": ("rye bread", (0.8, -0.6))}
    settings = ContentSettings(neighbors=neighbors, items_per_text=cap, min_score=0.1)
    found = content_neighbors(item_vectors(spark, shop), None, settings, Scratch(tmp_path))

    expected = []
    for item, (_, vector) in shop.items():
        taken: dict[str, int] = {}
        rank = 0
        cosine = {o: round(float(np.dot(vector, w)), 6) for o, (_, w) in shop.items() if o != item}
        for other in sorted(cosine, key=lambda o: (-cosine[o], o)):
            text = shop[other][0]
            taken[text] = taken.get(text, 0) + 1
            if cosine[other] >= 0.1 and taken[text] <= cap and rank < neighbors:
                rank += 1
                expected.append((item, rank, other, cosine[other], None))
    assert rows_of(found, *COLUMNS) == sorted(expected)
