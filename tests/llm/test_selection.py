"""What a day selects, on a few rows whose order can be seen."""

from __future__ import annotations

from datetime import date

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.llm.selection import select_item_contents, select_user_profiles

DS = date(2017, 12, 28)
ITEM_COLUMNS = (
    "item_id string, content_hash string, title string, category string, department string, "
    "brand string, description string, is_sellable boolean, valid_from date"
)
FIRST_DROP = date(2017, 1, 1)


def items(
    spark: SparkSession, *rows: tuple[str, str, str | None, bool], since: date = FIRST_DROP
) -> DataFrame:
    """Rows of (item_id, content_hash, title, is_sellable)."""
    full = [
        (i, c, title, "cat", "dep", "own", None, sellable, since) for i, c, title, sellable in rows
    ]
    return spark.createDataFrame(full, ITEM_COLUMNS)


def sales(
    spark: SparkSession, *rows: tuple[str, date, float], users: tuple[str, ...] = ("ann",)
) -> DataFrame:
    """Rows of (item_id, event_date, weight), taken by the users in turn.

    Of what one user took, 50 / 51 of the weight is its value.
    """
    return spark.createDataFrame(
        [(users[n % len(users)], *row) for n, row in enumerate(rows)],
        "user_id string, item_id string, event_date date, weight double",
    )


def of_one_user(weight: float) -> float:
    return weight * 50 / 51


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
        ("milk", of_one_user(3.5), 1),
        ("tea", of_one_user(3.0), 2),
        ("salt", 0.0, 3),
    ]


def test_equals_are_ordered_by_content_hash_and_cut_to_the_budget(spark: SparkSession) -> None:
    catalogue = items(spark, *((f"i{c}", c, "TEA", True) for c in "dbca"))
    sold = sales(spark, ("ic", DS, 1.0))
    assert ranked(select_item_contents(catalogue, sold, DS, 3)) == [
        ("c", of_one_user(1.0), 1),
        ("a", 0.0, 2),
        ("b", 0.0, 3),
    ]
    assert ranked(select_item_contents(catalogue, sold, DS, 0)) == []


def test_what_many_took_is_worth_less_than_what_sells_as_much_to_few(spark: SparkSession) -> None:
    """Milk sells 120 to 100 users, tea 60 to 10, salt 45 to 10."""
    catalogue = items(
        spark,
        ("i1", "milk", "MILK", True),
        ("i2", "tea", "TEA", True),
        ("i3", "salt", "SALT", True),
    )
    many = tuple(f"u{n}" for n in range(100))
    milk = sales(spark, *[("i1", DS, 1.2)] * 100, users=many)
    tea = sales(spark, *[("i2", DS, 6.0)] * 10, users=many)
    salt = sales(spark, *[("i3", DS, 4.5)] * 10, users=many)
    # 120 · 50 / 150 = 40, 60 · 50 / 60 = 50, 45 · 50 / 60 = 37.5
    selected = select_item_contents(catalogue, milk.unionByName(tea).unionByName(salt), DS, 3)
    assert ranked(selected) == [("tea", 50.0, 1), ("milk", 40.0, 2), ("salt", 37.5, 3)]


def test_of_equals_the_newest_content_comes_first(spark: SparkSession) -> None:
    old = items(spark, ("i1", "a", "TEA", True), ("i2", "b", "SALT", True))
    new = items(spark, ("i3", "z", "MILK", True), ("i4", "b", "SALT", True), since=DS)
    selected = select_item_contents(old.unionByName(new), sales(spark), DS, 3)
    # A new size of salt doesn't make its content new.
    assert ranked(selected) == [("z", 0.0, 1), ("a", 0.0, 2), ("b", 0.0, 3)]


def test_ninety_days_that_end_with_ds_count(spark: SparkSession) -> None:
    catalogue = items(spark, ("i1", "tea", "TEA", True))
    sold = sales(
        spark,
        ("i1", date(2017, 12, 29), 100.0),  # after ds
        ("i1", date(2017, 12, 28), 1.0),
        ("i1", date(2017, 9, 30), 10.0),  # the first of the ninety days
        ("i1", date(2017, 9, 29), 1000.0),  # a day too old
    )
    assert ranked(select_item_contents(catalogue, sold, DS, 5)) == [("tea", of_one_user(11.0), 1)]


def test_of_what_was_never_answered_the_most_urgent_and_the_newest_take_turns(
    spark: SparkSession,
) -> None:
    old = items(spark, *((f"i{c}", c, "TEA", True) for c in "abcd"))
    new = items(spark, ("ix", "x", "MILK", True), ("iy", "y", "SALT", True), since=DS)
    newer = items(spark, ("iz", "z", "MILK", True), since=date(2017, 12, 29))
    catalogue = old.unionByName(new).unionByName(newer)
    sold = sales(spark, ("ia", DS, 9.0), ("ib", DS, 8.0), ("ic", DS, 7.0), ("ix", DS, 6.0))
    answered = spark.createDataFrame([("a",)], "content_hash string")

    def chosen(budget: int) -> list[str]:
        found = select_item_contents(catalogue, sold, DS, budget, answered=answered)
        assert found.columns[-2:] == ["first_seen", "rank"]
        return [content for content, _, _ in ranked(found)]

    # by value b, c, x, then z, y and d, of which nothing sold; by age z, x (it sells), y, b, c, d
    assert chosen(10) == ["b", "z", "c", "x", "y", "d"]
    assert chosen(3) == ["b", "z", "c"]
    assert chosen(1) == ["b"]


@pytest.mark.parametrize(
    "title", [None, "", "   ", "\t", "\u00a0", "\u200b\ufeff", "\u2003 \n", "\x00"]
)
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
    assert ranked(select_item_contents(catalogue, sold, DS, 2)) == [
        ("a", of_one_user(0.6), 1),
        ("b", of_one_user(0.6), 2),
    ]


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
        "first_seen",
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
        "first_seen": FIRST_DROP,
        "rank": 1,
    }


def test_profiles_that_were_answered_do_not_count(spark: SparkSession) -> None:
    profiles = spark.createDataFrame(
        [("u1", "Buys tea", "p1", 5), ("u2", "Buys milk", "p2", 9), ("u3", "Buys milk", "p2", 7)],
        "user_id string, profile string, profile_hash string, interactions_count_90d long",
    )
    answered = spark.createDataFrame(
        [("u2", "p2"), ("u3", "p1")], "user_id string, profile_hash string"
    )
    selected = select_user_profiles(profiles, 1, answered)
    assert [row["user_id"] for row in selected.collect()] == ["u3"]


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
