"""What a day wants described: a function of what was known on that day, never of what was paid.

The day's texts (`silver.item_texts`, `silver.user_texts`) make the same selection, so that a rerun
shows the same texts whatever was bought since.
"""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

TRAILING_DAYS = 90
# Sums of doubles depend on the order of the rows; a decimal sum ranks the same on every run.
EXACT = "decimal(28,6)"


def select_item_contents(
    items: DataFrame, interactions: DataFrame, ds: date, budget: int
) -> DataFrame:
    """The `budget` distinct contents of sellable items that are most worth describing.

    items: item_id str, content_hash str, title str?, category str?, department str?, brand str?,
        description str?, is_sellable boolean; the newest version of each item.
    interactions: item_id str, event_date date, weight double; all as of `ds`.
    Returns content_hash, title, category, department, brand, description, priority double (sum of
        interaction weights over the 90 days that end with `ds`, over all items with that content),
        rank int (1 is best). Priority descending, then content_hash. A content without a title
        is never selected.
    """
    sold = (
        interactions.where(F.col("event_date") > F.lit(ds - timedelta(days=TRAILING_DAYS)))
        .where(F.col("event_date") <= F.lit(ds))
        .groupBy("item_id")
        .agg(F.sum(F.col("weight").cast(EXACT)).alias("weight"))
    )
    has_title = F.length(F.trim(F.coalesce("title", F.lit("")))) > 0
    contents = (
        items.where(F.col("is_sellable") & has_title)
        .join(sold, "item_id", "left")
        .groupBy("content_hash")
        .agg(
            *(
                F.min(name).alias(name)
                for name in ("title", "category", "department", "brand", "description")
            ),
            F.coalesce(F.sum("weight").cast("double"), F.lit(0.0)).alias("priority"),
        )
    )
    return _most_urgent(contents, "content_hash", budget)


def select_user_profiles(user_profiles: DataFrame, budget: int) -> DataFrame:
    """The `budget` most active users' profiles.

    user_profiles: user_id str, profile str, profile_hash str, interactions_count_90d long.
    Returns user_id, profile, profile_hash, priority double (interactions in the last 90 days),
        rank int (1 is best). Priority descending, then user_id. An empty profile is never
        selected.
    """
    has_profile = F.length(F.trim(F.coalesce("profile", F.lit("")))) > 0
    profiles = user_profiles.where(has_profile).select(
        "user_id",
        "profile",
        "profile_hash",
        F.col("interactions_count_90d").cast("double").alias("priority"),
    )
    return _most_urgent(profiles, "user_id", budget)


def _most_urgent(rows: DataFrame, key: str, budget: int) -> DataFrame:
    """The top `budget` rows by priority, then key, with their rank; only these meet in one task."""
    order = [F.col("priority").desc(), F.col(key).asc()]
    top = rows.orderBy(*order).limit(budget)
    return top.withColumn("rank", F.row_number().over(Window.orderBy(*order)).cast("int"))
