"""Channel `newcomer`: what users with the same attributes take more than others.

    score(u, i) = use(i) · Π_a lift(i, value of a of u)

over the attributes a of a user, as a naive Bayes classifier would rank items: use(i) is the decayed
number of users of an item, and lift(i, v) the `jobs.recall.lists.lift` of the item's use by users
with value v over its use by all users with the attribute. Only items with a product of lifts above
1 are listed; the others are merely popular. The channel is for users with few items, about whom the
other channels know little.

Attributes say to which group a user belongs. An attribute with too many values may be a name or a
number, and a value of few users may identify one of them; neither counts.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.channels.eligible import best_sellable_unseen, seen_items
from jobs.recall.kernels.ranking import exact_sum, top_k
from jobs.recall.lists.lift import smoothed_lift
from jobs.recall.lists.popular import count_uses, recent_uses
from jobs.recall.sources.channels import NewcomerSettings

_USE_BITS = 24
_LOG_BITS = 32


def recall_newcomers(
    interactions: DataFrame,
    items: DataFrame,
    users: DataFrame,
    active: DataFrame,
    ds: date,
    settings: NewcomerSettings,
    scratch: Scratch,
) -> DataFrame:
    """The columns and the order of `jobs.recall.channels.eligible`; because_item_id is always null.

    interactions: user_id, item_id string, event_date date ≤ ds, weight double.
    items: item_id string, is_sellable boolean. users: user_id string, attributes
    map<string,string>. active: user_id string; of these, users with an attribute that counts and
    at most `settings.max_items` distinct items get a list. scratch: must live until the result is
    read.
    """
    values = attribute_values(users, settings)
    uses = scratch.once(recent_uses(interactions, ds, settings))
    sellable = items.where("is_sellable").select("item_id")
    used = count_uses(uses).join(sellable, "item_id", "left_semi")
    best = used.orderBy(F.desc("score"), "item_id").limit(settings.candidates)
    candidates = scratch.once(best.select("item_id", "score"))
    lifts = value_lifts(uses, values, candidates, settings.smoothing, scratch)
    groups = (
        values.join(newcomers(interactions, active, settings.max_items), "user_id", "left_semi")
        .groupBy("user_id")
        .agg(F.array_sort(F.collect_list(F.struct("name", "value"))).alias("group"))
    )
    scored = groups.join(_group_lists(groups, lifts, candidates, settings), "group").select(
        "user_id", "item_id", "score", F.lit(None).cast("string").alias("because_item_id")
    )
    seen = seen_items(interactions, ds, settings.exclude_seen_days)
    return best_sellable_unseen(scored, items, seen, settings.items)


def newcomers(interactions: DataFrame, active: DataFrame, max_items: int) -> DataFrame:
    """user_id string of the active users with at most `max_items` distinct items."""
    return (
        interactions.join(active.select("user_id"), "user_id", "left_semi")
        .groupBy("user_id")
        .agg(F.count_distinct("item_id").alias("items"))
        .where(F.col("items") <= max_items)
        .select("user_id")
    )


def attribute_values(users: DataFrame, settings: NewcomerSettings) -> DataFrame:
    """user_id, name, value string: the attributes of each user that count.

    users: user_id string, attributes map<string,string>.
    """
    values = (
        users.select("user_id", F.explode("attributes").alias("name", "value"))
        .withColumn("value", F.trim("value"))
        .where("value != ''")
    )
    if settings.attributes:
        values = values.where(F.col("name").isin(*settings.attributes))
    sizes = values.groupBy("name", "value").agg(F.count("*").alias("users"))
    few = sizes.groupBy("name").agg(F.count("*").alias("values"))
    counting = sizes.where(F.col("users") >= settings.value_min_users).join(
        few.where(F.col("values") <= settings.max_values), "name", "left_semi"
    )
    return values.join(counting, ["name", "value"], "left_semi").select("user_id", "name", "value")


def value_lifts(
    uses: DataFrame, values: DataFrame, candidates: DataFrame, smoothing: float, scratch: Scratch
) -> DataFrame:
    """name, value, item_id string, log_lift double of each candidate for each value.

    uses: user_id, item_id string, use double in 0 to 1. values: user_id, name, value string.
    candidates: item_id string; shares are shares of these items' use. scratch: must live until the
    result is read.
    """
    of_candidates = uses.join(candidates, "item_id", "left_semi").join(values, "user_id")
    used = exact_sum(F.col("use"), _USE_BITS).alias("part")
    parts = scratch.once(of_candidates.groupBy("name", "value", "item_id").agg(used))

    def total(name: str, *group: str) -> DataFrame:
        return parts.groupBy(*group).agg(exact_sum(F.col("part"), _USE_BITS).alias(name))

    of_names = total("of_name", "name")
    of_values = total("of_value", "name", "value").join(of_names, "name")
    lift = smoothed_lift(
        F.coalesce("part", F.lit(0.0)),
        F.coalesce("whole", F.lit(0.0)),
        F.col("of_value") / F.col("of_name"),
        smoothing,
    )
    return (
        of_values.crossJoin(candidates.select("item_id"))
        .join(parts, ["name", "value", "item_id"], "left")
        .join(total("whole", "name", "item_id"), ["name", "item_id"], "left")
        .select("name", "value", "item_id", F.log(lift).alias("log_lift"))
    )


def _group_lists(
    groups: DataFrame, lifts: DataFrame, candidates: DataFrame, settings: NewcomerSettings
) -> DataFrame:
    """group, item_id string, score double: one list for all users who share all attributes.

    It is longer than a user's list by the most items that a newcomer can have seen.
    """
    log_lift = exact_sum(F.col("log_lift"), _LOG_BITS)
    scored = (
        groups.select("group")
        .distinct()
        .select("group", F.inline("group"))
        .join(F.broadcast(lifts), ["name", "value"])
        .groupBy("group", "item_id")
        .agg(log_lift.alias("log_lift"))
        .where("log_lift > 0")
        .join(candidates, "item_id")
        .withColumn("score", F.col("score") * F.exp("log_lift"))
    )
    return top_k(scored, ["group"], settings.items + settings.max_items, item="item_id").select(
        "group", "item_id", "score"
    )


def candidates(
    run: Run, interactions: DataFrame, items: DataFrame, users: DataFrame, profiles: DataFrame
) -> DataFrame:
    """What users with the same attributes take, for users with few items."""
    settings = run.settings.newcomer
    return recall_newcomers(
        interactions, items, users, profiles, run.last_event_day, settings, run.scratch
    )
