"""What may stand in the lists of a channel."""

from __future__ import annotations

from pyspark.sql import SparkSession

from jobs.recall.channels.eligible import seen_items
from tests.recall.shop import DS, interactions, rows_of


def test_seen_is_by_day_and_counts_the_day_itself(spark: SparkSession) -> None:
    rows = [("u", "a", 0), ("u", "a", 0), ("u", "b", 6), ("u", "c", 7)]
    events = interactions(spark, rows)
    assert rows_of(seen_items(events, DS, 7), "user_id", "item_id") == [("u", "a"), ("u", "b")]
    assert rows_of(seen_items(events, DS, 0), "user_id", "item_id") == []
