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

    Items of one category have the same fillers, so these are ranked once a category.
    """
    lists = fused.groupBy("item_id").agg(
        F.min("score").alias("last_score"), F.collect_list("neighbor_item_id").alias("listed")
    )
    short = (
        wanting.join(sellable.select("item_id", "category"), "item_id")
        .join(lists, "item_id", "left")
        .select(
            "item_id",
            "category",
            F.coalesce("last_score", F.lit(_FILL_CEILING)).alias("last_score"),
            F.coalesce("listed", F.array().cast("array<string>")).alias("listed"),
        )
        .withColumn("length", F.size("listed"))
        .where(F.col("length") < k)
    )
    # Of the fillers, at most the item itself and those in its list fall away.
    fillers = F.broadcast(_fillers(sellable, popularity, k + 1))
    free = F.filter(
        "fillers",
        lambda filler: (
            (filler["neighbor_item_id"] != F.col("item_id"))
            & ~F.array_contains("listed", filler["neighbor_item_id"])
        ),
    )
    return (
        short.join(fillers, F.col("category").eqNullSafe(F.col("of_category")))
        .select(
            "item_id",
            "length",
            "last_score",
            F.posexplode(F.slice(free, F.lit(1), F.lit(k) - F.col("length"))),
        )
        .select(
            "item_id",
            "col.neighbor_item_id",
            (F.col("length") + F.col("pos") + 1).alias("rank"),
            F.create_map(F.lit(FILL_METHOD), F.col("col.share")).alias("scores"),
            (F.col("last_score") * F.col("col.height")).alias("score"),
        )
    )


def _fillers(sellable: DataFrame, popularity: DataFrame, count: int) -> DataFrame:
    """The first `count` items that fill a list of each category.

    Returns of_category string or null, and fillers array<struct<rank, neighbor_item_id, height,
    share>> in the order of their ranks. height: a filler's score as a share of the score before it
    in a list, at least 1/4 for items of the category and at most 1/4 for others.
    """
    ranked = (
        sellable.select("item_id", "category")
        .join(popularity.select("item_id", "score"), "item_id", "left")
        .na.fill({"score": 0.0})
    )
    of_category = _most_popular(ranked.where("category IS NOT NULL"), "category", count)
    of_all = _most_popular(ranked.withColumn("everywhere", F.lit(True)), "everywhere", count)
    near = of_category.withColumn("height", (1.0 + F.col("share")) / 4.0)
    far = (
        sellable.select("category")
        .distinct()
        .crossJoin(F.broadcast(of_all.drop("everywhere")))
        .withColumn("height", F.col("share") / 4.0)
    )
    filling = (
        near.unionByName(far)
        .groupBy("category", "neighbor_item_id")
        .agg(F.max("height").alias("height"), F.max("share").alias("share"))
    )
    best = top_k(filling, ["category"], count, item="neighbor_item_id", score="height")
    filler = F.struct("rank", "neighbor_item_id", "height", "share")
    return best.groupBy(F.col("category").alias("of_category")).agg(
        F.sort_array(F.collect_list(filler)).alias("fillers")
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
