"""Which pairs that the LLM put together are plausible, by the categories that users take together.

Behavior says nothing about an item that few users took, but it does about the item's category. A
pair of items is judged by the lift of their categories a and b over all users,

    lift(a, b) = (n_ab + 1) / (n_a · n_b / n + 1)

where n_a users took an item of a, n_ab an item of each (two items, if a = b), and n any item. The
lift says how many times as many users took both as by chance. The added 1 keeps the lift of rarely
taken categories near 1.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.llm.contents import has_text


def plausible_pairs(
    pairs: DataFrame, items: DataFrame, interactions: DataFrame, min_lift: float
) -> DataFrame:
    """The pairs whose categories' lift is `min_lift` or more, with a score.

    pairs: item_id, neighbor_item_id string, unique. items: item_id, category, department string,
    the last where there is no category. interactions: user_id, item_id string, weight double; rows
    with a weight of 0 or less count no user.
    Returns item_id, neighbor_item_id string, score double in (0, 1): lift / (1 + lift). A pair with
    an item without a category has no lift; it is left out or, with a `min_lift` of 0, kept at 0.5.
    """
    category = F.when(has_text("category"), F.col("category")).when(
        has_text("department"), F.col("department")
    )
    kinds = items.select("item_id", category.alias("kind")).where("kind IS NOT NULL")
    others = kinds.toDF("neighbor_item_id", "other_kind")
    known = pairs.join(kinds, "item_id", "left").join(others, "neighbor_item_id", "left")
    taken = interactions.where(F.col("weight") > 0).select("user_id", "item_id").distinct()
    of_kind = (
        taken.join(kinds, "item_id").groupBy("user_id", "kind").agg(F.count("*").alias("items"))
    )
    users = of_kind.groupBy("kind").agg(F.count("*").alias("users"))
    everyone = taken.agg(F.count_distinct("user_id").alias("everyone"))
    wanted = known.select("kind", "other_kind").dropna().distinct()
    of_other = of_kind.select("user_id", F.col("kind").alias("other_kind"))
    both = (
        wanted.join(of_kind, "kind")
        .join(of_other, ["user_id", "other_kind"])
        .where("kind != other_kind OR items >= 2")
        .groupBy("kind", "other_kind")
        .agg(F.count("*").alias("both"))
    )
    by_chance = F.try_divide(F.col("users") * F.col("other_users"), F.col("everyone"))
    lifts = (
        wanted.join(both, ["kind", "other_kind"], "left")
        .join(users, "kind", "left")
        .join(users.toDF("other_kind", "other_users"), "other_kind", "left")
        .crossJoin(F.broadcast(everyone))
        .na.fill(0, ["both", "users", "other_users"])
        .select(
            "kind",
            "other_kind",
            ((F.col("both") + 1) / (F.coalesce(by_chance, F.lit(0.0)) + 1)).alias("lift"),
        )
    )
    judged = known.join(lifts, ["kind", "other_kind"], "left")
    if min_lift <= 0:
        judged = judged.na.fill(1.0, ["lift"])
    return judged.where(F.col("lift") >= min_lift).select(
        "item_id", "neighbor_item_id", (F.col("lift") / (1 + F.col("lift"))).alias("score")
    )
