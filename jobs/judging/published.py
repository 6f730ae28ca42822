"""The accuracy of published lists, by what users took next.

Lists of day A are measured on the days after A, up to A + horizon, for a sample of the users who
took something in these days. `users` is the number of users behind a row. Slices:

    all         every user, every item
    new_users   users whose first interaction was in the NEW_DAYS days up to A
    head        test items among the HEAD_SHARE with the most users up to A
    cold        test items with at most COLD_USERS users up to A
    long_tail   the other test items

I2I lists have no users. So each user of the sample gets the neighbors of the items that the user
took last, by their best rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.judging.metrics import Lists, Pairs, accuracy, bootstrap_interval, codes_of
from jobs.judging.settings import MetricsSettings
from jobs.recall.kernels.mapped import in_id_order

NEW_DAYS = 30
HEAD_SHARE = 0.1
COLD_USERS = 2
SLICES = ("all", "new_users", "head", "long_tail", "cold")
METRICS = ("recall", "ndcg", "hit_rate", "mrr")
# Stands in the place of a channel or method for the fused list.
FUSED = "fused"
_DRAWS = 200
SCHEMA = pa.schema(
    [
        pa.field("as_of", pa.date32()),
        pa.field("horizon_days", pa.int32()),
        pa.field("table", pa.string()),
        pa.field("channel", pa.string()),
        pa.field("slice", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("users", pa.int64()),
    ]
)
_KEY = ("table", "channel")
_HIT = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("rank", pa.int32()),
    ]
)


def measure(
    user_lists: Mapping[str, DataFrame],
    item_lists: Mapping[str, DataFrame],
    interactions: DataFrame,
    as_of: date,
    horizon_days: int,
    settings: MetricsSettings,
) -> pa.Table:
    """The accuracy of one day's lists, in the columns of SCHEMA; no row without lists or later
    interactions.

    user_lists: by table, user_id, item_id string, rank int and channel string. item_lists: by
    table, item_id, neighbor_item_id string, rank int and channel string. Both of day `as_of` alone.
    interactions: user_id, item_id string, event_date date, weight double, up to the end of the
    horizon; those up to `as_of` place users and items in slices.
    value, low, high: the mean over users and its 95% percentile bootstrap interval.
    """
    lists = together(user_lists, "table")
    if lists.isEmpty():
        return SCHEMA.empty_table()
    taken = interactions.where("weight > 0").select("user_id", "item_id", "event_date")
    before = taken.where(F.col("event_date") <= F.lit(as_of))
    end = as_of + timedelta(days=horizon_days)
    after = taken.where(F.col("event_date").between(F.lit(as_of + timedelta(days=1)), F.lit(end)))
    listed = lists.select("user_id").distinct()
    took = after.select("user_id").distinct().join(listed, "user_id", "left_semi")
    asked = in_sample_order(took).limit(settings.users)
    wanted = after.join(asked, "user_id", "left_semi").select("user_id", "item_id").distinct()
    test = _sliced(wanted, before, as_of).toArrow()
    if not test.num_rows:
        return SCHEMA.empty_table()
    # The users of the sample and what they took are few, so the lists stay where they are.
    wanted = interactions.sparkSession.createDataFrame(test.select(["user_id", "item_id"]))
    users = F.broadcast(wanted.select("user_id").distinct())
    last = last_items(before.join(users, "user_id", "left_semi"))
    rows = lists.unionByName(by_last_items(together(item_lists, "table"), last, settings.k, _KEY))
    hits = _hits(rows.where(F.col("rank") <= settings.k), wanted).toArrow()
    by_source = {
        (row["table"], row["channel"]): pa.Table.from_pylist(row["hits"], _HIT)
        for row in hits.to_pylist()
    }
    made = [
        [as_of, horizon_days, *source, *row]
        for source, found in sorted(by_source.items(), key=lambda entry: entry[0])
        for row in _rows(found, test, settings.k)
    ]
    columns = list(zip(*made, strict=True))
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def in_sample_order(users: DataFrame) -> DataFrame:
    """Users in an arbitrary order that is the same each time. users: user_id."""
    return users.orderBy(F.xxhash64("user_id"), "user_id")


def together(frames: Mapping[str, DataFrame], column: str) -> DataFrame:
    """All rows of all frames, each with the name of its frame in `column`."""
    named = [frame.withColumn(column, F.lit(name)) for name, frame in frames.items()]
    return reduce(lambda rows, more: rows.unionByName(more), named)


def last_items(taken: DataFrame) -> DataFrame:
    """user_id, item_id: the items that each user took on their last day.

    taken: user_id, item_id string, event_date date.
    """
    newest_first = Window.partitionBy("user_id").orderBy(F.desc("event_date"))
    on_last_day = taken.withColumn("day", F.rank().over(newest_first)).where("day = 1")
    return on_last_day.select("user_id", "item_id").distinct()


def by_last_items(lists: DataFrame, last: DataFrame, k: int, key: Sequence[str]) -> DataFrame:
    """The neighbors of the items that each user took last, by their best rank.

    lists: `key`, item_id, neighbor_item_id string, rank int. last: user_id, item_id string; of few
    users, since each task gets all of it. k: how many ranks of a list count.
    Returns `key`, user_id, item_id string, rank int.
    """
    best = (
        lists.where(F.col("rank") <= k)
        .join(F.broadcast(last), "item_id")
        .groupBy(*key, "user_id", "neighbor_item_id")
        .agg(F.min("rank").alias("best"))
    )
    order = Window.partitionBy(*key, "user_id").orderBy("best", "neighbor_item_id")
    return best.select(
        *key,
        "user_id",
        F.col("neighbor_item_id").alias("item_id"),
        F.row_number().over(order).alias("rank"),
    )


def _sliced(wanted: DataFrame, before: DataFrame, as_of: date) -> DataFrame:
    """user_id, item_id string, is_new boolean (the user), item_slice string."""
    counts = before.groupBy("item_id").agg(F.count_distinct("user_id").alias("item_users"))
    place = F.percent_rank().over(
        Window.partitionBy(F.lit(0)).orderBy(F.desc("item_users"), "item_id")
    )
    of_items = counts.withColumn("place", place)
    first = before.groupBy("user_id").agg(F.min("event_date").alias("first_date"))
    item_slice = (
        F.when(F.coalesce("item_users", F.lit(0)) <= COLD_USERS, "cold")
        .when(F.col("place") < HEAD_SHARE, "head")
        .otherwise("long_tail")
    )
    is_new = F.col("first_date") > F.lit(as_of - timedelta(days=NEW_DAYS))
    return (
        wanted.join(of_items, "item_id", "left")
        .join(first, "user_id", "left")
        .select(
            "user_id",
            "item_id",
            F.coalesce(is_new, F.lit(True)).alias("is_new"),
            item_slice.alias("item_slice"),
        )
    )


def _hits(shown: DataFrame, wanted: DataFrame) -> DataFrame:
    """table, channel of every list, and hits array<struct<user_id, item_id, rank>>: its rows that
    are wanted.

    shown: `_KEY`, user_id, item_id string, rank int. wanted: distinct user_id, item_id string; few.
    """
    marked = F.broadcast(wanted.withColumn("is_hit", F.lit(True)))
    hit = F.when(F.col("is_hit"), F.struct("user_id", "item_id", "rank"))
    return (
        shown.join(marked, ["user_id", "item_id"], "left")
        .groupBy(*_KEY)
        .agg(F.collect_list(hit).alias("hits"))
    )


def _rows(
    hits: pa.Table, test: pa.Table, k: int
) -> Iterator[tuple[str, str, float, float, float, int]]:
    """slice, metric, value, low, high, users of one source."""
    # In the order of their ids, so that the same users are drawn whatever order they came in.
    users, items = in_id_order(test["user_id"]), in_id_order(test["item_id"])
    lists = Lists(
        user=codes_of(hits["user_id"], users),
        item=codes_of(hits["item_id"], items),
        rank=hits["rank"].to_numpy().astype(np.int64),
    )
    for name in SLICES:
        part = test.filter(_in_slice(test, name))
        if not part.num_rows:
            continue
        wanted = Pairs(codes_of(part["user_id"], users), codes_of(part["item_id"], items))
        each = accuracy(lists, wanted, k)
        values = np.stack([getattr(each, metric) for metric in METRICS])
        low, high = bootstrap_interval(values, draws=_DRAWS)
        means = values.mean(axis=1)
        for place, metric in enumerate(METRICS):
            value = float(means[place])
            bounds = min(value, float(low[place])), max(value, float(high[place]))
            yield (name, metric, value, *bounds, len(each.user))


def _in_slice(test: pa.Table, name: str) -> pa.ChunkedArray | pa.Array:
    if name == "all":
        return pa.array(np.ones(test.num_rows, np.bool_))
    return test["is_new"] if name == "new_users" else pc.equal(test["item_slice"], name)
