"""Item similarity in order: i leads to j when users take j soon after i.

    score(i → j) = Σ_u s_uij · |u|^-a · |i|^-b · |j|^-c · (n - 1) / (n - 1 + shrinkage)

The times at which a user took anything are positions, as in `decay_by_position`: events of one time
stand at one position, and make no transition between each other. x_uij is a sum over all events of
j that stand g = 1 to `window` positions after an event of i. A term is weight · 0.5^(age /
half-life) · position_decay^(g - 1), with weight and age of the later event; s_uij = x / (x +
saturation). |u| is the number of items in u's history, |i| and |j| the users of the items, n the
users behind the transition. So this is co-occurrence with one direction and a short memory: the
first-order Markov chain of next-item recommendation with a window (Shani, Heckerman and Brafman,
JMLR 2005).

Rows are bounded by events × window × basket_length, so one Spark plan serves data of any size. Sums
are in fixed point and do not depend on the order of the rows.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.kernels.ranking import exact_sum, top_k
from jobs.recall.kernels.strength import aged, decayed_weight
from jobs.recall.sources.methods import TransitionSettings

_WEIGHT_BITS = 24
_STRENGTH_BITS = 32


def transition_neighbors(
    interactions: DataFrame,
    items: DataFrame,
    settings: TransitionSettings,
    scratch: Scratch,
) -> DataFrame:
    """The sellable items that users took soon after each item.

    interactions: user_id, item_id string, event_ts timestamp, event_date date, weight double;
    rows with a weight of 0 or less are no event. items: item_id string, is_sellable boolean; an
    item that is not sellable may have neighbors but is never one. scratch: must live until the
    result is read. Returns item_id string, rank int from 1, neighbor_item_id string, score double >
    0, support long: the distinct users behind the transition. At most `settings.neighbors` rows an
    item. Order: score descending, then neighbor_item_id ascending. Without order, where each user
    took all at one time, there are no rows.
    """
    events = scratch.once(positions(interactions, settings))
    taken = events.select("user_id", "item_id").distinct()
    user_items = taken.groupBy("user_id").agg(F.count("*").alias("user_items"))
    item_users = taken.groupBy("item_id").agg(F.count("*").alias("item_users"))
    known = events.join(
        item_users.where(F.col("item_users") >= settings.min_support), "item_id", "left_semi"
    )
    sellable = items.where("is_sellable").select("item_id")
    later = known.join(sellable, "item_id", "left_semi").select(
        "user_id", "position", F.col("item_id").alias("neighbor_item_id"), "weight"
    )
    gaps = F.explode(F.sequence(F.lit(1), F.lit(settings.window)))
    earlier = known.select("user_id", "item_id", "position", gaps.alias("gap")).withColumn(
        "position", F.col("position") - F.col("gap")
    )
    nearness = F.pow(F.lit(settings.position_decay), F.col("gap") - 1)
    strength = F.col("x") / (F.col("x") + F.lit(settings.saturation))
    of_user = strength * F.pow("user_items", F.lit(-settings.user_exponent))
    transitions = (
        earlier.join(later, ["user_id", "position"])
        .where("item_id != neighbor_item_id")
        .groupBy("user_id", "item_id", "neighbor_item_id")
        .agg(exact_sum(F.col("weight") * nearness, _WEIGHT_BITS).alias("x"))
        .where("x > 0")
        .join(user_items, "user_id")
        .groupBy("item_id", "neighbor_item_id")
        .agg(
            exact_sum(of_user, _STRENGTH_BITS).alias("total"),
            F.count("*").alias("support"),
        )
        .where((F.col("support") >= settings.min_support) & (F.col("total") > 0))
    )
    neighbor_users = item_users.select(
        F.col("item_id").alias("neighbor_item_id"), F.col("item_users").alias("neighbor_users")
    )
    others = F.col("support") - 1
    kept = others / (others + F.lit(settings.shrinkage)) if settings.shrinkage else F.lit(1.0)
    scored = (
        transitions.join(item_users, "item_id")
        .join(neighbor_users, "neighbor_item_id")
        .withColumn(
            "score",
            F.col("total")
            * F.pow("item_users", F.lit(-settings.item_exponent))
            * F.pow("neighbor_users", F.lit(-settings.neighbor_exponent))
            * kept,
        )
        .where("score > 0")
    )
    best = top_k(scored, ["item_id"], settings.neighbors, item="neighbor_item_id")
    return best.select("item_id", "rank", "neighbor_item_id", "score", "support")


def positions(interactions: DataFrame, settings: TransitionSettings) -> DataFrame:
    """What each user took and when: `position` is the number of the user's later times.

    interactions: as `transition_neighbors` takes them.
    Returns user_id, item_id string, position int: 0 at the newest time of the user, weight double:
    decayed. Of each time the `basket_length` items with the largest weight, of each user the
    `history_length` newest rows; ties by item_id ascending.
    """
    weight = decayed_weight(settings.half_life_days)
    of_time = Window.partitionBy("user_id", "event_ts")
    of_user = Window.partitionBy("user_id")
    newest = of_user.orderBy(F.desc("event_ts"))
    return (
        aged(interactions)
        .groupBy("user_id", "item_id", "event_ts")
        .agg(exact_sum(weight, _WEIGHT_BITS).alias("weight"))
        .withColumn("place", F.row_number().over(of_time.orderBy(F.desc("weight"), "item_id")))
        .where(F.col("place") <= settings.basket_length)
        .withColumn("age_rank", F.row_number().over(of_user.orderBy(F.desc("event_ts"), "item_id")))
        .where(F.col("age_rank") <= settings.history_length)
        .select("user_id", "item_id", (F.dense_rank().over(newest) - 1).alias("position"), "weight")
    )


def candidates(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """What at least `min_support` users took soon after each item."""
    return transition_neighbors(interactions, items, run.settings.transition, run.scratch)
