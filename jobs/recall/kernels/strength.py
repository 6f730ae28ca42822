"""The strength of a (user, item) pair: decayed, saturating, newest items first.

Events decay by their age before the user's own last event, not by the calendar: a user who was
active long ago teaches as much as one of today, and one who comes back still has a history.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.recall.kernels.ranking import exact_sum

_WEIGHT_BITS = 24


def decay(event_date: Column, ds: date, half_life_days: float) -> Column:
    """1 on the day `ds`, one half `half_life_days` earlier, and so on."""
    age_days = F.datediff(F.lit(ds), event_date)
    return F.pow(F.lit(0.5), age_days / F.lit(half_life_days))


def aged(interactions: DataFrame) -> DataFrame:
    """The events that bind a user to an item, with `age_days` int: days before the user's last.

    interactions: user_id string, event_date date, weight double, and any others; rows with a weight
    of 0 or less do not count.
    """
    last = F.max("event_date").over(Window.partitionBy("user_id"))
    return interactions.where(F.col("weight") > 0).withColumn(
        "age_days", F.datediff(last, F.col("event_date"))
    )


def decayed_weight(half_life_days: float) -> Column:
    """The weight of an event of `aged`: half of it for every half-life of its age."""
    return F.col("weight") * F.pow(F.lit(0.5), F.col("age_days") / F.lit(half_life_days))


def pair_strengths(events: DataFrame, half_life_days: float, saturation: float) -> DataFrame:
    """One row for each (user, item) with the pair's strength.

    events: as `aged` returns them, with user_id string, item_id string, event_ts timestamp.
    Returns user_id string, item_id string, strength double in (0, 1), last_ts timestamp.

    With x the sum of weight · 0.5^(age in days / half_life_days), strength is x / (x + saturation),
    the term-frequency part of BM25: a second purchase says less than the first.
    """
    weight = decayed_weight(half_life_days)
    return (
        events.groupBy("user_id", "item_id")
        .agg(
            exact_sum(weight, _WEIGHT_BITS).alias("x"),
            F.max("event_ts").alias("last_ts"),
        )
        .where(F.col("x") > 0)
        .select(
            "user_id",
            "item_id",
            (F.col("x") / (F.col("x") + F.lit(saturation))).alias("strength"),
            "last_ts",
        )
    )


def cap_user_history(strengths: DataFrame, length: int) -> DataFrame:
    """The `length` newest items of each user, ties by item_id ascending.

    strengths: as `pair_strengths` returns them; the same columns come back.
    """
    newest = Window.partitionBy("user_id").orderBy(F.desc("last_ts"), F.asc("item_id"))
    return (
        strengths.withColumn("age_rank", F.row_number().over(newest))
        .where(F.col("age_rank") <= length)
        .drop("age_rank")
    )


def decay_by_position(strengths: DataFrame, factor: float) -> DataFrame:
    """Each strength times factor^p, where p is the number of the user's later times of any item.

    strengths: as `pair_strengths` returns them; the same columns come back. Pairs with one last_ts
    (a basket, or data without times) stand at one position.
    """
    newest = Window.partitionBy("user_id").orderBy(F.desc("last_ts"))
    position = F.dense_rank().over(newest) - 1
    return strengths.withColumn("strength", F.col("strength") * F.pow(F.lit(factor), position))
