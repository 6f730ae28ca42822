"""Popular items that fill lists of neighbors which are too short."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.recall.kernels.ranking import top_k

FILL_METHOD = "popular"
# Scores of an empty list's fillers are below this; in other lists they are below the last neighbor.
_FILL_CEILING = 0.1


def fill_neighbors(
    fused: DataFrame, wanting: DataFrame, sellable: DataFrame, popularity: DataFrame, k: int
) -> DataFrame:
    """Popular items for lists shorter than k: first of the item's category, then of all.

    fused: item_id, neighbor_item_id string, score double. wanting: item_id string, the items whose
    lists have to be full. sellable: item_id, category string. popularity: item_id string, score.
    Returns item_id, neighbor_item_id string, rank int that continues the list, scores
    map<string,double> {popular: popularity as a share of the most popular item's}, score double
    below every score of the list. Order: score descending, neighbor_item_id ascending.
    """
    lengths = fused.groupBy("item_id").agg(
        F.count("*").alias("length"), F.min("score").alias("last_score")
    )
    short = (
        wanting.join(lengths, "item_id", "left")
        .na.fill({"length": 0, "last_score": _FILL_CEILING})
        .where(F.col("length") < k)
        .join(sellable.select("item_id", "category"), "item_id")
    )
    ranked = (
        sellable.select("item_id", "category")
        .join(popularity.select("item_id", "score"), "item_id", "left")
        .na.fill({"score": 0.0})
    )
    # Twice the length, since the item itself and its neighbors are left out.
    of_category = _most_popular(ranked.where("category IS NOT NULL"), "category", 2 * k)
    of_all = _most_popular(ranked.withColumn("everywhere", F.lit(True)), "everywhere", 2 * k)
    near = short.join(of_category, "category").withColumn("height", (1.0 + F.col("share")) / 4.0)
    far = short.crossJoin(F.broadcast(of_all.drop("everywhere"))).withColumn(
        "height", F.col("share") / 4.0
    )
    fills = (
        near.unionByName(far)
        .where("item_id != neighbor_item_id")
        .groupBy("item_id", "neighbor_item_id", "length", "last_score")
        .agg(F.max("height").alias("height"), F.max("share").alias("share"))
        .join(
            fused.select("item_id", "neighbor_item_id"),
            ["item_id", "neighbor_item_id"],
            "left_anti",
        )
        .withColumn("score", F.col("last_score") * F.col("height"))
    )
    best = top_k(fills, ["item_id"], k, item="neighbor_item_id").withColumn(
        "rank", (F.col("rank") + F.col("length")).cast("int")
    )
    return best.where(F.col("rank") <= k).select(
        "item_id",
        "neighbor_item_id",
        "rank",
        F.create_map(F.lit(FILL_METHOD), F.col("share")).alias("scores"),
        "score",
    )


def _most_popular(ranked: DataFrame, group: str, k: int) -> DataFrame:
    """The k most popular items of each group: `group`, neighbor_item_id, share of the first."""
    best = top_k(ranked, [group], k, item="item_id")
    most = F.max("score").over(Window.partitionBy(group))
    return best.select(
        group,
        F.col("item_id").alias("neighbor_item_id"),
        F.when(most > 0, F.col("score") / most).otherwise(F.lit(0.0)).alias("share"),
    )
