"""What a day selects, on a few rows whose order can be seen."""

from __future__ import annotations

from datetime import date

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.llm.selection import select_item_contents, select_user_profiles

DS = date(2017, 12, 28)
ITEM_COLUMNS = (
    "item_id string, content_hash string, title string, category string, department string, "
    "brand string, description string, is_sellable boolean"
)


def items(spark: SparkSession, *rows: tuple[str, str, str | None, bool]) -> DataFrame:
    """Rows of (item_id, content_hash, title, is_sellable)."""
    full = [(i, c, title, "cat", "dep", "own", None, sellable) for i, c, title, sellable in rows]
    return spark.createDataFrame(full, ITEM_COLUMNS)


def sales(spark: SparkSession, *rows: tuple[str, date, float]) -> DataFrame:
    return spark.createDataFrame(
        [tuple(row) for row in rows], "item_id string, event_date date, weight double"
    )


def ranked(selected: DataFrame) -> list[tuple[str, float, int]]:
    rows = selected.select("content_hash", "priority", "rank").collect()
    return sorted((tuple(row) for row in rows), key=lambda row: row[2])


def test_best_sellers_come_first_and_contents_count_once(spark: SparkSession) -> None:
    catalogue = items(
        spark,
        ("i1", "milk", "MILK", True),
        ("i2", "milk", "MILK", True),  # the same content in another size
        ("i3", "tea", "TEA", True),
        ("i4", "salt", "SALT", True),
    )
    sold = sales(spark, ("i1", DS, 1.0), ("i2", DS, 2.5), ("i3", DS, 3.0))
    # milk: 1.0 + 2.5 over both items; tea: 3.0; salt was never sold.
    assert ranked(select_item_contents(catalogue, sold, DS, 10)) == [
        ("milk", 3.5, 1),
        ("tea", 3.0, 2),
        ("salt", 0.0, 3),
    ]


def test_equals_are_ordered_by_content_hash_and_cut_to_the_budget(spark: SparkSession) -> None:
    catalogue = items(spark, *((f"i{c}", c, "TEA", True) for c in "dbca"))
    sold = sales(spark, ("ic", DS, 1.0))
    assert ranked(select_item_contents(catalogue, sold, DS, 3)) == [
        ("c", 1.0, 1),
        ("a", 0.0, 2),
        ("b", 0.0, 3),
    ]
    assert ranked(select_item_contents(catalogue, sold, DS, 0)) == []


def test_ninety_days_that_end_with_ds_count(spark: SparkSession) -> None:
    catalogue = items(spark, ("i1", "tea", "TEA", True))
    sold = sales(
        spark,
        ("i1", date(2017, 12, 29), 100.0),  # after ds
        ("i1", date(2017, 12, 28), 1.0),
        ("i1", date(2017, 9, 30), 10.0),  # the first of the ninety days
        ("i1", date(2017, 9, 29), 1000.0),  # a day too old
    )
    assert ranked(select_item_contents(catalogue, sold, DS, 5)) == [("tea", 11.0, 1)]


@pytest.mark.parametrize("title", [None, "", "   "])
def test_a_content_without_text_is_never_selected(spark: SparkSession, title: str | None) -> None:
    catalogue = items(spark, ("i1", "none", title, True), ("i2", "tea", "TEA", True))
    sold = sales(spark, ("i1", DS, 9.0))
    assert ranked(select_item_contents(catalogue, sold, DS, 5)) == [("tea", 0.0, 1)]


def test_what_is_not_sold_any_more_is_never_selected(spark: SparkSession) -> None:
    catalogue = items(spark, ("i1", "gone", "GONE", False), ("i2", "tea", "TEA", True))
    sold = sales(spark, ("i1", DS, 9.0))
    assert ranked(select_item_contents(catalogue, sold, DS, 5)) == [("tea", 0.0, 1)]


def test_a_sum_does_not_depend_on_the_order_of_the_rows(spark: SparkSession) -> None:
    """As doubles, 0.1 + 0.2 + 0.3 is above 0.6 in one order and not in another."""
    catalogue = items(spark, ("i1", "a", "TEA", True), ("i2", "b", "TEA", True))
    sold = sales(
        spark,
        *(("i1", DS, weight) for weight in (0.3, 0.2, 0.1)),
        *(("i2", DS, weight) for weight in (0.1, 0.2, 0.3)),
    )
    assert ranked(select_item_contents(catalogue, sold, DS, 2)) == [("a", 0.6, 1), ("b", 0.6, 2)]


def test_the_selection_brings_what_a_prompt_may_show(spark: SparkSession) -> None:
    selected = select_item_contents(items(spark, ("i1", "tea", "TEA", True)), sales(spark), DS, 1)
    assert selected.columns == [
        "content_hash",
        "title",
        "category",
        "department",
        "brand",
        "description",
        "priority",
        "rank",
    ]
    assert selected.collect()[0].asDict() == {
        "content_hash": "tea",
        "title": "TEA",
        "category": "cat",
        "department": "dep",
        "brand": "own",
        "description": None,
        "priority": 0.0,
        "rank": 1,
    }


def test_the_most_active_users_come_first(spark: SparkSession) -> None:
    profiles = spark.createDataFrame(
        [
            ("u3", "Buys tea", "p1", 5),
            ("u1", "Buys tea", "p1", 5),
            ("u2", "Buys milk", "p2", 9),
            ("u4", None, "p3", 99),
            ("u5", " ", "p4", 99),
        ],
        "user_id string, profile string, profile_hash string, interactions_count_90d long",
    )
    selected = select_user_profiles(profiles, 2)
    assert [tuple(row) for row in selected.orderBy("rank").collect()] == [
        ("u2", "Buys milk", "p2", 9.0, 1),
        ("u1", "Buys tea", "p1", 5.0, 2),
    ]
