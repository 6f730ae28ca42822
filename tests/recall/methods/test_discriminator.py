"""Which pairs of a model are plausible, by users who can be counted on one hand."""

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.recall.methods.discriminator import plausible_pairs

ITEMS = [
    ("food", "dog food", "pets"),
    ("treats", "treats", "pets"),
    ("bones", "treats", "pets"),
    ("soap", "soap", "home"),
    ("mop", None, "home"),
    ("rag", " ", "home"),
    ("gift", None, None),
]
# Dog food is taken by u1 and u2, treats by u1, u2 (two of them) and u4, soap by u3 and u4.
TAKEN = [
    ("u1", "food", 1.0),
    ("u1", "treats", 1.0),
    ("u2", "food", 2.0),
    ("u2", "food", 1.0),
    ("u2", "treats", 1.0),
    ("u2", "bones", 1.0),
    ("u3", "soap", 1.0),
    ("u4", "soap", 1.0),
    ("u4", "bones", 1.0),
    ("u3", "food", 0.0),  # looked at, not taken
]


@pytest.fixture
def items(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ITEMS, "item_id string, category string, department string")


@pytest.fixture
def taken(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(TAKEN, "user_id string, item_id string, weight double")


def judged(
    items: DataFrame, taken: DataFrame, *pairs: tuple[str, str], min_lift: float = 1.0
) -> dict[tuple[str, str], float]:
    frame = items.sparkSession.createDataFrame(
        list(pairs), "item_id string, neighbor_item_id string"
    )
    rows = plausible_pairs(frame, items, taken, min_lift).collect()
    assert len(rows) == len({(row["item_id"], row["neighbor_item_id"]) for row in rows})
    return {(row["item_id"], row["neighbor_item_id"]): row["score"] for row in rows}


def test_a_pair_is_kept_when_users_take_both_kinds_as_often_as_by_chance(
    items: DataFrame, taken: DataFrame
) -> None:
    found = judged(items, taken, ("food", "treats"), ("bones", "food"), ("food", "soap"))
    # u1 and u2 took both, of 2 and 3 of 4 users: (2 + 1) / (2 · 3 / 4 + 1) = 1.2, and 1.2 / 2.2
    # nobody took food and soap: (0 + 1) / (2 · 2 / 4 + 1) = 0.5
    assert found == {
        ("food", "treats"): pytest.approx(1.2 / 2.2),
        ("bones", "food"): pytest.approx(1.2 / 2.2),
    }


def test_the_least_lift_is_a_setting(items: DataFrame, taken: DataFrame) -> None:
    assert judged(items, taken, ("food", "treats"), min_lift=1.21) == {}
    assert judged(items, taken, ("food", "soap"), min_lift=0.5) == {
        ("food", "soap"): pytest.approx(0.5 / 1.5)
    }


def test_of_one_kind_two_of_its_items_count(items: DataFrame, taken: DataFrame) -> None:
    # u2 alone took two kinds of treats, of 3 users: (1 + 1) / (3 · 3 / 4 + 1)
    lift = 2 / 3.25
    assert judged(items, taken, ("treats", "bones"), min_lift=0.1) == {
        ("treats", "bones"): pytest.approx(lift / (1 + lift))
    }


def test_an_item_without_a_category_is_of_its_department(
    items: DataFrame, taken: DataFrame
) -> None:
    # nobody took anything of home but soap, which has a category: 1 / (0 + 1)
    assert judged(items, taken, ("mop", "rag"), ("food", "rag")) == {
        ("mop", "rag"): 0.5,
        ("food", "rag"): 0.5,
    }


def test_what_has_neither_cannot_be_judged(items: DataFrame, taken: DataFrame) -> None:
    assert judged(items, taken, ("food", "gift"), ("gift", "food")) == {}
    kept = judged(items, taken, ("food", "gift"), ("food", "soap"), min_lift=0)
    assert kept == {("food", "gift"): 0.5, ("food", "soap"): pytest.approx(0.5 / 1.5)}


def test_without_a_user_every_pair_is_as_likely_as_chance(
    items: DataFrame, taken: DataFrame
) -> None:
    assert judged(items, taken.limit(0), ("food", "soap")) == {("food", "soap"): 0.5}
