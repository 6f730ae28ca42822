"""Channel `repurchase`: what a user takes again and again, when it is due.

    score(u, i) = Σ_d 0.5^(age of d / half-life) · min(1, t / T)^x

d runs over the days on which u took i. t is the number of days since the last of them, and T the
usual number of days between two: the user's own mean or, for an item taken once, the mean over all
users who took the item again. Without either mean an item is due at once.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.channels.eligible import best_sellable_unseen, seen_items
from jobs.recall.kernels.ranking import exact_sum
from jobs.recall.kernels.strength import decay
from jobs.recall.lists.uses import days_of_use
from jobs.recall.sources.channels import RepurchaseSettings

_SCORE_BITS = 32


def recall_repurchases(
    interactions: DataFrame,
    items: DataFrame,
    users: DataFrame,
    ds: date,
    settings: RepurchaseSettings,
    scratch: Scratch,
) -> DataFrame:
    """The columns and the order of `jobs.recall.channels.eligible`; because_item_id is always null.

    interactions: user_id, item_id string, event_date date ≤ ds, weight double; rows with a weight
    of 0 or less (a return) are no purchase. items: item_id string, is_sellable boolean.
    users: user_id string, the active users; the days between purchases are learned from all users.
    scratch: must live until the result is read.
    """
    pairs = scratch.once(
        days_of_use(interactions)
        .groupBy("user_id", "item_id")
        .agg(
            exact_sum(decay(F.col("event_date"), ds, settings.half_life_days), _SCORE_BITS).alias(
                "x"
            ),
            F.max("event_date").alias("last_date"),
            F.datediff(F.max("event_date"), F.min("event_date")).alias("between"),
            (F.count("*") - 1).alias("repeats"),
        )
    )
    of_items = (
        pairs.where("repeats > 0")
        .groupBy("item_id")
        .agg((F.sum("between") / F.sum("repeats")).alias("usual_days"))
    )
    own_days = F.when(F.col("repeats") > 0, F.col("between") / F.col("repeats"))
    since = F.datediff(F.lit(ds), F.col("last_date"))
    due = F.least(F.lit(1.0), since / F.coalesce(own_days, F.col("usual_days")))
    scored = (
        pairs.join(users.select("user_id"), "user_id", "left_semi")
        .join(of_items, "item_id", "left")
        .select(
            "user_id",
            "item_id",
            (F.col("x") * F.pow(F.coalesce(due, F.lit(1.0)), F.lit(settings.due_exponent))).alias(
                "score"
            ),
            F.lit(None).cast("string").alias("because_item_id"),
        )
        .where("score > 0")
    )
    seen = seen_items(interactions, ds, settings.exclude_seen_days)
    return best_sellable_unseen(scored, items, seen, settings.items)


def candidates(
    run: Run, interactions: DataFrame, items: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items that the user took before, and that are due again."""
    settings = run.settings.repurchase
    return recall_repurchases(
        interactions, items, profiles, run.last_event_day, settings, run.scratch
    )
