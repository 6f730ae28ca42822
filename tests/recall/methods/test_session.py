"""Neighbors by what one visit holds, worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.methods.session import session_neighbors
from jobs.recall.sources.methods import SessionSettings
from tests.recall.shop import items, rows_of, visits

FAR_APART = [
    ("u", "a", 0, None),
    ("u", "b", 1, None),
    ("u", "c", -90, None),
    ("u", "a", -180, None),
    ("u", "b", -180, None),
    ("v", "a", 0, None),
    ("v", "b", 0, None),
    ("v", "c", -90, None),
    ("w", "c", 0, None),
    ("w", "a", 0, None),
]


@pytest.mark.parametrize("max_matrix_entries", [0, 1000], ids=["by shuffle", "in tasks"])
def test_neighbors_are_what_one_visit_holds_and_support_counts_users(
    spark: SparkSession, tmp_path: Path, max_matrix_entries: int
) -> None:
    # Strengths are 1/2. Three visits hold a and b: two of u, one of v; so two users. One of w holds
    # a and c: one user, below the support. |visit| = 2; a is in 4 visits, b in 3. Of two users one
    # is beside the first: 1 / (1 + 2).
    settings = SessionSettings(max_matrix_entries=max_matrix_entries)
    found = session_neighbors(
        visits(spark, FAR_APART), items(spark, "abc"), settings, Scratch(tmp_path)
    )
    total = 3 * 0.25 * 2**-0.75 / 3
    assert rows_of(found, "item_id", "rank", "neighbor_item_id", "score", "support") == [
        ("a", 1, "b", pytest.approx(total * 4**-0.6 * 3**-0.4, rel=1e-5), 2),
        ("b", 1, "a", pytest.approx(total * 3**-0.6 * 4**-0.4, rel=1e-5), 2),
    ]


def test_data_without_sessions_has_no_neighbors_by_session(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [(user, item, 0, None) for user in "uv" for item in "ab"]
    found = session_neighbors(
        visits(spark, rows), items(spark, "ab"), SessionSettings(), Scratch(tmp_path)
    )
    assert rows_of(found, "item_id", "neighbor_item_id") == []
