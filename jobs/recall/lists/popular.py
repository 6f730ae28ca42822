"""What many users take lately, for everyone and for segments of users."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.recall.kernels.ranking import exact_sum, top_k
from jobs.recall.kernels.strength import decay
from jobs.recall.settings.lists import PopularSettings, RecentUseSettings

ALL_USERS = "all"
# The kind of gold.popular_items_daily that fills the lists of users.
POPULAR = "popular"
_SCORE_BITS = 24


def recent_uses(interactions: DataFrame, ds: date, settings: RecentUseSettings) -> DataFrame:
    """One row for each (user, item) of the window, with a use that decays with its last day.

    interactions: user_id, item_id string, event_date date ≤ ds, weight double.
    Returns user_id string, item_id string, use double in (0, 1].
    """
    first_day = F.date_sub(F.lit(ds), settings.window_days - 1)
    return (
        interactions.where((F.col("event_date") >= first_day) & (F.col("weight") > 0))
        .groupBy("user_id", "item_id")
        .agg(F.max("event_date").alias("last_date"))
        .select(
            "user_id",
            "item_id",
            decay(F.col("last_date"), ds, settings.half_life_days).alias("use"),
        )
    )


def count_uses(uses: DataFrame, *group: str) -> DataFrame:
    """The decayed and the plain number of users of each item, within each group if there are any.

    uses: as `recent_uses` returns them, with the columns `group`.
    Returns `group`, item_id string, score double (decayed users), users_count long.
    """
    return uses.groupBy(*group, "item_id").agg(
        exact_sum(F.col("use"), _SCORE_BITS).alias("score"), F.count("*").alias("users_count")
    )


def popular_items(
    interactions: DataFrame,
    items: DataFrame,
    users: DataFrame,
    ds: date,
    settings: PopularSettings,
) -> DataFrame:
    """The best `settings.items` sellable items for all users, and for each large segment.

    interactions: user_id, item_id string, event_date date ≤ ds, weight double.
    items: item_id string, is_sellable boolean. users: user_id string, attributes map<string,string>
    Returns segment string, rank int, item_id string, score double (users, each halved for every
    half-life since the last time), users_count long. Order: score descending, item_id ascending.

    `all` has min(settings.items, sellable items) rows, whatever was used: unused items close the
    list with score 0, so that the fallback is never too short. A segment lists used items only.
    """
    sellable = items.where("is_sellable").select("item_id")
    uses = uses_by_segment(recent_uses(interactions, ds, settings), users, settings)
    used = count_uses(uses, "segment").join(sellable, "item_id", "left_semi")
    best = top_k(with_unused(used, sellable), ["segment"], settings.items, item="item_id")
    return best.select("segment", "rank", "item_id", "score", "users_count")


def uses_by_segment(uses: DataFrame, users: DataFrame, settings: PopularSettings) -> DataFrame:
    """Each use for the segment `all`, and once more for its user's segment if that is large.

    uses: user_id string and any others; all are returned with segment string.
    users: user_id string, attributes map<string,string>.
    """
    segments = user_segments(users, settings)
    large = large_segments(segments, uses, settings.segment_min_users)
    of_segments = uses.join(segments.join(large, "segment", "left_semi"), "user_id")
    return uses.withColumn("segment", F.lit(ALL_USERS)).unionByName(of_segments)


def with_unused(used: DataFrame, items: DataFrame) -> DataFrame:
    """The counts of each segment, and counts of 0 for the `items` that the segment `all` lacks.

    used: segment, item_id string, score double, users_count long. items: item_id string. Returns
    the columns of `used`.
    """
    unused = items.select(
        F.lit(ALL_USERS).alias("segment"),
        "item_id",
        F.lit(0.0).alias("score"),
        F.lit(0).cast("long").alias("users_count"),
    )
    counts = (F.max(name).alias(name) for name in ("score", "users_count"))
    return used.unionByName(unused).groupBy("segment", "item_id").agg(*counts)


def of_kind(listed: DataFrame, kind: str) -> DataFrame:
    """The lists of one kind of gold.popular_items_daily."""
    return listed.where(F.col("kind") == kind)


def user_segments(users: DataFrame, settings: PopularSettings) -> DataFrame:
    """The segment of each user that has a value of the segment attribute.

    users: user_id string, attributes map<string,string>.
    Returns user_id string, segment string such as `age=45-54`; no row for the others.
    """
    attribute = settings.segment_attribute or ""
    value = F.nullif(F.trim(F.col("attributes").getItem(attribute)), F.lit(""))
    segment = F.concat(F.lit(f"{attribute}="), value)
    return users.select("user_id", segment.alias("segment")).where("segment IS NOT NULL")


def segments_listed(users: DataFrame, popular: DataFrame, settings: PopularSettings) -> DataFrame:
    """The segment of each user whose segment has a list of its own in `popular`.

    users: user_id string, attributes map<string,string>. popular: segment string.
    Returns user_id, segment string, at most one row a user.
    """
    listed = popular.select("segment").distinct()
    return user_segments(users, settings).join(listed, "segment", "left_semi")


def large_segments(segments: DataFrame, uses: DataFrame, min_users: int) -> DataFrame:
    """The segments in which at least `min_users` users used anything, as a column segment.

    segments: user_id, segment string. uses: user_id string of every use.
    """
    recent = segments.join(uses.select("user_id").distinct(), "user_id", "left_semi")
    sizes = recent.groupBy("segment").agg(F.count("*").alias("users"))
    return sizes.where(F.col("users") >= min_users).select("segment")
