"""Lists of popular items: each segment's own, and what a user of it reads."""

from __future__ import annotations

from pyspark.sql import SparkSession

from jobs.recall.channels.listed import popular_lists, recall_listed
from tests.recall.channels.popular_lists import POPULAR, users
from tests.recall.shop import rows_of

COLUMNS = ("user_id", "rank", "item_id", "score", "because_item_id")


def test_a_segments_list_is_continued_by_everyones(spark: SparkSession) -> None:
    lists = popular_lists(
        spark.createDataFrame(POPULAR, "segment string, rank int, item_id string")
    )
    assert rows_of(lists, "segment", "position", "item_id") == [
        ("age=young", 1, "c"),
        ("age=young", 2, "b"),
        ("age=young", 3, "a"),
        ("age=young", 4, "d"),
        ("all", 1, "a"),
        ("all", 2, "b"),
        ("all", 3, "c"),
        ("all", 4, "d"),
    ]


def test_a_list_beside_the_popular_one_leaves_out_what_was_seen(spark: SparkSession) -> None:
    # Three rows of the list of y: c, b and a; u, who has no segment, reads a, b, c and d.
    found = recall_listed(
        spark.createDataFrame(POPULAR, "segment string, rank int, item_id string"),
        spark.createDataFrame([("y", "age=young")], "user_id string, segment string"),
        users(spark, "u", "y"),
        spark.createDataFrame(
            [("u", "b"), *(("y", item) for item in "abc")], "user_id string, item_id string"
        ),
        2,
    )
    assert rows_of(found, *COLUMNS) == [
        ("u", 1, "a", 1.0, None),
        ("u", 2, "c", 0.5, None),
        ("y", 1, "d", 1.0, None),
    ]


def test_who_has_no_list_gets_no_rows(spark: SparkSession) -> None:
    # Nothing is listed for all users, so only the young have a list.
    found = recall_listed(
        spark.createDataFrame([("age=young", 1, "c")], "segment string, rank int, item_id string"),
        spark.createDataFrame([("y", "age=young")], "user_id string, segment string"),
        users(spark, "u", "y"),
        spark.createDataFrame([("nobody", "a")], "user_id string, item_id string"),
        2,
    )
    assert rows_of(found, *COLUMNS) == [("y", 1, "c", 1.0, None)]
