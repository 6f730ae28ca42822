"""How much users take each item, counted once for several lists.

A user takes an item on a day, or does not. A list says by a `Measure` how much a user's days with
an item count. `counted_uses` reads the log once, sums the measures of all lists by (user, item),
then by item, for all users and for each large segment of users. Sums are whole numbers of a fixed
unit, so they do not depend on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.settings.lists import PopularSettings

ALL_USERS = "all"
_UNITS = float(2**24)


@dataclass(frozen=True)
class Measure:
    """What one list counts of a user's days with an item; aggregates over these days.

    part: how much the user counts, as `in_units`. whole: of how much that is a part, where the list
    needs it. is_user: whether the user is one of the item's users. is_active: whether the user
    counts for the size of their segment.
    """

    part: Column
    is_user: Column
    is_active: Column
    whole: Column | None = None


def in_units(value: Column) -> Column:
    """A double as a whole number of 2^-24."""
    return F.rint(value * _UNITS).cast("long")


def counted_uses(
    interactions: DataFrame,
    users: DataFrame,
    measures: Mapping[str, Measure],
    settings: PopularSettings,
    scratch: Scratch,
) -> dict[str, DataFrame]:
    """The counts of each measure by segment and item.

    interactions: user_id, item_id string, event_date date, weight double; rows with a weight of 0
    or less (a return) are no use. users: user_id string, attributes map<string,string>. settings:
    which segments there are, and how many active users a large one has. scratch: must live until
    the results are read.
    Returns by measure: segment string (`all`, or a large segment), item_id string, part double,
    whole double (0 where the measure has none), users_count long, first_date date: the first day on
    which any of these users took the item. Every item that was ever taken has a row in `all`.
    """
    days = days_of_use(interactions)
    columns = [c for name, measure in measures.items() for c in _columns(name, measure)]
    first_date = F.min("event_date").alias("first_date")
    pairs = scratch.once(
        days.groupBy("user_id", "item_id")
        .agg(*columns, first_date)
        .join(F.broadcast(user_segments(users, settings)), "user_id", "left")
    )
    by_segment = scratch.once(pairs.groupBy("segment", "item_id").agg(*_sums(measures)))
    of_all = by_segment.groupBy("item_id").agg(*_sums(measures))
    of_all = of_all.withColumn("segment", F.lit(ALL_USERS))
    large = scratch.once(_large_segments(pairs, measures, settings.segment_min_users))
    return {
        name: of_all.select(*_of_measure(name)).unionByName(
            by_segment.join(large.where(F.col(f"{name}_active")), "segment", "left_semi").select(
                *_of_measure(name)
            )
        )
        for name in measures
    }


def days_of_use(interactions: DataFrame) -> DataFrame:
    """The distinct days on which a user took an item: user_id, item_id string, event_date date.

    interactions: these columns and weight double; rows with a weight of 0 or less are left out. The
    result is spread by user and item, so grouping it by both moves no row.
    """
    taken = interactions.where(F.col("weight") > 0).select("user_id", "item_id", "event_date")
    return taken.repartition("user_id", "item_id").distinct()


def user_segments(users: DataFrame, settings: PopularSettings) -> DataFrame:
    """The segment of each user that has a value of the segment attribute.

    users: user_id string, attributes map<string,string>.
    Returns user_id string, segment string such as `age=45-54`; no row for the others.
    """
    attribute = settings.segment_attribute or ""
    value = F.nullif(F.trim(F.col("attributes").getItem(attribute)), F.lit(""))
    segment = F.concat(F.lit(f"{attribute}="), value)
    return users.select("user_id", segment.alias("segment")).where("segment IS NOT NULL")


def _columns(name: str, measure: Measure) -> list[Column]:
    whole = F.lit(0).cast("long") if measure.whole is None else measure.whole
    return [
        F.coalesce(measure.part, F.lit(0)).alias(f"{name}_part"),
        F.coalesce(whole, F.lit(0)).alias(f"{name}_whole"),
        measure.is_user.cast("long").alias(f"{name}_users"),
        measure.is_active.alias(f"{name}_active"),
    ]


def _sums(names: Iterable[str]) -> list[Column]:
    counted = [f"{name}_{of}" for name in names for of in ("part", "whole", "users")]
    return [*(F.sum(c).alias(c) for c in counted), F.min("first_date").alias("first_date")]


def _of_measure(name: str) -> list[Column]:
    return [
        F.col("segment"),
        F.col("item_id"),
        (F.col(f"{name}_part") / _UNITS).alias("part"),
        (F.col(f"{name}_whole") / _UNITS).alias("whole"),
        F.col(f"{name}_users").alias("users_count"),
        F.col("first_date"),
    ]


def _large_segments(pairs: DataFrame, measures: Iterable[str], min_users: int) -> DataFrame:
    """segment string, and for each measure whether enough of its users are active."""
    active = [f"{name}_active" for name in measures]
    of_users = (
        pairs.where("segment IS NOT NULL")
        .groupBy("user_id", "segment")
        .agg(*(F.max(name).alias(name) for name in active))
    )
    sizes = (((F.count_if(name)) >= min_users).alias(name) for name in active)
    return of_users.groupBy("segment").agg(*sizes)
