"""The lists of gold.popular_items_daily for each active user, shared by the channels `popular`,
`trending`, `new` and `seasonal` (columns: `jobs.recall.channels.eligible`)."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.recall.channels.eligible import seen_items
from jobs.recall.lists.popular import of_kind, segments_listed
from jobs.recall.lists.uses import ALL_USERS
from jobs.recall.settings.lists import ListedSettings


def recall_listed(
    listed: DataFrame,
    segments: DataFrame,
    users: DataFrame,
    seen: DataFrame,
    length: int,
) -> DataFrame:
    """As `jobs.recall.channels.popular.recall_popular`, but without seen items, so a list may be
    short."""
    best = best_listed(listed, segments, users, seen, length)
    return best.where("is_seen = 0").drop("is_seen")


def best_listed(
    listed: DataFrame, segments: DataFrame, users: DataFrame, seen: DataFrame, length: int
) -> DataFrame:
    """The first `length` items for each user, as `jobs.recall.channels.popular` says.

    Returns the columns of the channels and is_seen int, 1 for seen items, which come last."""
    lists = popular_lists(listed)
    readers = (
        users.select("user_id")
        .join(segments, "user_id", "left")
        .na.fill({"segment": ALL_USERS})
        .select("user_id", "segment")
    )
    seen_places = readers.join(seen, "user_id").join(lists, ["segment", "item_id"])
    seen_counts = seen_places.groupBy("user_id").agg(F.count("*").alias("seen_count"))
    within_reach = F.col("position") <= F.lit(length) + F.coalesce("seen_count", F.lit(0))
    order = Window.partitionBy("user_id").orderBy("is_seen", "position")
    return (
        readers.join(seen_counts, "user_id", "left")
        .join(F.broadcast(lists), "segment")
        .where(within_reach)
        .join(
            seen_places.select("user_id", "item_id", F.lit(1).alias("is_seen")),
            ["user_id", "item_id"],
            "left",
        )
        .na.fill({"is_seen": 0})
        .withColumn("rank", F.row_number().over(order))
        .where(F.col("rank") <= length)
        .select(
            "user_id",
            "rank",
            "item_id",
            (F.lit(1.0) / F.col("rank")).alias("score"),
            F.lit(None).cast("string").alias("because_item_id"),
            "is_seen",
        )
    )


def popular_lists(popular: DataFrame) -> DataFrame:
    """Each segment's own popular items, continued by those of all users.

    popular: segment string, rank int, item_id string.
    Returns segment string, position int from 1, item_id string; an item once in each segment.
    """
    everyone = popular.where(F.col("segment") == ALL_USERS).select("rank", "item_id")
    own = popular.where(F.col("segment") != ALL_USERS)
    continued = (
        popular.select("segment")
        .distinct()
        .crossJoin(everyone.withColumn("tier", F.lit(1)))
        .unionByName(own.select("segment", "rank", "item_id").withColumn("tier", F.lit(0)))
    )
    order = Window.partitionBy("segment").orderBy("place")
    return (
        continued.groupBy("segment", "item_id")
        .agg(F.min(F.struct("tier", "rank")).alias("place"))
        .select("segment", F.row_number().over(order).alias("position"), "item_id")
    )


def candidates_of_kind(
    run: Run,
    kind: str,
    settings: ListedSettings,
    interactions: DataFrame,
    listed: DataFrame,
    users: DataFrame,
    profiles: DataFrame,
) -> DataFrame:
    """The list of one kind for each active user, without items that the user took lately."""
    own = of_kind(listed, kind)
    segments = segments_listed(users, own, run.settings.popular)
    seen = seen_items(interactions, run.last_event_day, settings.exclude_seen_days)
    return recall_listed(own, segments, profiles, seen, settings.items)
