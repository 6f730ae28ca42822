"""A profile says what a user buys in coarse words, and nothing that could point at them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake import Run
from jobs.silver.user_profiles import MIN_USERS_PER_VALUE, user_profiles

DS = date(2026, 3, 31)
INTERACTIONS = (
    "user_id string, item_id string, event_ts timestamp, event_type string, event_date date, "
    "weight double, quantity double, amount double, session_id string, ingest_ds date"
)
ITEMS = "item_id string, title string, category string, brand string"


def bought(user: str, item: str, day: date, session: str | None = "s1", amount: float = 2.0):
    moment = datetime(day.year, day.month, day.day, 12)
    return (user, item, moment, "purchase", day, 1.0, 1.0, amount, session, day)


@pytest.fixture
def items(spark: SparkSession) -> DataFrame:
    rows = [
        ("i1", "Rye bread", "Bread", "Private"),
        ("i2", "Brie", "Cheese", "National"),
        ("i3", None, None, None),
    ]
    return spark.createDataFrame(rows, ITEMS)


@pytest.fixture
def nobody(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], "user_id string, attributes map<string,string>")


def profiles(run: Run, rows: list, items: DataFrame, users: DataFrame) -> dict[str, str]:
    frame = items.sparkSession.createDataFrame(rows, INTERACTIONS)
    made = user_profiles(run, interactions=frame, items=items, users=users)
    return {row.user_id: row.profile for row in made.collect()}


def test_a_profile_is_worked_out_by_hand(make_run, items: DataFrame, nobody: DataFrame) -> None:
    rows = [
        bought("u1", "i1", DS, "s1", 3.0),
        bought("u1", "i1", DS - timedelta(7), "s2", 3.0),
        bought("u1", "i2", DS - timedelta(14), "s3", 6.0),
        bought("u1", "i3", DS - timedelta(14), "s3", 4.0),
    ]
    # 2 of 3 described lines are bread, 1 is cheese: 67% and 33% round to 70 and 30.
    # 3 visits in 90 days are a few a month, 4 lines / 3 visits a small basket, 16 / 4 a price of 4.
    assert profiles(make_run(DS), rows, items, nobody) == {
        "u1": "Buys most often: bread (70%), cheese (30%). Favourite products: brie, rye bread. "
        "Brands: private (70%). Shops a few times a month. Small baskets. About 4 a product."
    }


def test_a_user_is_active_for_ninety_days(make_run, items: DataFrame, nobody: DataFrame) -> None:
    rows = [
        bought("last_day", "i1", DS - timedelta(89)),
        bought("too_old", "i1", DS - timedelta(90)),
    ]
    assert set(profiles(make_run(DS), rows, items, nobody)) == {"last_day"}


def test_a_shop_without_sessions_or_prices_gets_profiles_too(
    make_run, items: DataFrame, nobody: DataFrame
) -> None:
    rows = [bought("u1", "i1", DS, session=None, amount=None)]  # type: ignore[arg-type]
    assert profiles(make_run(DS), rows, items, nobody) == {
        "u1": "Buys most often: bread (100%). Favourite products: rye bread. "
        "Brands: private (100%)."
    }


def test_invariant_9_an_attribute_needs_many_users_and_no_id_appears(
    make_run, spark: SparkSession, items: DataFrame
) -> None:
    many = [(f"u{n}", {"age": "35-44"}) for n in range(MIN_USERS_PER_VALUE)]
    alone = [("u0", {"age": "35-44", "note": "call Ann on 555-0100"})]
    users = spark.createDataFrame(
        [*alone, *many[1:]], "user_id string, attributes map<string,string>"
    )
    made = profiles(make_run(DS), [bought("u0", "i1", DS)], items, users)
    assert "Household: age 35-44." in made["u0"]
    assert "Ann" not in made["u0"]
    assert "u0" not in made["u0"]


def test_one_more_loaf_does_not_make_a_new_profile(
    make_run, items: DataFrame, nobody: DataFrame
) -> None:
    rows = [bought("u1", "i1", DS - timedelta(n), f"s{n}") for n in range(20)]
    before = profiles(make_run(DS), rows, items, nobody)
    after = profiles(make_run(DS), [*rows, bought("u1", "i1", DS, "s0")], items, nobody)
    assert before == after
