"""Channel `popular`: full lists, whatever a user has seen."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.recall.channels.popular import recall_popular
from tests.recall.channels.popular_lists import POPULAR, users
from tests.recall.shop import rows_of

COLUMNS = ("user_id", "rank", "item_id", "score", "because_item_id")


def popular(spark: SparkSession, seen: list[tuple[str, str]], length: int) -> list[tuple]:
    schema = "user_id string, item_id string"
    found = recall_popular(
        spark.createDataFrame(POPULAR, "segment string, rank int, item_id string"),
        spark.createDataFrame([("y", "age=young")], "user_id string, segment string"),
        users(spark, "u", "y"),
        spark.createDataFrame(seen or [("nobody", "a")], schema),
        length,
    )
    return rows_of(found, *COLUMNS)


def test_every_user_gets_a_full_popular_list(spark: SparkSession) -> None:
    assert popular(spark, [], 3) == [
        ("u", 1, "a", 1.0, None),
        ("u", 2, "b", 0.5, None),
        ("u", 3, "c", pytest.approx(1 / 3), None),
        ("y", 1, "c", 1.0, None),
        ("y", 2, "b", 0.5, None),
        ("y", 3, "a", pytest.approx(1 / 3), None),
    ]


@pytest.mark.parametrize(
    ("seen", "listed"),
    [
        ("a", ["b", "c", "d"]),
        ("ac", ["b", "d", "a"]),
        ("abcd", ["a", "b", "c"]),
        ("zzd", ["a", "b", "c"]),
    ],
)
def test_seen_items_only_fill_what_would_be_short(
    spark: SparkSession, seen: str, listed: list[str]
) -> None:
    rows = popular(spark, [("u", item) for item in sorted(set(seen))], 3)
    assert [row[2] for row in rows if row[0] == "u"] == listed
