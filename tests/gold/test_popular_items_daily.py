"""gold.popular_items_daily: the fallback of every list, and three lists beside it."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from jobs.gold.popular_items_daily import popular_items_daily
from jobs.settings import RecallSettings
from tests.recall.shop import (
    column_types,
    contract_types,
    interactions,
    items,
    make_run,
    rows_of,
    users,
)


def test_it_has_a_list_for_all_users_and_for_each_large_segment(
    spark: SparkSession, tmp_path: Path
) -> None:
    recall = RecallSettings.model_validate(
        {"popular": {"items": 2, "segment_min_users": 2}, "user": {"items": 2}}
    )
    ages = {"u": {"age": "65+"}, "v": {"age": "65+"}, "w": {"age": "19-24"}}
    rows = [("u", "a", 0), ("v", "b", 0), ("w", "b", 0), ("u", "gone", 0)]
    found = popular_items_daily(
        make_run(tmp_path, recall),
        interactions(spark, rows),
        items(spark, "abc", unsellable=["gone"]),
        users(spark, ages),
    )
    assert column_types(found) == contract_types("gold.popular_items_daily")
    assert rows_of(found, "kind", "segment", "rank", "item_id", "score", "users_count") == [
        ("popular", "age=65+", 1, "a", 1.0, 1),
        ("popular", "age=65+", 2, "b", 1.0, 1),
        ("popular", "all", 1, "b", 2.0, 2),
        ("popular", "all", 2, "a", 1.0, 1),
    ]


def test_each_kind_has_its_list(spark: SparkSession, tmp_path: Path) -> None:
    # Everyone takes a every week. b is new, c is of these weeks of last year, d comes fast.
    everyone = ["u", "v", "w", "x", "y"]
    rows = [(user, "a", 7 * week) for user in everyone for week in range(60)]
    rows += [(user, "b", day) for user in everyone for day in (20, 15, 10)]
    rows += [(user, "c", day) for user in everyone for day in (360, 365, 370)]
    rows += [(user, "d", day) for user in everyone for day in (0, 1, 2, 100)]
    found = popular_items_daily(
        make_run(tmp_path),
        interactions(spark, rows),
        items(spark, "abcde"),
        users(spark, {user: {} for user in everyone}),
    )
    listed: dict[str, list[str]] = {}
    for kind, segment, _, item in rows_of(found, "kind", "segment", "rank", "item_id"):
        assert segment == "all"
        listed.setdefault(kind, []).append(item)
    assert listed == {
        "popular": ["a", "d", "b", "c", "e"],
        "trending": ["d"],
        "new": ["b"],
        "seasonal": ["c"],
    }
