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

_ENTRIES = "array<struct<key:string,value:double>>"


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
    Returns `group`, `item` string, score double, `carry`, and for each source with a weight the
    column `by_source` double, the scaled score or null. `with_scores` makes a map of these, and
    `strongest` tells the largest.
    """
    shares = _shares(weights)
    # One shuffle by group serves the window, the grouping and the later ranking.
    scaled = (
        candidates.where(F.col(source).isin(list(shares)))
        .select(group, item, source, "score", *carry)
        .repartition(group)
        .withColumn("scaled", F.col("score") / unit)
    )
    scores = [
        F.max(F.when(F.col(source) == n, F.col("scaled"))).alias(by_source(n)) for n in shares
    ]
    return (
        scaled.groupBy(group, item)
        .agg(*scores, *(F.max(name).alias(name) for name in carry))
        .withColumn("score", reduce(add, _parts(shares).values()))
    )


def by_source(name: str) -> str:
    """The column of `weighted_scores` that holds the scaled score of a source."""
    return f"by_{name}"


def with_scores(rows: DataFrame, weights: Mapping[str, float]) -> DataFrame:
    """The rows of `weighted_scores` with scores map<string,double> (scaled, by source) in place of
    the columns of single sources. Maps are dear, so lists are ranked and cut first."""
    shares = _shares(weights)
    # Spark compiles `flatten`, but not the function that `filter` would take.
    found = F.flatten(F.array(*(_entry(name) for name in shares)))
    scores = F.map_from_entries(found)
    return rows.withColumn("scores", scores).drop(*map(by_source, shares))


def _entry(name: str) -> Column:
    """The scaled score of a source as an array of one entry, without one where it is null."""
    value = F.col(by_source(name))
    entry = F.array(F.struct(F.lit(name).alias("key"), value.alias("value")))
    return F.when(value.isNotNull(), entry).otherwise(F.array().cast(_ENTRIES))


def strongest(weights: Mapping[str, float]) -> Column:
    """Of a row of `weighted_scores`, the source with the largest weighted part, ties in name
    order."""
    parts = _parts(_shares(weights))
    largest = F.greatest(*parts.values()) if len(parts) > 1 else next(iter(parts.values()))
    return F.coalesce(*(F.when(part == largest, F.lit(name)) for name, part in parts.items()))


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """The share of each source with a weight, in name order."""
    total = float(sum(weights.values()))
    return {name: weight / total for name, weight in sorted(weights.items()) if weight}


def _parts(shares: Mapping[str, float]) -> dict[str, Column]:
    """What each source adds to a score."""
    return {
        name: F.coalesce(by_source(name), F.lit(0.0)) * F.lit(share)
        for name, share in shares.items()
    }


def value_of(values: Mapping[str, float], key: Column, default: float = 0) -> Column:
    """The value of `key` in a small mapping, `default` for any other key."""
    result = F.lit(default)
    for name, value in values.items():
        result = F.when(key == name, F.lit(value)).otherwise(result)
    return result
