"""The habits of each active user, as a short text without anything personal.

One row per (ds, user_id) of every active user: at least one interaction in the `ACTIVE_DAYS` days
that end with the newest event known on ds. The LLM and the encoder see nothing else of a user: no
id, no date, no free text. A user attribute appears only with a value that many users share.

Numbers are rounded coarsely, so that a profile, which costs an LLM call, changes with the user's
habits and not with each basket.
"""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import Read, Run, table
from jobs.lake.hashing import hash_columns
from jobs.llm.selection import EXACT

ACTIVE_DAYS = 90
TOP_CATEGORIES = 5
TOP_PRODUCTS = 5
# A value of fewer users could identify one of them.
MIN_USERS_PER_VALUE = 10


@table(
    "silver.user_profiles",
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "users": Read("silver.users"),
    },
)
def user_profiles(
    run: Run, interactions: DataFrame, items: DataFrame, users: DataFrame
) -> DataFrame:
    """user_id, profile, profile_hash, last_event_date date, interactions_count_90d long.

    interactions: user_id, item_id, event_date, weight, quantity, amount?, session_id?.
    items: item_id, title?, category?, brand?. users: user_id, attributes map<string,string>.
    """
    last = run.last_event_day
    first = last - timedelta(days=ACTIVE_DAYS - 1)
    recent = run.scratch.once(
        interactions.where(F.col("event_date").between(F.lit(first), F.lit(last))).select(
            "user_id", "item_id", "event_date", "weight", "amount", "session_id"
        )
    )
    described = recent.join(
        items.select("item_id", "title", "category", "brand"), "item_id", "left"
    )
    parts = (
        recent.groupBy("user_id")
        .agg(
            F.max("event_date").alias("last_event_date"),
            F.count("*").alias("interactions_count_90d"),
        )
        .join(shopping_habits(recent), "user_id")
        .join(top_shares(described, "category", TOP_CATEGORIES), "user_id", "left")
        .join(top_names(described, "title", TOP_PRODUCTS), "user_id", "left")
        .join(top_shares(described, "brand", 1), "user_id", "left")
        .join(shared_attributes(users), "user_id", "left")
    )
    profile = F.concat_ws(
        " ",
        sentence("Buys most often: ", "category"),
        sentence("Favourite products: ", "title"),
        sentence("Brands: ", "brand"),
        F.col("habits"),
        sentence("Household: ", "attributes"),
    )
    return (
        parts.withColumn("profile", profile)
        .withColumn("profile_hash", hash_columns(F.col("profile")))
        .select("user_id", "profile", "profile_hash", "last_event_date", "interactions_count_90d")
    )


def sentence(head: str, column: str) -> Column:
    """`head` with the column's text and a full stop; null, and so left out, without text."""
    return F.when(F.length(column) > 0, F.concat(F.lit(head), F.col(column), F.lit(".")))


def weights_by_user(described: DataFrame, name: str) -> DataFrame:
    """user_id, `name` (lower case), weight decimal: an exact sum, in whatever order rows come."""
    return (
        described.where(F.length(F.trim(name)) > 0)
        .groupBy("user_id", F.lower(F.trim(name)).alias(name))
        .agg(F.sum(F.col("weight").cast(EXACT)).alias("weight"))
    )


def top_shares(described: DataFrame, name: str, most: int) -> DataFrame:
    """user_id and the `most` names with the largest share, as `bread (30%), cheese (10%)`.

    Shares are rounded to 10%; a name below 5% is left out. Order: rounded share descending, then
    name.
    """
    user = Window.partitionBy("user_id")
    share = (F.round(F.col("weight") / F.sum("weight").over(user) * 10) * 10).cast("int")
    shares = weights_by_user(described, name).withColumn("share", share).where("share > 0")
    order = Window.partitionBy("user_id").orderBy(F.desc("share"), F.asc(name))
    ranked = shares.withColumn("place", F.row_number().over(order)).where(F.col("place") <= most)
    text = F.format_string("%s (%d%%)", F.col(name), F.col("share"))
    return joined(ranked.withColumn("text", text), name)


def top_names(described: DataFrame, name: str, most: int) -> DataFrame:
    """user_id and the `most` names with the largest weight; weight descending, then name."""
    order = Window.partitionBy("user_id").orderBy(F.desc("weight"), F.asc(name))
    ranked = weights_by_user(described, name).withColumn("place", F.row_number().over(order))
    top = ranked.where(F.col("place") <= most)
    # In the order of names, so that two products that swap ranks do not make a new profile.
    by_name = Window.partitionBy("user_id").orderBy(name)
    return joined(
        top.withColumn("place", F.row_number().over(by_name)).withColumn("text", F.col(name)), name
    )


def joined(ranked: DataFrame, name: str) -> DataFrame:
    """user_id and the texts of a user in the order of `place`, with commas, in column `name`."""
    places = F.array_sort(F.collect_list(F.struct("place", "text")))
    texts = F.transform(places, lambda place: place["text"])
    return ranked.groupBy("user_id").agg(F.array_join(texts, ", ").alias(name))


def shopping_habits(recent: DataFrame) -> DataFrame:
    """user_id, habits: visits, lines a visit and price of a line, where the data has them."""
    weeks = ACTIVE_DAYS / 7
    totals = recent.groupBy("user_id").agg(
        F.countDistinct("session_id").alias("visits"),
        F.count("session_id").alias("lines"),
        F.sum(F.col("amount").cast(EXACT)).alias("amount"),
        F.count("amount").alias("priced"),
    )
    often = (
        F.when(F.col("visits") >= 2 * weeks, "Shops several times a week.")
        .when(F.col("visits") >= 0.75 * weeks, "Shops every week.")
        .when(F.col("visits") >= 3, "Shops a few times a month.")
        .when(F.col("visits") > 0, "Shops rarely.")
    )
    per_visit = F.col("lines") / F.col("visits")
    basket = F.when(
        F.col("visits") > 0,
        F.when(per_visit >= 20, "Large baskets.")
        .when(per_visit >= 6, "Medium baskets.")
        .otherwise("Small baskets."),
    )
    price = F.when(
        F.col("priced") > 0,
        F.format_string(
            "About %d a product.", F.round(F.col("amount") / F.col("priced")).cast("int")
        ),
    )
    return totals.select(
        "user_id", F.nullif(F.concat_ws(" ", often, basket, price), F.lit("")).alias("habits")
    )


def shared_attributes(users: DataFrame) -> DataFrame:
    """user_id, attributes: `age 35-44, income 50-74k`, only values that many users share."""
    values = users.select("user_id", F.explode("attributes").alias("name", "value"))
    values = values.where(F.length(F.trim("value")) > 0)
    shared = (
        values.groupBy("name", "value")
        .agg(F.countDistinct("user_id").alias("users"))
        .where(F.col("users") >= MIN_USERS_PER_VALUE)
    )
    text = F.lower(F.concat_ws(" ", F.regexp_replace("name", "_", " "), F.trim("value")))
    by_name = Window.partitionBy("user_id").orderBy("name")
    ranked = values.join(shared, ["name", "value"]).select(
        "user_id", text.alias("text"), F.row_number().over(by_name).alias("place")
    )
    return joined(ranked, "attributes")
