"""How much more an item is used in a part of all use than in the whole.

    lift(i) = (part(i) / share + smoothing) / (whole(i) + smoothing)

part(i) and whole(i) are the item's use in the part and in the whole; share is the part's share of
all items' use. A lift of 1 means as much use as the whole lets expect. An item that is hardly used
stays near 1, because `smoothing` at the usual share is added to its own use.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.recall.kernels.ranking import exact_sum, top_k

_USE_BITS = 24
# An item that is used as much as expected has a lift of exactly 1.
_SCORE_PLACES = 6


def smoothed_lift(part: Column, whole: Column, share: Column, smoothing: float) -> Column:
    """The lift of the module's formula; null if no item was used in the part."""
    expected = F.nullif(share, F.lit(0.0))
    return (part / expected + F.lit(smoothing)) / (whole + F.lit(smoothing))


def lifted_items(
    counts: DataFrame, items: DataFrame, smoothing: float, min_users: int, k: int
) -> DataFrame:
    """The k sellable items of each segment that are used more in the part than the whole expects.

    counts: segment, item_id string, one row each, part double ≥ 0 (how much of the item's use is of
    the part), whole double ≥ 0, users_count long: the distinct users in the part.
    items: item_id string, is_sellable boolean.
    Returns segment string, rank int, item_id string, score double above 1 (the lift, to six
    places), users_count long, `min_users` or more. Order: score descending, item_id ascending.
    """
    used = counts.where("whole > 0")
    shares = used.groupBy("segment").agg(
        (exact_sum(F.col("part"), _USE_BITS) / exact_sum(F.col("whole"), _USE_BITS)).alias("share")
    )
    lift = smoothed_lift(F.col("part"), F.col("whole"), F.col("share"), smoothing)
    lifted = (
        used.where(F.col("users_count") >= min_users)
        .join(items.where("is_sellable").select("item_id"), "item_id", "left_semi")
        .join(shares, "segment")
        .withColumn("score", F.round(lift, _SCORE_PLACES))
        .where("score > 1")
    )
    best = top_k(lifted, ["segment"], k, item="item_id")
    return best.select("segment", "rank", "item_id", "score", "users_count")
