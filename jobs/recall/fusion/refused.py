"""What a user disliked or hid leaves their list, and its neighbors lose some of their score.

    score'(u, j) = score(u, j) · (1 - max_x penalty(x) · score(x → j) / max_k score(x → k))

x runs over the items that u refused. A refusal counts for a set number of days. The largest loss
counts and not the sum, so that many refusals of one kind of item take no more than one does.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.recall.fusion.fill import FILL_METHOD
from jobs.recall.fusion.settings import UserRecallSettings
from jobs.recall.kernels.taken import DISLIKE, HIDE


def still_refused(unwanted: DataFrame, ds: date, settings: UserRecallSettings) -> DataFrame:
    """user_id, item_id string, penalty double of the refusals that count on day `ds`.

    unwanted: user_id, item_id, event_type string, event_date date, as the view `unwanted` of
    silver.interactions has them.
    """
    is_dislike = F.col("event_type") == DISLIKE
    days = F.when(is_dislike, settings.dislike_days).otherwise(settings.hide_days)
    penalty = F.when(is_dislike, settings.dislike_penalty).otherwise(settings.hide_penalty)
    return unwanted.where(
        F.col("event_type").isin(DISLIKE, HIDE)
        & (F.datediff(F.lit(ds), F.col("event_date")) < days)
    ).select("user_id", "item_id", penalty.cast("double").alias("penalty"))


def without_refused(scored: DataFrame, refused: DataFrame, neighbors: DataFrame) -> DataFrame:
    """The candidates without refused items, the neighbors of these with less score.

    scored: user_id, item_id string, score double and other columns; the same come back. refused:
    as `still_refused` returns them. neighbors: item_id, neighbor_item_id string, score double,
    methods array<string>; popular items that only fill a list are no neighbors.
    """
    of_item = Window.partitionBy("item_id")
    near = (
        neighbors.where(F.array_size(F.array_remove("methods", FILL_METHOD)) > 0)
        .join(refused.select("item_id").distinct(), "item_id", "left_semi")
        .select(
            "item_id",
            "neighbor_item_id",
            (F.col("score") / F.max("score").over(of_item)).alias("nearness"),
        )
    )
    losses = (
        refused.where("penalty > 0")
        .join(near, "item_id")
        .groupBy("user_id", F.col("neighbor_item_id").alias("item_id"))
        .agg(F.max(F.col("penalty") * F.col("nearness")).alias("loss"))
    )
    rest = F.lit(1.0) - F.coalesce("loss", F.lit(0.0))
    return (
        scored.join(refused.select("user_id", "item_id"), ["user_id", "item_id"], "left_anti")
        .join(losses, ["user_id", "item_id"], "left")
        .withColumn("score", F.col("score") * rest)
        .select(*scored.columns)
    )
