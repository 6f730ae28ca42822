"""How much more an item is used than expected, worked by hand."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.recall.lists.lift import lifted_items, smoothed_lift
from tests.recall.shop import items, rows_of

COLUMNS = ("segment", "rank", "item_id", "score", "users_count")
COUNTS = "segment string, item_id string, part double, whole double, users_count long"


def lifted(
    spark: SparkSession, rows: list[tuple], smoothing: float = 1, min_users: int = 1, k: int = 9
) -> list[tuple]:
    counts, catalogue = spark.createDataFrame(rows, COUNTS), items(spark, "abc", ["gone"])
    return rows_of(lifted_items(counts, catalogue, smoothing, min_users, k), *COLUMNS)


@pytest.mark.parametrize(
    ("part", "whole", "share", "smoothing", "lift"),
    [
        # 2 of 2 uses where half are expected: (4 + 1) / (2 + 1); a small smoothing changes less.
        (2.0, 2.0, 0.5, 1.0, 5 / 3),
        (2.0, 2.0, 0.5, 0.25, 4.25 / 2.25),
        (1.0, 2.0, 0.5, 7.0, 1.0),
        (0.0, 0.0, 0.5, 3.0, 1.0),
        (0.0, 2.0, 0.5, 1.0, 1 / 3),
        (0.0, 2.0, 0.0, 1.0, None),
    ],
)
def test_a_lift_is_use_over_expected_use_with_some_usual_use_beside_both(
    spark: SparkSession,
    part: float,
    whole: float,
    share: float,
    smoothing: float,
    lift: float | None,
) -> None:
    values = [F.lit(value) for value in (part, whole, share)]
    ((found,),) = spark.range(1).select(smoothed_lift(*values, smoothing)).collect()
    assert found == (None if lift is None else pytest.approx(lift))


def test_only_what_is_used_more_than_expected_is_listed(spark: SparkSession) -> None:
    # Of a's 2 and b's 2 uses, 2 and 1 are of the part: a share of 3/4. a: (2 / (3/4) + 1) / 3,
    # b: (1 / (3/4) + 1) / 3, below 1.
    rows = [("g", "a", 2.0, 2.0, 2), ("g", "b", 1.0, 2.0, 1)]
    # All that the other segment uses is of the part, so nothing is above its share.
    rows += [("h", "c", 1.0, 1.0, 1), ("h", "a", 0.5, 0.5, 1)]
    expected = [("g", 1, "a", round((8 / 3 + 1) / 3, 6), 2)]
    assert lifted(spark, rows) == expected
    assert lifted(spark, rows[::-1]) == expected


def test_an_item_of_few_users_is_left_out_but_counts_for_the_share(spark: SparkSession) -> None:
    # Of 6 uses 4 are of the part. a: (2 / (4/6) + 1) / 3; b: the same, of one user.
    rows = [("g", "a", 2.0, 2.0, 2), ("g", "b", 2.0, 2.0, 1), ("g", "c", 0.0, 2.0, 0)]
    lift = round((3 + 1) / 3, 6)
    assert lifted(spark, rows) == [("g", 1, "a", lift, 2), ("g", 2, "b", lift, 1)]
    assert lifted(spark, rows, min_users=2) == [("g", 1, "a", lift, 2)]


def test_a_list_is_cut_at_the_smaller_id_and_what_cannot_be_sold_is_in_none(
    spark: SparkSession,
) -> None:
    # a, b and gone have the same lift: of 8 uses 6 are of the part. (2 / (6/8) + 1) / 3
    rows = [("g", item, 2.0, 2.0, 2) for item in ("b", "a", "gone")]
    rows += [("g", "c", 0.0, 2.0, 0)]
    lift = round((8 / 3 + 1) / 3, 6)
    assert lifted(spark, rows) == [("g", 1, "a", lift, 2), ("g", 2, "b", lift, 2)]
    assert lifted(spark, rows, k=1) == [("g", 1, "a", lift, 2)]


def test_without_uses_nothing_is_listed(spark: SparkSession) -> None:
    assert lifted(spark, []) == []
    assert lifted(spark, [("g", "a", 0.0, 0.0, 0)]) == []
