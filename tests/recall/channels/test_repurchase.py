"""Repurchase: what comes back, how much it counts, and when it is due."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.channels.repurchase import recall_repurchases
from jobs.recall.sources.channels import RepurchaseSettings
from tests.recall.shop import DS, interactions, items, rows_of


def recalled(
    spark: SparkSession, rows: list[tuple], users: str = "u", **settings: float
) -> list[tuple]:
    channel = RepurchaseSettings.model_validate({"exclude_seen_days": 0} | settings)
    with TemporaryDirectory() as folder:
        found = recall_repurchases(
            interactions(spark, rows),
            items(spark, "abcd", unsellable=["gone"]),
            spark.createDataFrame([(user,) for user in users], "user_id string"),
            DS,
            channel,
            Scratch(Path(folder)),
        )
        return rows_of(found, "user_id", "rank", "item_id", "score", "because_item_id")


def test_days_of_purchase_count_half_after_the_half_life(spark: SparkSession) -> None:
    # a on three days, twice on the first of them: 1 + 1/2 + 1/4; b: 1/2.
    rows = [("u", "a", 0), ("u", "a", 10), ("u", "a", 20), ("u", "a", 20), ("u", "b", 10)]
    assert recalled(spark, rows, half_life_days=10, due_exponent=0) == [
        ("u", 1, "a", pytest.approx(1.75), None),
        ("u", 2, "b", pytest.approx(0.5), None),
    ]


def test_an_item_is_due_after_the_users_own_days_or_else_after_everyones(
    spark: SparkSession,
) -> None:
    rows = [
        # every 10 days, the last 5 days ago: half due
        ("u", "a", 5),
        ("u", "a", 15),
        ("u", "a", 25),
        # others wait 20 days in the mean: (10 + 30) / 2; u took it 5 days ago: a quarter due
        ("u", "b", 5),
        ("v", "b", 0),
        ("v", "b", 10),
        ("w", "b", 0),
        ("w", "b", 30),
        # nobody took it twice, and one overdue
        ("u", "c", 5),
        ("u", "d", 100),
        ("u", "d", 101),
    ]
    found = recalled(spark, rows, half_life_days=1e12, due_exponent=1)
    assert found == [
        ("u", 1, "d", pytest.approx(2.0), None),
        ("u", 2, "a", pytest.approx(1.5), None),
        ("u", 3, "c", pytest.approx(1.0), None),
        ("u", 4, "b", pytest.approx(0.25), None),
    ]


def test_what_was_just_taken_returned_or_cannot_be_sold_is_left_out(spark: SparkSession) -> None:
    rows = [("u", "a", 2), ("u", "b", 3), ("u", "c", 9, -1.0), ("u", "gone", 9), ("v", "b", 9)]
    assert [row[:3] for row in recalled(spark, rows, exclude_seen_days=3)] == [("u", 1, "b")]
    # on the day itself nothing is due
    assert recalled(spark, [("u", "a", 0), ("u", "a", 7)], due_exponent=0.5) == []
