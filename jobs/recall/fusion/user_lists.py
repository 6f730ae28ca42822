"""One list for each user from the lists of all channels, with a reason for every row.

A user's list needs only an order, so each channel's scores are divided by its best score for the
user.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.fusion.diversity import MarginalRelevance
from jobs.recall.fusion.exposure import cap_exposure
from jobs.recall.fusion.fill import FILL_METHOD
from jobs.recall.fusion.reasons import user_reason
from jobs.recall.fusion.refused import still_refused, without_refused
from jobs.recall.fusion.reorder import reorder, similar_items
from jobs.recall.fusion.scores import strongest, value_of, weighted_scores, with_scores
from jobs.recall.fusion.settings import UserRecallSettings
from jobs.recall.fusion.sharpening import Sharpening
from jobs.recall.kernels.ranking import top_k


def fuse_channels(
    candidates: DataFrame,
    items: DataFrame,
    users: DataFrame,
    popularity: DataFrame,
    neighbors: DataFrame,
    unwanted: DataFrame,
    ds: date,
    settings: UserRecallSettings,
    scratch: Scratch,
) -> DataFrame:
    """One list for each active user, full whenever the channel `popular` is.

    candidates: channel, user_id, item_id string, score double > 0, because_item_id string or null.
    items: item_id, title string, is_sellable boolean. users: user_id string, the active users.
    popularity: item_id string, users_count long. neighbors: item_id, neighbor_item_id string, score
    double, methods array<string> (gold.i2i_daily), read only for refusals, sharpening and
    diversity. unwanted: user_id, item_id, event_type string, event_date date ≤ ds, what users
    disliked or hid. scratch: must live until the result is read.
    Returns user_id string, rank int, item_id string, score double in 0 to 1, channel string (the
    largest weighted part), channel_scores map<string,double>, because_item_id string or null,
    reason string. Order: score descending, item_id ascending.

    An item that the user refused is left out, and its neighbors lose some of their score
    (`jobs.recall.fusion.refused`). A channel with a quota keeps its best rows up to the quota; rows
    beyond are taken only where the list would be short. With sharpening or diversity the score is
    the value of `jobs.recall.fusion.sharpening`, of `jobs.recall.fusion.diversity`, or of diversity
    after sharpening. `jobs.recall.fusion.exposure` takes an item out of some lists if it stands in
    too many.
    """
    allowed = candidates.join(users.select("user_id"), "user_id", "left_semi").join(
        items.where("is_sellable").select("item_id"), "item_id", "left_semi"
    )
    scored = weighted_scores(
        allowed,
        "user_id",
        "item_id",
        "channel",
        settings.weights,
        unit=F.max("score").over(Window.partitionBy("user_id", "channel")),
        carry=("because_item_id",),
    ).withColumns({"score": F.least("score", F.lit(1.0)), "strongest": strongest(settings.weights)})
    refused = still_refused(unwanted, ds, settings)
    offered = take_within_quotas(without_refused(scored, refused, neighbors), settings)
    if settings.sharpening or settings.diversity:
        similar = neighbors.where(F.array_size(F.array_remove("methods", FILL_METHOD)) > 0)
        table = scratch.put(similar_items(similar))
    if settings.sharpening:
        sharpened = Sharpening(settings.sharpening, settings.reordered)
        offered = reorder(offered, table, sharpened)
    if settings.diversity:
        diverse = MarginalRelevance(settings.diversity, settings.reordered)
        offered = reorder(offered, table, diverse)
    if settings.max_exposure < 1:
        offered = cap_exposure(offered, users, settings.items, settings.max_exposure, scratch)
    best = top_k(offered, ["user_id"], settings.items, item="item_id")
    best = with_scores(best, settings.weights)
    titles = items.select(
        F.col("item_id").alias("because_item_id"), F.col("title").alias("because_title")
    )
    counts = popularity.select("item_id", "users_count")
    return (
        best.join(titles, "because_item_id", "left")
        .join(counts, "item_id", "left")
        .select(
            "user_id",
            "rank",
            "item_id",
            "score",
            F.col("strongest").alias("channel"),
            F.col("scores").alias("channel_scores"),
            "because_item_id",
            user_reason(F.col("scores"), F.col("because_title"), F.col("users_count")).alias(
                "reason"
            ),
        )
    )


def take_within_quotas(scored: DataFrame, settings: UserRecallSettings) -> DataFrame:
    """The rows that may stand in a list: all within quotas, and rows beyond where a list would be
    short.

    scored: user_id, item_id, strongest string, score double. The same columns come back.
    """
    if not settings.quotas:
        return scored
    quota = value_of(settings.quotas, F.col("strongest"), default=float("inf"))
    within_channel = Window.partitionBy("user_id", "strongest").orderBy(
        F.desc("score"), F.asc("item_id")
    )
    in_order = Window.partitionBy("user_id").orderBy("is_over", F.desc("score"), F.asc("item_id"))
    return (
        scored.withColumn("is_over", F.row_number().over(within_channel) > quota)
        .withColumn("choice", F.row_number().over(in_order))
        .where(~F.col("is_over") | (F.col("choice") <= settings.items))
        .drop("is_over", "choice")
    )
