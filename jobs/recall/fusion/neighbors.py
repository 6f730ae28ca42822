"""One list of neighbors for each item from the lists of all methods, with a reason for every row.

Methods score on scales of their own. A channel adds up the scores of neighbors over a history, so a
near neighbor of one item has to stay above a far neighbor of another. So each method's scores are
divided by one number a day, the mean of the method's best scores; `jobs.recall.fusion.scores` then
fuses them. For an item that few users took, the silence of behavior methods says nothing: content
takes over a share of their weight (`content_trust`), the larger the fewer the users.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.fusion.fill import fill_neighbors
from jobs.recall.fusion.reasons import neighbor_reason
from jobs.recall.fusion.scores import by_source, value_of, weighted_scores, with_scores
from jobs.recall.fusion.settings import I2ISettings
from jobs.recall.kernels.ranking import exact_sum, top_k
from jobs.recall.sources import BEHAVIOR_METHODS

CONTENT = "content"
_SUM_BITS = 32


def fuse_neighbors(
    candidates: DataFrame,
    items: DataFrame,
    texts: DataFrame,
    popularity: DataFrame,
    settings: I2ISettings,
    scratch: Scratch,
) -> DataFrame:
    """One list of neighbors for each item, full for every sellable item that has text.

    candidates: method, item_id, neighbor_item_id string, rank int, score double > 0, support long
    or null. items: item_id, title, category string, is_sellable boolean. texts: item_id string.
    popularity: item_id string, score double (users of the item lately). scratch: must live until
    the result is read. Returns item_id string, rank int, neighbor_item_id string, score double ≥ 0,
    methods array<string> in name order, method_scores map<string,double>, reason string. In
    method_scores, 1 is the method's mean best score; score is 1 where all methods have 1. Order:
    score descending, neighbor_item_id ascending.

    Items that are not sellable keep their neighbors by behavior, but nothing fills their lists.
    Lists are shorter only where fewer other sellable items exist.
    """
    sellable = items.where("is_sellable")
    units = _mean_best_scores(candidates)
    # Used twice: in the result, and to find the short lists that have to be filled.
    fused = scratch.once(_ranked(_allowed(candidates, sellable), units, popularity, settings))
    wanting = texts.select("item_id").join(sellable, "item_id", "left_semi").distinct()
    fills = fill_neighbors(fused, wanting, sellable, popularity, settings.neighbors)
    named = items.select(F.col("item_id").alias("neighbor_item_id"), "title", "category")
    reason = neighbor_reason(F.col("scores"), F.col("support"), F.col("title"), F.col("category"))
    rows = with_scores(fused, settings.weights).unionByName(fills, allowMissingColumns=True)
    return rows.join(named, "neighbor_item_id", "left").select(
        "item_id",
        "rank",
        "neighbor_item_id",
        "score",
        F.map_keys("scores").alias("methods"),
        F.col("scores").alias("method_scores"),
        reason.alias("reason"),
    )


def best_neighbors(
    candidates: DataFrame,
    items: DataFrame,
    popularity: DataFrame,
    settings: I2ISettings,
    of: DataFrame,
) -> DataFrame:
    """The lists of `fuse_neighbors` for some items, before anything fills them.

    candidates, items, popularity: as there. of: item_id string, the items whose lists are wanted. A
    list is the same whichever other lists are wanted.
    Returns item_id, neighbor_item_id string, rank int, score double, scores map<string,double>,
    support long or null, and more columns of the fusion.
    """
    allowed = _allowed(candidates, items.where("is_sellable"))
    wanted = allowed.join(F.broadcast(of.select("item_id")), "item_id", "left_semi")
    ranked = _ranked(wanted, _mean_best_scores(candidates), popularity, settings)
    return with_scores(ranked, settings.weights)


def _allowed(candidates: DataFrame, sellable: DataFrame) -> DataFrame:
    """The candidates whose neighbor is another item, and can be sold."""
    neighbors = sellable.select(F.col("item_id").alias("neighbor_item_id"))
    others = candidates.where("item_id != neighbor_item_id")
    return others.join(neighbors, "neighbor_item_id", "left_semi")


def _mean_best_scores(candidates: DataFrame) -> dict[str, float]:
    """The mean score of the first ranks of each method."""
    best = candidates.where(F.col("rank") == 1).groupBy("method")
    mean = exact_sum(F.col("score"), _SUM_BITS) / F.count("*")
    return {row["method"]: row["mean"] for row in best.agg(mean.alias("mean")).collect()}


def _ranked(
    candidates: DataFrame,
    units: Mapping[str, float],
    popularity: DataFrame,
    settings: I2ISettings,
) -> DataFrame:
    scored = weighted_scores(
        _with_doubt(candidates, popularity, settings),
        "item_id",
        "neighbor_item_id",
        "method",
        settings.weights,
        unit=value_of(units, F.col("method"), default=1.0),
        carry=("support", "doubt"),
    ).withColumn("score", F.col("score") + _spoken_for(settings))
    return top_k(scored, ["item_id"], settings.neighbors, item="neighbor_item_id")


def _with_doubt(candidates: DataFrame, popularity: DataFrame, settings: I2ISettings) -> DataFrame:
    """The candidates with doubt double: for a neighbor by content, how little the silence of
    behavior means, s / (s + users), users being those of the less taken item of the pair; null for
    other neighbors."""
    by_content = F.col("method") == CONTENT
    if not settings.content_trust:
        return candidates.withColumn("doubt", F.lit(None).cast("double"))
    users = popularity.select("item_id", F.col("score").alias("users"))
    of_neighbors = users.toDF("neighbor_item_id", "neighbor_users")
    fewer = F.least(*(F.coalesce(name, F.lit(0.0)) for name in ("users", "neighbor_users")))
    doubted = (
        candidates.where(by_content)
        .join(users, "item_id", "left")
        .join(of_neighbors, "neighbor_item_id", "left")
        .withColumn("doubt", F.lit(settings.cold_users) / (F.lit(settings.cold_users) + fewer))
        .select(*candidates.columns, "doubt")
    )
    return candidates.where(~by_content).unionByName(doubted, allowMissingColumns=True)


def _spoken_for(settings: I2ISettings) -> Column:
    """What content adds to a score in place of silent behavior methods."""
    total = sum(settings.weights.values())
    if not settings.weights[CONTENT]:
        return F.lit(0.0)
    silent = (
        F.when(F.col(by_source(name)).isNull(), F.lit(settings.weights[name] / total)).otherwise(
            F.lit(0.0)
        )
        for name in BEHAVIOR_METHODS
        if settings.weights[name]
    )
    by_content = F.col(by_source(CONTENT))
    said = F.lit(settings.content_trust) * by_content * F.col("doubt")
    return F.coalesce(said * reduce(add, silent, F.lit(0.0)), F.lit(0.0))
