"""Trending items: paces worked by hand."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.recall.lists.trending import trending_items, trending_measure
from jobs.recall.settings.lists import PopularSettings, TrendingSettings
from tests.recall.lists.counted import counted
from tests.recall.shop import DS, items, rows_of

COLUMNS = ("segment", "rank", "item_id", "score", "users_count")
# A use today counts 1 and 1, one of two days ago 1/4 and 1/2.
SETTINGS = TrendingSettings(
    window_days=10, short_half_life_days=1, long_half_life_days=2, min_users=2, smoothing=1
)
SEGMENTS = PopularSettings(segment_attribute="age", segment_min_users=2)
AGES = {"u": {"age": "young"}, "v": {"age": "young"}, "w": {"age": "old"}, "x": {}}


def trending(spark: SparkSession, rows: list[tuple], **settings: float) -> list[tuple]:
    chosen = SETTINGS.model_copy(update=settings)
    counts = counted(spark, rows, AGES, trending_measure(DS, chosen), SEGMENTS)
    found = trending_items(counts, items(spark, "abc", unsellable=["gone"]), chosen)
    return rows_of(found, *COLUMNS)


def test_the_pace_of_late_is_held_against_the_usual_one(spark: SparkSession) -> None:
    # All: 2 + 2/4 + 1 = 3.5 of late, 2 + 2/2 + 1 = 4 as usual, so 0.875 is the pace of all.
    # a: (2 / 0.875 + 1) / (2 + 1). b: (0.5 / 0.875 + 1) / (1 + 1), below 1. c has one user.
    rows = [("u", "a", 0), ("w", "a", 0), ("u", "b", 2), ("w", "b", 2), ("x", "c", 0)]
    assert trending(spark, rows) == [
        ("all", 1, "a", pytest.approx((2 / 0.875 + 1) / 3, abs=1e-6), 2)
    ]
    # The same day again, a return and what is older than the window change nothing.
    more = [("u", "a", 0), ("u", "b", 0, -1.0), ("v", "b", 10)]
    assert trending(spark, rows + more) == trending(spark, rows)


def test_a_day_later_is_another_use(spark: SparkSession) -> None:
    # u took b every other day. Of users by their last day alone, b would be as quick as a.
    rows = [("u", "a", 0), ("v", "a", 0), *(("u", "b", day) for day in (0, 2, 4, 6, 8))]
    assert [row[2] for row in trending(spark, rows, min_users=1) if row[0] == "all"] == ["a"]


def test_a_large_segment_has_its_own_pace(spark: SparkSession) -> None:
    # Young: a 2 of late and 2 as usual, b 1/2 and 1. The old w makes b quick for everyone.
    rows = [("u", "a", 0), ("v", "a", 0), ("u", "b", 2), ("v", "b", 2), ("w", "b", 0)]
    share = 2.5 / 3
    young = ("age=young", 1, "a", pytest.approx((2 / share + 1) / 3, abs=1e-6), 2)
    assert [row for row in trending(spark, rows) if row[0] != "all"] == [young]


def test_nothing_trends_where_all_items_keep_one_pace(spark: SparkSession) -> None:
    rows = [(user, item, day) for user in "uvw" for item in "abc" for day in (0, 1, 2, 5)]
    assert trending(spark, rows) == []
    assert trending(spark, []) == []


def test_only_the_best_of_what_can_be_sold_are_listed(spark: SparkSession) -> None:
    rows = [(user, item, 0) for user in "uv" for item in ("a", "b", "gone")]
    rows += [(user, "c", 2) for user in "uv"]
    assert [row[:3] for row in trending(spark, rows, items=1) if row[0] == "all"] == [
        ("all", 1, "a")
    ]
