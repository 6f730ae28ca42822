"""The facts of a log (`jobs.recall.facts`), measured.

Facts of visits and of order come from a sample of users, by a hash of their ids, so that a larger
log costs no more. All are exact for the rows that count, in whatever order these come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import comb
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.facts import Facts
from jobs.recall.lists.uses import days_of_use

SAMPLED_USERS = 20_000
# A person does less in a day, on average over the days on which they do anything.
BUSY_EVENTS_A_DAY = 500
_UNKNOWN_SAMPLES = 3
# How the id of an unknown item is compared with those of the catalogue, and what that tells.
_OTHER_SPELLINGS: Mapping[str, str] = {
    "zeros at the front": "ltrim('0', {id})",
    "letter case": "lower({id})",
    "spaces or marks": "regexp_replace({id}, '[^0-9A-Za-z]', '')",
}


def facts_of(
    interactions: DataFrame, items: DataFrame, scratch: Scratch
) -> tuple[Facts, Mapping[str, str]]:
    """The facts, and what else is to be said of some of them, by their name.

    interactions: user_id, item_id string, event_ts timestamp, event_date date, session_id string or
    null, weight double; rows with a weight of 0 or less do not count. items: item_id string.
    """
    taken = interactions.where(F.col("weight") > 0)
    pairs = scratch.once(
        days_of_use(taken)
        .groupBy("user_id", "item_id")
        .agg(
            F.count("*").alias("days"),
            F.datediff(F.max("event_date"), F.min("event_date")).alias("between"),
        )
    )
    by_day = scratch.once(taken.groupBy("user_id", "event_date").agg(F.count("*").alias("events")))
    ((events, first, last),) = by_day.agg(
        F.sum("events"), F.min("event_date"), F.max("event_date")
    ).collect()
    catalogue = items.count()
    if not events:
        return Facts(catalogue_items=catalogue), {}
    of_pairs = pairs.agg(
        F.count("*").alias("pairs"),
        F.sum("days").alias("pair_days"),
        F.count_distinct("item_id").alias("items"),
        F.count_distinct("user_id").alias("users"),
    ).collect()[0]
    busy = _busy(by_day)
    widest = (
        pairs.groupBy("item_id")
        .agg(F.count("*").alias("users"))
        .orderBy(F.desc("users"), "item_id")
        .limit(1)
        .collect()[0]
    )
    unknown, says_unknown = _unknown(taken.where(F.col("event_date") == F.lit(last)), items)
    sampled = taken.where(_is_sampled(of_pairs.users))
    facts = Facts(
        events=events,
        users=of_pairs.users,
        items=of_pairs["items"],
        pairs=of_pairs.pairs,
        catalogue_items=catalogue,
        density=of_pairs.pairs / (of_pairs.users * of_pairs["items"]),
        days=(last - first).days + 1,
        user_days=_median(_lengths(by_day)),
        items_per_user=_median(_counted(pairs.groupBy("user_id").agg(F.count("*").alias("value")))),
        repeat_share=1 - of_pairs.pairs / of_pairs.pair_days,
        return_days=_median(_returns(pairs)),
        visit_items=_visit_items(sampled),
        order=order_told(_transitions(sampled)),
        busy_users=busy.users,
        busy_share=(busy.events or 0) / events,
        largest_share=widest.users / of_pairs.users,
        unknown_share=unknown,
    )
    said = {"days": f"{first} to {last}", "largest_share": f"item {widest.item_id}"}
    return facts, said | ({"unknown_share": says_unknown} if says_unknown else {})


def _is_sampled(users: int) -> Column:
    """Whether a row is of one of the sampled users."""
    share = min(1.0, SAMPLED_USERS / users)
    return F.pmod(F.xxhash64("user_id"), F.lit(2**20)) < F.lit(round(share * 2**20))


def _busy(by_day: DataFrame) -> Any:
    of_users = by_day.groupBy("user_id").agg(
        F.sum("events").alias("events"), F.count("*").alias("days")
    )
    return (
        of_users.where(F.col("events") > BUSY_EVENTS_A_DAY * F.col("days"))
        .agg(F.count("*").alias("users"), F.sum("events").alias("events"))
        .collect()[0]
    )


def _counted(values: DataFrame, times: Column | None = None) -> list[tuple[float, int]]:
    """How often each value of the column `value` is there, ascending."""
    count = F.count("*") if times is None else F.sum(times)
    rows = values.groupBy("value").agg(count.alias("times")).orderBy("value").collect()
    return [(row.value, row.times) for row in rows]


def _lengths(by_day: DataFrame) -> list[tuple[float, int]]:
    """The days from the first to the last of each user with more than one, counted."""
    length = F.datediff(F.max("event_date"), F.min("event_date")) + 1
    of_users = by_day.groupBy("user_id").agg(length.alias("value"))
    return _counted(of_users.where(F.col("value") > 1))


def _returns(pairs: DataFrame) -> list[tuple[float, int]]:
    """The mean days between two days of a pair, in whole days, counted once a repeat."""
    repeats = F.col("days") - 1
    again = pairs.where(repeats > 0).select(
        F.rint(F.col("between") / repeats).alias("value"), repeats.alias("repeats")
    )
    return _counted(again, F.col("repeats"))


def _median(counted: Sequence[tuple[float, int]]) -> float:
    """The median of values with their numbers, ascending; the lower one of two; 0 of none."""
    middle = (sum(times for _, times in counted) + 1) // 2
    for value, times in counted:
        middle -= times
        if middle <= 0:
            return float(value)
    return 0.0


def _visit_items(sampled: DataFrame) -> float:
    visit = F.coalesce("session_id", F.col("event_ts").cast("string"))
    visits = sampled.groupBy("user_id", visit.alias("visit"), "item_id").agg(F.lit(1))
    counted = visits.agg(
        F.count("*").alias("items"), F.count_distinct("user_id", "visit").alias("visits")
    ).collect()[0]
    return counted["items"] / counted.visits if counted.visits else 0.0


def _transitions(sampled: DataFrame) -> list[tuple[int, int, int]]:
    """Of pairs of items that follow one another at the next time of a user: how often in both
    orders together, by how much more in one of them, and how many pairs are so. Of several items
    at one time one speaks, drawn by a hash."""
    by_time = Window.partitionBy("user_id").orderBy("event_ts")
    drawn = F.struct(F.xxhash64("item_id", "user_id", "event_ts"), "item_id")
    steps = (
        sampled.groupBy("user_id", "event_ts")
        .agg(F.min_by("item_id", drawn).alias("item_id"))
        .withColumn("before", F.lag("item_id").over(by_time))
        .where(F.col("before") != F.col("item_id"))
    )
    forward = F.when(F.col("before") < F.col("item_id"), 1).otherwise(-1)
    both = steps.groupBy(F.least("before", "item_id"), F.greatest("before", "item_id")).agg(
        F.count("*").alias("times"), F.abs(F.sum(forward)).alias("more")
    )
    counted = both.where("times > 1").groupBy("times", "more").count().collect()
    return [(row.times, row.more, row["count"]) for row in counted]


def order_told(transitions: Sequence[tuple[int, int, int]]) -> float:
    """How much order tells, 0 to 1: the surplus of the more frequent order of two items beyond what
    chance gives, as a share of the largest surplus that there could be.

    transitions: as (times, more, pairs): of so many pairs, seen `times` in both orders together,
    one order is seen `more` times more than the other.
    """
    seen = sum(more * pairs for _, more, pairs in transitions)
    chance = sum(_by_chance(times) * pairs for times, _, pairs in transitions)
    most = sum(times * pairs for times, _, pairs in transitions)
    return max(0.0, (seen - chance) / (most - chance)) if most > chance else 0.0


@lru_cache(maxsize=4096)
def _by_chance(times: int) -> float:
    """The mean of |heads - tails| of so many throws of a fair coin."""
    if times > 1000:
        return float((2 * times / 3.141592653589793) ** 0.5)
    half = (times - 1) // 2
    return times * comb(times - 1, half) / 2 ** (times - 1)


def _unknown(day: DataFrame, items: DataFrame) -> tuple[float, str]:
    """The share of a day's events whose item the catalogue lacks; samples, and a likely cause."""
    known = items.select("item_id").distinct()
    by_item = day.groupBy("item_id").agg(F.count("*").alias("events"))
    marked = by_item.join(known.withColumn("is_known", F.lit(True)), "item_id", "left")
    sums = marked.agg(
        F.sum("events").alias("events"),
        F.sum(F.when(F.col("is_known").isNull(), F.col("events"))).alias("unknown"),
    ).collect()[0]
    if not sums.unknown:
        return 0.0, ""
    lacking = marked.where(F.col("is_known").isNull()).select("item_id", "events")
    samples = lacking.orderBy(F.desc("events"), "item_id").limit(_UNKNOWN_SAMPLES).collect()
    said = f"such as {', '.join(row.item_id for row in samples)}"
    for cause, spelled in _OTHER_SPELLINGS.items():
        ours = lacking.select(F.expr(spelled.format(id="item_id")).alias("spelled"))
        theirs = known.select(F.expr(spelled.format(id="item_id")).alias("spelled"))
        alike = ours.join(theirs.distinct(), "spelled", "left_semi").count()
        if alike:
            said += f"; {alike:,} of them are in the catalogue but for {cause}"
    return sums.unknown / sums.events, said
