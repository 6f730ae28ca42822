"""A new order of candidates: who is a neighbor in a pool, and which row gets which value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.fusion.reorder import (
    UNKNOWN,
    Candidates,
    pairs_in_pool,
    reorder,
    room_for_pairs,
    similar_items,
)
from jobs.recall.kernels.neighbor_table import NeighborTable
from tests.recall.fusion.reordered import reordered
from tests.recall.shop import rows_of

# Items 0 to 3: 0 has the neighbors 1 and 3, 1 has 0, 2 has none, 3 has 2.
INDPTR = np.array([0, 2, 3, 3, 4])
NEIGHBORS = np.array([1, 3, 0, 2], np.int32)


def test_pairs_are_those_whose_items_are_both_in_the_pool() -> None:
    # The second candidate is in no list of neighbors; 2, the neighbor of 3, is not in the pool.
    pool = np.array([3, UNKNOWN, 0, 1], np.int32)
    place_of, pairs = np.full(4, UNKNOWN, np.int32), room_for_pairs(INDPTR, len(pool))
    found = pairs_in_pool(pool, INDPTR, NEIGHBORS, place_of, pairs)
    # (place of the item, place of its neighbor, cell): 0 → 1, 0 → 3 and 1 → 0.
    assert pairs[:, :found].T.tolist() == [[2, 3, 0], [2, 0, 1], [3, 2, 2]]
    # the next pool finds the scratch as this one did
    assert set(place_of.tolist()) == {UNKNOWN}


def test_there_is_room_for_the_longest_list_of_each_item_in_the_pool() -> None:
    assert room_for_pairs(INDPTR, 5).shape == (3, 5 * 2)
    assert room_for_pairs(INDPTR, 1).shape == (3, 1)
    assert room_for_pairs(np.array([0]), 5).shape == (3, 0)


def test_values_see_each_user_best_first_and_come_back_to_their_rows(tmp_path: Path) -> None:
    seen: list[Candidates] = []

    def falling(rows: Candidates, table: NeighborTable) -> NDArray[np.float64]:
        seen.append(rows)
        assert table.item_ids.to_pylist() == ["a", "b"]
        return np.array([4.0, 3.0, 2.0, 1.0])

    users = {"u": {"b": 0.5, "z": 0.9, "a": 0.5}, "v": {"b": 0.1}}
    found = reordered(tmp_path, users, {("a", "b"): 1.0}, falling)
    assert found == {"u": {"z": 4.0, "a": 3.0, "b": 2.0}, "v": {"b": 1.0}}
    (rows,) = seen
    # z, a and b of u, then b of v; z is in no list of neighbors
    assert rows.starts.tolist() == [0, 3, 4]
    assert rows.scores.tolist() == [0.9, 0.5, 0.5, 0.1]
    assert rows.places.tolist() == [3, 1, 2, 2]
    assert rows.codes.tolist() == [UNKNOWN, 0, 1, 1]


def test_rows_keep_their_other_columns(spark: SparkSession, tmp_path: Path) -> None:
    neighbors = spark.createDataFrame(
        [("a", "b", 0.5, 1)], "item_id string, neighbor_item_id string, score double, rank int"
    )
    scored = spark.createDataFrame(
        [("u", 0.5, "a", {"i2i": 0.5}, None), ("u", 0.25, "b", {"new": 0.25}, "a")],
        "user_id string, score double, item_id string, scores map<string,double>, because string",
    )

    def doubled(rows: Candidates, table: NeighborTable) -> NDArray[np.float64]:
        return rows.scores * 2

    table = Scratch(tmp_path).put(similar_items(neighbors))
    found = reorder(scored, table, doubled)
    assert found.columns == scored.columns
    assert rows_of(found, "user_id", "item_id", "score", "because") == [
        ("u", "a", 1.0, None),
        ("u", "b", 0.5, "a"),
    ]
    assert {i: dict(s) for i, s in rows_of(found, "item_id", "scores")} == {
        "a": {"i2i": 0.5},
        "b": {"new": 0.25},
    }
