"""Item similarity from behavior: two items are near when the same users take both.

    score(i → j) = Σ_u A_ui · A_uj · |u|^-a · |i|^-b · |j|^-c · (n - 1) / (n - 1 + s)

A_ui is the decayed, saturating strength of `jobs.recall.kernels.strength`; |u| is the number of
items in the user's history and |i| the number of users of the item, both after the history is
capped. With a = 0 and b = c = ½ on 0/1 data this is the cosine; unequal b and c make it asymmetric
(Aiolli, RecSys 2013); with a = 1, b = c = ½ it is the normalised adjacency of the graph filters. n
is the number of users behind the pair: one of them may be chance, so the shrinkage s lowers pairs
with few users. The score lies in 0 to 1 when b + c = 1, and is comparable between the neighbors of
one item.

The factors are rounded to whole numbers before they are summed, so the sum is exact: the product
in tasks, the shuffle plan and any number of partitions give the same scores to the last bit.
"""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Computed, Scratch
from jobs.recall.kernels.matrix import matrix_entries, matrix_in_memory
from jobs.recall.kernels.ranking import top_k
from jobs.recall.kernels.sparse_product import (
    NEIGHBOR_DDL,
    SparseProduct,
    blocks_in_tasks,
    top_rows_in_tasks,
)
from jobs.recall.kernels.strength import aged, cap_user_history, pair_strengths
from jobs.recall.settings.strength import StrengthSettings
from jobs.recall.sources.methods import CooccurrenceSettings


def cooccurrence_neighbors(
    interactions: DataFrame,
    items: DataFrame,
    settings: CooccurrenceSettings,
    scratch: Scratch,
) -> DataFrame:
    """The nearest sellable items of every item that enough users took.

    interactions: user_id, item_id string, event_ts timestamp, event_date date, weight double.
    items: item_id string, is_sellable boolean; an item that is not sellable may have neighbors
    (its page is still visited) but is never one.
    scratch: must live until the result is read.
    Returns item_id string, rank int from 1, neighbor_item_id string, score double > 0,
    support long: the distinct users behind the pair. At most `settings.neighbors` rows an item.
    Order: score descending, then neighbor_item_id ascending.
    """
    strengths = scratch.computed(capped_strengths(aged(interactions), settings))
    return neighbors_of(strengths, items, settings, scratch)


def neighbors_of(
    strengths: Computed,
    items: DataFrame,
    settings: CooccurrenceSettings,
    scratch: Scratch,
) -> DataFrame:
    """The neighbors of every item of `strengths`, by the plan that suits the number of pairs.

    strengths: user_id, item_id string, strength double in (0, 1), and owner_id string if several
    user_ids are sessions of one user. All else is as for `cooccurrence_neighbors`.
    """
    sellable = items.where("is_sellable").select("item_id")
    if strengths.frame.count() > settings.max_matrix_entries:
        entries, _ = matrix_entries(strengths.frame, sellable, settings)
        return neighbors_by_shuffle(entries, settings)
    spark = items.sparkSession
    matrix, _ = matrix_in_memory(
        spark, strengths.to_arrow(), sellable.toArrow()["item_id"], settings
    )
    return neighbors_in_tasks(spark, matrix, settings, scratch)


def capped_strengths(events: DataFrame, settings: StrengthSettings) -> DataFrame:
    """user_id, item_id string, strength double: the newest `history_length` items of each user.

    events: as `jobs.recall.kernels.strength.aged` returns them.
    """
    strengths = pair_strengths(events, settings.half_life_days, settings.saturation)
    return cap_user_history(strengths, settings.history_length).drop("last_ts")


def neighbors_in_tasks(
    spark: SparkSession, matrix: pa.Table, settings: CooccurrenceSettings, scratch: Scratch
) -> DataFrame:
    """Plan 1: the matrix comes to this process once, tasks multiply blocks of its rows.

    matrix: as `matrix_in_memory` returns it. scratch: where the tasks find the arrays.
    """
    product = SparseProduct.from_entries(matrix, settings.block_products)
    top_rows = top_rows_in_tasks(
        scratch.put(product), settings.neighbors, settings.min_support, settings.shrinkage
    )
    return blocks_in_tasks(spark, product.block_count).mapInArrow(top_rows, NEIGHBOR_DDL)


def neighbors_by_shuffle(entries: DataFrame, settings: CooccurrenceSettings) -> DataFrame:
    """Plan 2: Spark joins pairs by user and sums them, for a matrix too large for one machine.

    entries: as `matrix_entries` returns them. The pairs are bounded by users × history_length².
    """
    owned = "owner_id" in entries.columns
    owners = [F.col("owner_id")] if owned else []
    sources = entries.select("user_id", *owners, "item_id", "left", "row_scale")
    targets = entries.where("right IS NOT NULL").select(
        "user_id", F.col("item_id").alias("neighbor_item_id"), "right"
    )
    pairs = (
        sources.join(targets, "user_id")
        .where("item_id != neighbor_item_id")
        .groupBy("item_id", "neighbor_item_id")
        .agg(
            F.sum(F.col("left") * F.col("right")).alias("total"),
            F.max("row_scale").alias("row_scale"),
            (F.count_distinct("owner_id") if owned else F.count("*")).alias("support"),
        )
        .where((F.col("support") >= settings.min_support) & (F.col("total") > 0))
        .withColumn("score", F.col("total").cast("double") * F.col("row_scale"))
    )
    if settings.shrinkage:
        others = F.col("support") - 1
        pairs = pairs.withColumn(
            "score", F.col("score") * (others / (others + F.lit(settings.shrinkage)))
        ).where("score > 0")
    best = top_k(pairs, ["item_id"], settings.neighbors, item="neighbor_item_id")
    return best.select("item_id", "rank", "neighbor_item_id", "score", "support")


def candidates(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item that at least `min_support` users took."""
    settings = run.settings.cooccurrence
    return cooccurrence_neighbors(interactions, items, settings, run.scratch)
