"""The one order of all lists, and sums that no order of the rows changes."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.recall.kernels.ranking import exact_sum, top_k
from tests.recall.shop import rows_of


def total(spark: SparkSession, values: list[float | None], bits: int) -> float | None:
    rows = spark.createDataFrame([(value,) for value in values], "value double")
    ((found,),) = rows.repartition(3).select(exact_sum(F.col("value"), bits)).collect()
    return found


@pytest.mark.parametrize("k", [1, 2, 9])
def test_each_group_is_cut_at_k_and_ties_go_to_the_smaller_id(spark: SparkSession, k: int) -> None:
    rows = [("u", "b", 0.5), ("u", "c", 0.9), ("u", "a", 0.5), ("v", "Z", -1.0), ("v", "a", -1.0)]
    frame = spark.createDataFrame(rows, "user string, item string, score double")
    in_order = {"u": ["c", "a", "b"], "v": ["Z", "a"]}
    assert rows_of(top_k(frame, ["user"], k, item="item"), "user", "rank", "item") == [
        (user, rank, item)
        for user, items in in_order.items()
        for rank, item in enumerate(items[:k], 1)
    ]


def test_a_group_may_have_several_columns_and_the_score_any_name(spark: SparkSession) -> None:
    rows = [("g", 1, "a", 0.1, "x"), ("g", 1, "b", 0.2, "y"), ("g", 2, "a", 0.3, "z")]
    schema = "segment string, size int, item string, lift double, note string"
    best = top_k(
        spark.createDataFrame(rows, schema), ["segment", "size"], 1, item="item", score="lift"
    )
    assert rows_of(best, "segment", "size", "item", "lift", "note", "rank") == [
        ("g", 1, "b", 0.2, "y", 1),
        ("g", 2, "a", 0.3, "z", 1),
    ]


def test_each_value_is_rounded_to_its_bits_before_it_is_added(spark: SparkSession) -> None:
    # In quarters: 0.1 is 0, 0.2 and 0.3 are 1, 0.6 is 2; a half goes to the even one, so 0.125
    # is 0 and 0.375 is 2.
    assert total(spark, [0.1, 0.2, 0.3, 0.6], bits=2) == 1.0
    assert total(spark, [0.125, 0.375], bits=2) == 0.5


def test_a_small_value_between_large_ones_is_not_lost(spark: SparkSession) -> None:
    # 2^40 + 2^-20 has 61 bits, eight more than a double.
    assert total(spark, [2.0**40, 2.0**-20, -(2.0**40)], bits=20) == 2.0**-20
    assert total(spark, [2.0**40, -(2.0**40), 2.0**-20], bits=20) == 2.0**-20


def test_the_sum_of_nothing_is_null(spark: SparkSession) -> None:
    assert total(spark, [None, 0.5], bits=4) == 0.5
    assert total(spark, [None], bits=4) is None
