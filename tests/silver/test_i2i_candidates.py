"""silver.i2i_candidates: what each method hands to the fusion."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from jobs.recall.settings import CooccurrenceSettings, RecallSettings
from jobs.silver.i2i_candidates import cooccurrence
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
