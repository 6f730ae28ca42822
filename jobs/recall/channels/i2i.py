"""Recall channels: each finds items for every active user in one way, with a score of its own.

Every channel returns user_id string, rank int from 1, item_id string, score double and
because_item_id string (the item of the user's history that brought the row, null where no item
did). Order: score descending, then item_id ascending. Only sellable items come out.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.recall.kernels.neighbor_table import (
    RECALL_DDL,
    TERM_SCALE,
    NeighborTable,
    recall_in_tasks,
)
from jobs.recall.kernels.ranking import top_k
from jobs.recall.kernels.strength import cap_user_history, decay_by_position, pair_strengths
from jobs.recall.lists.popular import ALL_USERS
from jobs.recall.settings import ItemHistoryChannelSettings, VectorChannelSettings

_COLUMNS = ("user_id", "rank", "item_id", "score", "because_item_id")


def seen_items(interactions: DataFrame, ds: date, days: int) -> DataFrame:
    """The distinct (user_id, item_id) of the last `days` days, `ds` included; 0 days: none."""
    after = F.date_sub(F.lit(ds), days)
    return interactions.where(F.col("event_date") > after).select("user_id", "item_id").distinct()


def recall_by_history(
    interactions: DataFrame,
    neighbors: DataFrame,
    items: DataFrame,
    users: DataFrame,
    ds: date,
    settings: ItemHistoryChannelSettings,
    scratch: str,
) -> DataFrame:
    """Channel `i2i`: score(u, j) = Σ_i strength(u, i) · d^p(u, i) · score(i → j) over the history.

    interactions: user_id, item_id string, event_ts timestamp, event_date date ≤ ds, weight double.
    neighbors: item_id, neighbor_item_id string, score double (gold.i2i_daily). d is the position
    decay, p the position: 0 for what the user took last, 1 for the time before.
    items: item_id string, is_sellable boolean. users: user_id string, the active users.
    scratch: a folder that this process and the executors share; must live until the result is read.
    because_item_id: the history item with the largest term, ties by item_id ascending.
    """
    first_day = F.date_sub(F.lit(ds), settings.history_days - 1)
    recent = interactions.where(F.col("event_date") >= first_day)
    strengths = pair_strengths(
        recent.join(users.select("user_id"), "user_id", "left_semi"),
        ds,
        settings.half_life_days,
        saturation=1.0,
    )
    history = cap_user_history(
        decay_by_position(strengths, settings.position_decay), settings.history_length
    )
    seen = seen_items(interactions, ds, settings.exclude_seen_days)
    sellable = items.where("is_sellable").select(F.col("item_id").alias("neighbor_item_id"))
    offered = neighbors.select("item_id", "neighbor_item_id", "score").join(
        sellable, "neighbor_item_id", "left_semi"
    )
    if neighbors.count() <= settings.max_neighbor_rows:
        return history_in_tasks(history, offered, seen, settings.items, f"{scratch}/neighbors")
    return history_by_shuffle(history, offered, seen, settings.items)


def history_in_tasks(
    history: DataFrame, neighbors: DataFrame, seen: DataFrame, k: int, folder: str
) -> DataFrame:
    """Plan 1 of `recall_by_history`: the table of neighbors lies where every task can map it.

    history: user_id, item_id string, strength double. neighbors: item_id, neighbor_item_id string,
    score double. seen: distinct user_id, item_id string. folder: where the tasks find the table.
    """
    table = NeighborTable.from_rows(neighbors.toArrow())
    table.save(Path(folder))
    taken = history.groupBy("user_id").agg(
        F.collect_list("item_id").alias("items"), F.collect_list("strength").alias("strengths")
    )
    not_again = seen.groupBy("user_id").agg(F.collect_list("item_id").alias("seen"))
    histories = taken.join(not_again, "user_id", "left")
    return histories.select("user_id", "items", "strengths", "seen").mapInArrow(
        recall_in_tasks(folder, k), RECALL_DDL
    )


def history_by_shuffle(
    history: DataFrame, neighbors: DataFrame, seen: DataFrame, k: int
) -> DataFrame:
    """Plan 2 of `recall_by_history`: a join by item, for a table beyond one machine.

    The columns are those of `history_in_tasks`, and so is the result, to the last bit.
    """
    term = F.rint(F.col("strength") * F.col("score") * F.lit(TERM_SCALE)).cast("long")
    terms = history.join(neighbors, "item_id").select(
        "user_id", "neighbor_item_id", "item_id", term.alias("term")
    )
    largest = F.min(F.struct((-F.col("term")).alias("least"), F.col("item_id")))
    scored = (
        terms.groupBy("user_id", F.col("neighbor_item_id").alias("item_id"))
        .agg(F.sum("term").alias("total"), largest.alias("largest"))
        .where("total > 0")
        .join(seen, ["user_id", "item_id"], "left_anti")
        .select(
            "user_id",
            "item_id",
            (F.col("total") / F.lit(TERM_SCALE)).alias("score"),
            F.col("largest.item_id").alias("because_item_id"),
        )
    )
    return top_k(scored, ["user_id"], k, item="item_id").select(*_COLUMNS)


def recall_by_vector(
    hits: DataFrame,
    interactions: DataFrame,
    items: DataFrame,
    ds: date,
    settings: VectorChannelSettings,
) -> DataFrame:
    """Channel `vector`: items whose text is near to the text of the user.

    hits: user_id, item_id string, score double (cosine); interactions: user_id, item_id string,
    event_date date ≤ ds; items: item_id string, is_sellable boolean.
    """
    scored = hits.where("score > 0").withColumn("because_item_id", F.lit(None).cast("string"))
    seen = seen_items(interactions, ds, settings.exclude_seen_days)
    return best_sellable_unseen(scored, items, seen, settings.items)


def recall_popular(
    popular: DataFrame,
    segments: DataFrame,
    users: DataFrame,
    seen: DataFrame,
    length: int,
) -> DataFrame:
    """Channel `popular`: exactly `length` rows for every user, if so many items are listed.

    popular: segment string, rank int, item_id string (one kind of gold.popular_items_daily).
    segments: user_id, segment string, at most one row a user. users: user_id string, the active
    users. seen: distinct user_id, item_id string; these come after all others, and so only fill a
    list that would be short without them.

    First the items of the user's segment, then those of all users. The score says where a row
    stands, 1 for the first of the list, 1/2 for the second: lists of large and of small segments
    then weigh alike in the fusion.
    """
    return _best_listed(popular, segments, users, seen, length).drop("is_seen")


def recall_listed(
    listed: DataFrame,
    segments: DataFrame,
    users: DataFrame,
    seen: DataFrame,
    length: int,
) -> DataFrame:
    """Channels `trending`, `new` and `seasonal`: as `recall_popular`, but without seen items, so a
    list may be short."""
    best = _best_listed(listed, segments, users, seen, length)
    return best.where("is_seen = 0").drop("is_seen")


def _best_listed(
    listed: DataFrame, segments: DataFrame, users: DataFrame, seen: DataFrame, length: int
) -> DataFrame:
    """The columns of the channels and is_seen int, 1 for seen items, which come last."""
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


def best_sellable_unseen(scored: DataFrame, items: DataFrame, seen: DataFrame, k: int) -> DataFrame:
    """The k best rows of each user whose item can be sold and is not among the seen."""
    allowed = scored.join(items.where("is_sellable").select("item_id"), "item_id", "left_semi")
    fresh = allowed.join(seen, ["user_id", "item_id"], "left_anti")
    return top_k(fresh, ["user_id"], k, item="item_id").select(*_COLUMNS)
