"""gold.popular_items_daily: the fallback of every list."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from jobs.gold.popular_items_daily import popular_items_daily
from jobs.recall.settings import RecallSettings
from tests.recall.shop import (
    column_types,
    contract_types,
    interactions,
    items,
    make_run,
    rows_of,
)


def test_it_has_a_list_for_all_users_and_for_each_large_segment(
    spark: SparkSession, tmp_path: Path
) -> None:
    recall = RecallSettings.model_validate(
        {"popular": {"items": 2, "segment_min_users": 2}, "user": {"items": 2}}
    )
    users = spark.createDataFrame(
        [("u", {"age": "65+"}), ("v", {"age": "65+"}), ("w", {"age": "19-24"})],
        "user_id string, attributes map<string,string>",
    )
    rows = [("u", "a", 0), ("v", "b", 0), ("w", "b", 0), ("u", "gone", 0)]
    found = popular_items_daily(
        make_run(tmp_path, recall),
        interactions(spark, rows),
        items(spark, "abc", unsellable=["gone"]),
        users,
    )
    assert column_types(found) == contract_types("gold.popular_items_daily")
    assert rows_of(found, "segment", "rank", "item_id", "score", "users_count") == [
        ("age=65+", 1, "a", 1.0, 1),
        ("age=65+", 2, "b", 1.0, 1),
        ("all", 1, "b", 2.0, 2),
        ("all", 2, "a", 1.0, 1),
    ]
