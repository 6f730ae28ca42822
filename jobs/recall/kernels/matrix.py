"""The user × item matrix that the products multiply: each factor a whole number, so sums are exact.

With A_ui the strength of a pair, an entry is A_ui · |u|^-a on the left and A_ui · |i|^-c on the
right, both times one power of two and rounded. `matrix_entries` makes the matrix in Spark, in any
size; `matrix_in_memory` makes it in this process, several times as fast, if it fits. Both give the
same numbers to the last bit: they use only IEEE 754 operations and powers, and Spark computes the
powers for both.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.recall.kernels.mapped import id_codes
from jobs.recall.kernels.sparse_product import SUM_BITS
from jobs.recall.sources.methods import CooccurrenceSettings

_MAX_BITS = 24


def matrix_entries(
    strengths: DataFrame, sellable: DataFrame | None, settings: CooccurrenceSettings
) -> tuple[DataFrame, float]:
    """The user × item matrix as rows, each factor a whole number; and the scale of a factor.

    strengths: user_id, item_id string, strength double in (0, 1), and owner_id string where several
    user_ids are sessions of one user; read several times. sellable: item_id string, the items that
    may be neighbors; None for all.
    Returns user_id string, owner_id string if given, item_id string, left long: A_ui · |u|^-a ·
    scale, right long: A_ui · |i|^-c · scale or null where the item is not sellable, row_scale
    double: |i|^-b / scale².
    """
    user_items = strengths.groupBy("user_id").agg(F.count("*").alias("user_items"))
    item_users = (
        strengths.groupBy("item_id")
        .agg(F.count("*").alias("item_users"))
        .where(F.col("item_users") >= settings.min_support)
    )
    ((most_users,),) = item_users.agg(F.max("item_users")).collect()
    scale = float(2 ** fixed_point_bits(most_users or 1))
    left = F.col("strength") * F.pow("user_items", F.lit(-settings.user_exponent))
    right = F.rint(
        F.col("strength") * F.pow("item_users", F.lit(-settings.neighbor_exponent)) * scale
    ).cast("long")
    row_scale = F.pow("item_users", F.lit(-settings.item_exponent)) / F.lit(scale * scale)
    pairs = strengths.join(item_users, "item_id").join(user_items, "user_id")
    if sellable is not None:
        offered = sellable.select("item_id", F.lit(True).alias("is_sellable"))
        pairs = pairs.join(offered, "item_id", "left")
        right = F.when(F.col("is_sellable"), right)
    entries = pairs.select(
        "user_id",
        *(["owner_id"] if "owner_id" in strengths.columns else []),
        "item_id",
        F.rint(left * scale).cast("long").alias("left"),
        right.alias("right"),
        row_scale.alias("row_scale"),
    )
    return entries, scale


def matrix_in_memory(
    spark: SparkSession,
    strengths: pa.Table,
    sellable: pa.ChunkedArray | None,
    settings: CooccurrenceSettings,
) -> tuple[pa.Table, float]:
    """The result of `matrix_entries` for strengths in this process; ids are dictionary-encoded.

    strengths, sellable: as there. spark: computes the powers, one row for each length of a history.
    """
    users, user_ids = id_codes(strengths["user_id"])
    items, item_ids = id_codes(strengths["item_id"])
    strength = strengths["strength"].to_numpy()
    user_items, item_users = np.bincount(users), np.bincount(items)
    known = (item_users >= settings.min_support)[items]
    if not known.all():
        users, items, strength = users[known], items[known], strength[known]
    scale = float(2 ** fixed_point_bits(int(item_users[items].max(initial=1))))
    of_users, of_neighbors, of_items = _powers(
        spark,
        (user_items, -settings.user_exponent),
        (item_users, -settings.neighbor_exponent),
        (item_users, -settings.item_exponent),
    )
    left, right = of_users[users], of_neighbors[items]
    for factor in (left, right):
        factor *= strength
        factor *= scale
        np.rint(factor, out=factor)
    row_scale = of_items / (scale * scale)
    unwanted = None
    if sellable is not None:
        unwanted = ~pc.is_in(item_ids, value_set=sellable).to_numpy(zero_copy_only=False)[items]
    columns = {"user_id": _coded(users, user_ids)}
    if "owner_id" in strengths.column_names:
        owners, owner_ids = id_codes(strengths["owner_id"])
        columns["owner_id"] = _coded(owners[known], owner_ids)
    columns["item_id"] = _coded(items, item_ids)
    columns["left"] = pa.array(left.astype(np.int64))
    columns["right"] = pa.array(right.astype(np.int64), mask=unwanted)
    columns["row_scale"] = pa.array(row_scale[items])
    return pa.table(columns), scale


def fixed_point_bits(most_users: int) -> int:
    """Binary places of each factor, so that the sum over the users of any pair stays exact.

    most_users: users of the most popular item. Each factor is at most 1.
    """
    return min(_MAX_BITS, (SUM_BITS - math.ceil(math.log2(most_users + 1))) // 2)


def _powers(
    spark: SparkSession, *asked: tuple[NDArray[np.int64], float]
) -> list[NDArray[np.float64]]:
    """Powers of counts, computed by Spark: no two libraries agree on the last bit.

    asked: counts and their exponent. Returns the powers of each, in order.
    """
    distinct = [np.unique(counts, return_inverse=True) for counts, _ in asked]
    lengths = [len(counts) for counts, _ in distinct]
    counts = np.concatenate([counts for counts, _ in distinct])
    if not len(counts):
        return [np.empty(0) for _ in asked]
    exponents = np.repeat([exponent for _, exponent in asked], lengths)
    numbered = {"number": np.arange(len(counts)), "count": counts, "exponent": exponents}
    rows = spark.createDataFrame(pa.table(numbered))
    found = rows.select("number", F.pow("count", "exponent").alias("power")).toArrow()
    powers = np.split(found.sort_by("number")["power"].to_numpy(), np.cumsum(lengths)[:-1])
    return [of_counts[places] for of_counts, (_, places) in zip(powers, distinct, strict=True)]


def _coded(codes: NDArray[np.integer], ids: pa.StringArray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), ids)
