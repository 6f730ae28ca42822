"""Popular items, of all users and of segments."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.recall.lists.popular import popular_items, recent_measure, segments_listed
from jobs.recall.settings.lists import PopularSettings
from tests.recall.lists.counted import counted
from tests.recall.shop import DS, items, rows_of, users

COLUMNS = ("segment", "rank", "item_id", "score", "users_count")
SETTINGS = PopularSettings(
    window_days=14, half_life_days=7, items=3, segment_attribute="age", segment_min_users=2
)
# Two of the young and one of the old took something in the window; x has no age.
AGES = {
    "y1": {"age": "young"},
    "y2": {"age": "young"},
    "o1": {"age": "old"},
    "o2": {"age": "old"},
    "x": {},
}
ROWS = [
    ("y1", "a", 0),
    ("y1", "a", 3),
    ("y2", "a", 7),
    ("y2", "b", 0),
    ("o1", "b", 0),
    ("o2", "b", 30),
    ("x", "c", 13),
    ("x", "gone", 0),
    ("y1", "returned", 0, -1.0),
]


def popular(spark: SparkSession, settings: PopularSettings) -> list[tuple]:
    catalogue = items(spark, ["a", "b", "c", "d"], unsellable=["gone", "returned"])
    counts = counted(spark, ROWS, AGES, recent_measure(DS, settings), settings)
    found = popular_items(counts, catalogue, settings)
    return rows_of(found, *COLUMNS)


def test_users_count_once_and_half_for_each_half_life(spark: SparkSession) -> None:
    # a: y1 today 1, y2 a week ago 1/2. b: y2 and o1 today. c: 13 days ago, 0.5^(13/7).
    assert popular(spark, SETTINGS) == [
        ("age=young", 1, "a", 1.5, 2),
        ("age=young", 2, "b", 1.0, 1),
        ("all", 1, "b", 2.0, 2),
        ("all", 2, "a", 1.5, 2),
        ("all", 3, "c", pytest.approx(0.5 ** (13 / 7)), 1),
    ]


def test_the_list_of_all_users_goes_on_with_items_that_nobody_took(spark: SparkSession) -> None:
    rows = popular(spark, SETTINGS.model_copy(update={"items": 10, "segment_attribute": None}))
    assert [row[2] for row in rows] == ["b", "a", "c", "d"]
    assert rows[-1] == ("all", 4, "d", 0.0, 0)


def test_a_user_belongs_to_a_segment_only_if_it_has_a_list(spark: SparkSession) -> None:
    listed = spark.createDataFrame([("all",), ("age=young",)], "segment string")
    found = segments_listed(users(spark, AGES), listed, SETTINGS)
    assert rows_of(found, "user_id", "segment") == [("y1", "age=young"), ("y2", "age=young")]
