"""Order and sums that are the same however Spark splits the work."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def top_k(
    frame: DataFrame, group: Sequence[str], k: int, item: str, score: str = "score"
) -> DataFrame:
    """The k best rows of each group, with their `rank`.

    frame: the columns `group`, `item` (string, unique within a group) and `score` (double), and
    any others. Returns the same columns and rank int, 1 for the best; order: score descending,
    then item ascending, so no two runs differ.
    """
    order = Window.partitionBy(*group).orderBy(F.desc(score), F.asc(item))
    ranked = frame.withColumn("rank", F.row_number().over(order))
    return ranked.where(F.col("rank") <= k)


def exact_sum(column: Column, bits: int) -> Column:
    """The sum of doubles in fixed point, which does not depend on the order of the rows.

    bits: binary places kept of each value; |sum| · 2^bits has to stay below 2^63.
    """
    scale = float(2**bits)
    return F.sum(F.rint(column * scale).cast("long")) / scale
