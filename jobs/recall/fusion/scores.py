"""Scores of several sources fused into one: scaled to a common scale, then averaged by weight.

The fused score is the weighted mean over all sources. A silent source counts 0, so agreement is
worth more. The other choice, reciprocal ranks, forgets distances, and Bruch, Gai and Ingber (TOIS
2023) find the weighted sum of scaled scores ahead of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def weighted_scores(
    candidates: DataFrame,
    group: str,
    item: str,
    source: str,
    weights: Mapping[str, float],
    unit: Column,
    carry: Sequence[str],
) -> DataFrame:
    """One row for each (group, item): its scaled scores, and their weighted mean.

    candidates: `group`, `item`, `source` string, score double > 0, at most one row for each
    combination. weights: of every source, 0 switches the source off; the mean divides by the sum of
    all weights. unit: divides a score, an expression or a window within `group`. carry: more
    columns; the largest value of each is returned.
    Returns `group`, `item` string, scores map<string,double> (scaled, by source), strongest string
    (the source with the largest weighted part, ties in name order), score double, and `carry`.
    """
    total_weight = float(sum(weights.values()))
    shares = {name: weight / total_weight for name, weight in sorted(weights.items()) if weight}
    # One shuffle by group serves the window, the grouping and the later ranking.
    scaled = (
        candidates.where(F.col(source).isin(list(shares)))
        .select(group, item, source, "score", *carry)
        .repartition(group)
        .withColumn("scaled", F.col("score") / unit)
    )
    by_source = [
        F.max(F.when(F.col(source) == name, F.col("scaled"))).alias(f"by_{name}") for name in shares
    ]
    parts = {
        name: F.coalesce(f"by_{name}", F.lit(0.0)) * F.lit(share) for name, share in shares.items()
    }
    found = F.array(
        *(F.struct(F.lit(name).alias("key"), F.col(f"by_{name}").alias("value")) for name in shares)
    )
    by_part = F.array(
        *(
            F.struct((-part).alias("least"), F.lit(name).alias("name"))
            for name, part in parts.items()
        )
    )
    return (
        scaled.groupBy(group, item)
        .agg(*by_source, *(F.max(name).alias(name) for name in carry))
        .select(
            group,
            item,
            F.map_from_entries(F.filter(found, lambda e: e["value"].isNotNull())).alias("scores"),
            F.array_min(by_part)["name"].alias("strongest"),
            reduce(add, parts.values()).alias("score"),
            *carry,
        )
    )


def value_of(values: Mapping[str, float], key: Column, default: float = 0) -> Column:
    """The value of `key` in a small mapping, `default` for any other key."""
    result = F.lit(default)
    for name, value in values.items():
        result = F.when(key == name, F.lit(value)).otherwise(result)
    return result
