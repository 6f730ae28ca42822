"""New items: since when an item is known, and who took it since."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.recall.lists.new_items import new_items
from jobs.recall.lists.popular import recent_measure
from jobs.recall.settings.lists import NewSettings, PopularSettings
from tests.recall.lists.counted import counted
from tests.recall.shop import DS, items, rows_of

COLUMNS = ("segment", "rank", "item_id", "score", "users_count")
SETTINGS = NewSettings(window_days=10, half_life_days=5)
SEGMENTS = PopularSettings(segment_attribute="age", segment_min_users=2)
AGES = {"u": {"age": "young"}, "v": {"age": "young"}, "w": {}}
FIRST_DROP = 40
# Days before DS of each item's newest record.
RECORDS = {
    "base": FIRST_DROP,
    "fresh": 6,
    "listed": 9,
    "late": 10,
    "changed": 2,
    "waiting": FIRST_DROP,
}
ROWS = [
    ("w", "base", 20),
    # first taken 5 days ago, by v today
    ("u", "fresh", 5),
    ("v", "fresh", 0),
    # taken before the window, though its record is of late
    ("u", "changed", 30),
    ("v", "changed", 0),
    # on sale for 40 days before anyone took it
    ("u", "waiting", 1),
]


def new(spark: SparkSession, rows: list[tuple], records: dict[str, int]) -> list[tuple]:
    catalogue = items(spark, ["c", "d", *records], unsellable=["gone"], age=records)
    counts = counted(spark, rows, AGES, recent_measure(DS, SETTINGS), SEGMENTS)
    found = new_items(counts, catalogue, DS, SETTINGS)
    return rows_of(found, *COLUMNS)


def test_items_first_known_of_late_are_listed_by_their_users(spark: SparkSession) -> None:
    # fresh: v today 1, u a half-life ago 1/2. Nobody took `listed`, known for less than ten days.
    assert new(spark, ROWS, RECORDS) == [
        ("age=young", 1, "fresh", 1.5, 2),
        ("all", 1, "fresh", 1.5, 2),
        ("all", 2, "listed", 0.0, 0),
    ]


@pytest.mark.parametrize(("first_taken", "is_new"), [(9, True), (10, False)])
def test_an_item_is_new_for_as_many_days_as_the_window(
    spark: SparkSession, first_taken: int, is_new: bool
) -> None:
    # Where no record has a day, the first use alone says how old an item is.
    rows = [("u", "c", first_taken), ("u", "c", 0), ("w", "d", 30)]
    assert [row[2] for row in new(spark, rows, {}) if row[0] == "all"] == (["c"] if is_new else [])


@pytest.mark.parametrize(("first_event", "is_old_enough"), [(19, False), (20, True)])
def test_young_data_makes_nothing_new(
    spark: SparkSession, first_event: int, is_old_enough: bool
) -> None:
    found = new(spark, [("w", "d", first_event), ("u", "c", 0)], {})
    assert bool(found) is is_old_enough


def test_a_return_is_no_use_and_what_cannot_be_sold_is_not_new(spark: SparkSession) -> None:
    rows = [("w", "d", 30), ("u", "c", 0, -1.0), ("u", "gone", 0)]
    assert new(spark, rows, {}) == []
    assert new(spark, [], {}) == []
