"""What a day selects for the LLM: a function of what was known on that day, never of what was paid.

A content's value is what it sells times how little its sales tell:

    value = w · s / (s + u)

w is the weight of its interactions in the last 90 days, u the number of users behind them, and s
`HALF_KNOWN_USERS`. Behavior tells half of what there is to know about a content that u = s users
took, and nearly all about a best seller with thousands of users. So what a model says about a best
seller adds little to a list.

The day's texts (`silver.item_texts`, `silver.user_texts`) make the same selection, so that a rerun
shows the same texts whatever was paid since.
"""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.llm.contents import CONTENT_FIELDS, has_text

TRAILING_DAYS = 90
HALF_KNOWN_USERS = 50
# Sums of doubles depend on the order of the rows; a decimal sum ranks the same on every run.
EXACT = "decimal(28,6)"


def select_item_contents(
    items: DataFrame,
    interactions: DataFrame,
    ds: date,
    budget: int,
    max_users: int | None = None,
    answered: DataFrame | None = None,
) -> DataFrame:
    """The `budget` distinct contents of sellable items that are most worth describing.

    items: item_id str, content_hash str, title str?, category str?, department str?, brand str?,
        description str?, is_sellable boolean, valid_from date; the newest version of each item.
    interactions: user_id str, item_id str, event_date date, weight double; all as of `ds`.
    max_users: contents that more users took in the trailing days are left out; None: all count.
    answered: content_hash of contents that do not count. If given, the most urgent and the newest
        contents take turns, the most urgent first, lest a content that nobody took yet wait for all
        that sell.
    Returns content_hash, title, category, department, brand, description, priority double (the
        value, over all sellable items with that content), first_seen date (the earliest valid_from
        of these items), rank int (1 is best). Priority descending, then first_seen descending, then
        content_hash. A content without a title that shows is never selected.
    """
    recent = interactions.where(
        F.col("event_date").between(F.lit(ds - timedelta(days=TRAILING_DAYS - 1)), F.lit(ds))
    )
    described = items.where(F.col("is_sellable") & has_text("title"))
    value = F.col("weight").cast("double") * HALF_KNOWN_USERS / (HALF_KNOWN_USERS + F.col("users"))
    sold = (
        described.select("item_id", "content_hash")
        .join(recent, "item_id")
        .groupBy("content_hash")
        .agg(
            F.sum(F.col("weight").cast(EXACT)).alias("weight"),
            F.count_distinct("user_id").alias("users"),
        )
        .select("content_hash", value.alias("priority"), "users")
    )
    contents = (
        described.groupBy("content_hash")
        .agg(
            *(F.min(name).alias(name) for name in CONTENT_FIELDS),
            F.min("valid_from").alias("first_seen"),
        )
        .join(sold, "content_hash", "left")
        .na.fill({"priority": 0.0, "users": 0})
        .where(F.lit(True) if max_users is None else F.col("users") <= max_users)
        .select(
            "content_hash",
            *CONTENT_FIELDS,
            "priority",
            "first_seen",
        )
    )
    urgent, newest = F.col("priority").desc(), F.col("first_seen").desc()
    by_hash = F.col("content_hash").asc()
    if answered is None:
        return first_rows(contents, [urgent, newest, by_hash], budget)
    left = contents.join(answered, "content_hash", "left_anti")
    by_urgency = first_rows(left, [urgent, newest, by_hash], budget)
    by_age = first_rows(left, [newest, urgent, by_hash], budget)
    both = by_urgency.withColumn("turn", 2 * F.col("rank")).unionByName(
        by_age.withColumn("turn", 2 * F.col("rank") + 1)
    )
    earlier = Window.partitionBy("content_hash").orderBy("turn")
    once = both.withColumn("place", F.row_number().over(earlier)).where("place = 1")
    return first_rows(once.drop("place", "rank"), [F.col("turn").asc()], budget).drop("turn")


def select_user_profiles(
    user_profiles: DataFrame, budget: int, answered: DataFrame | None = None
) -> DataFrame:
    """The `budget` most active users' profiles.

    user_profiles: user_id str, profile str, profile_hash str, interactions_count_90d long.
    answered: user_id, profile_hash of profiles that do not count.
    Returns user_id, profile, profile_hash, priority double (interactions in the last 90 days),
        rank int (1 is best). Priority descending, then user_id. An empty profile is never
        selected.
    """
    profiles = user_profiles.where(has_text("profile")).select(
        "user_id",
        "profile",
        "profile_hash",
        F.col("interactions_count_90d").cast("double").alias("priority"),
    )
    if answered is not None:
        profiles = profiles.join(answered, ["user_id", "profile_hash"], "left_anti")
    return first_rows(profiles, [F.col("priority").desc(), F.col("user_id").asc()], budget)


def first_rows(rows: DataFrame, order: list[Column], budget: int) -> DataFrame:
    """The first `budget` rows by `order`, with `rank` int from 1; only these meet in one task."""
    top = rows.orderBy(*order).limit(budget)
    # A partition by one name, because Spark warns of a window without partitions.
    place = F.row_number().over(Window.partitionBy(F.lit(0)).orderBy(*order))
    return top.withColumn("rank", place.cast("int"))
