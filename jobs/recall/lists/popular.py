"""What many users take lately, for everyone and for segments of users."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.recall.kernels.ranking import exact_sum, top_k
from jobs.recall.kernels.strength import decay
from jobs.recall.lists.uses import ALL_USERS, Measure, in_units, user_segments
from jobs.recall.settings.lists import PopularSettings, RecentUseSettings

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


def recent_measure(ds: date, settings: RecentUseSettings) -> Measure:
    """A user's use of an item as `recent_uses` has it, for counting beside other measures."""
    is_recent = F.col("event_date") >= F.date_sub(F.lit(ds), settings.window_days - 1)
    last = F.max(F.when(is_recent, F.col("event_date")))
    use = in_units(decay(last, ds, settings.half_life_days))
    return Measure(part=use, is_user=last.isNotNull(), is_active=last.isNotNull())


def popular_items(counts: DataFrame, items: DataFrame, settings: PopularSettings) -> DataFrame:
    """The best `settings.items` sellable items for all users, and for each large segment.

    counts: of a `recent_measure`, as `counted_uses` returns them. items: item_id string,
    is_sellable boolean.
    Returns segment string, rank int, item_id string, score double (users, each halved for every
    half-life since the last time), users_count long. Order: score descending, item_id ascending.

    `all` has min(settings.items, sellable items) rows, whatever was used: unused items close the
    list with score 0, so that the fallback is never too short. A segment lists used items only.
    """
    return best_used(counts, items.where("is_sellable").select("item_id"), settings.items)


def best_used(counts: DataFrame, items: DataFrame, length: int) -> DataFrame:
    """The `length` most used of some items in each segment; in `all`, unused ones come last.

    counts: of a `recent_measure`. items: item_id string. Returns segment, rank, item_id, score,
    users_count, as `popular_items` says.
    """
    used = (
        counts.where("users_count > 0")
        .join(items, "item_id", "left_semi")
        .select("segment", "item_id", F.col("part").alias("score"), "users_count")
    )
    best = top_k(_with_unused(used, items), ["segment"], length, item="item_id")
    return best.select("segment", "rank", "item_id", "score", "users_count")


def _with_unused(used: DataFrame, items: DataFrame) -> DataFrame:
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


def segments_listed(users: DataFrame, popular: DataFrame, settings: PopularSettings) -> DataFrame:
    """The segment of each user whose segment has a list of its own in `popular`.

    users: user_id string, attributes map<string,string>. popular: segment string.
    Returns user_id, segment string, at most one row a user.
    """
    listed = popular.select("segment").distinct()
    return user_segments(users, settings).join(listed, "segment", "left_semi")
