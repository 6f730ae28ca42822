"""silver.i2i_candidates: what each method hands to the fusion."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.recall.settings import CooccurrenceSettings, RecallSettings, SlimSettings
from jobs.silver.i2i_candidates import cooccurrence, slim
from tests.recall.shop import (
    column_types,
    contract_types,
    interactions,
    items,
    make_run,
    rows_of,
)

ROWS = [(user, item, 0) for user in "uv" for item in "abc"]


def test_cooccurrence_follows_its_contract_and_its_settings(
    spark: SparkSession, tmp_path: Path
) -> None:
    recall = RecallSettings(cooccurrence=CooccurrenceSettings(neighbors=1))
    found = cooccurrence(
        make_run(tmp_path, recall), interactions(spark, ROWS), items(spark, "ab", unsellable="c")
    )
    assert column_types(found) == contract_types("silver.i2i_candidates")
    assert rows_of(found, "item_id", "rank", "neighbor_item_id", "support") == [
        ("a", 1, "b", 2),
        ("b", 1, "a", 2),
        ("c", 1, "a", 2),
    ]


def test_slim_follows_its_contract_and_its_settings(spark: SparkSession, tmp_path: Path) -> None:
    # Every strength is 1/2; both users of b took a, which a third took as well. With a penalty of
    # one user, a by b is (2 · 1/4) / (2 · 1/4 + 1/4) = 2/3; b is not on sale, so a has no neighbor.
    rows = [(user, item, 0) for user in "uv" for item in "ab"]
    recall = RecallSettings(slim=SlimSettings(penalty=1, user_exponent=0))
    found = slim(
        make_run(tmp_path, recall),
        interactions(spark, [*rows, ("w", "a", 0)]),
        items(spark, "a", unsellable="b"),
    )
    assert column_types(found) == contract_types("silver.i2i_candidates")
    assert rows_of(found, "item_id", "rank", "neighbor_item_id", "score", "support") == [
        ("b", 1, "a", pytest.approx(2 / 3), 2),
    ]
