"""Several ranked lists into one, with a reason for every row.

Methods score on scales of their own. A user's list only has an order, so each channel is divided
by its best score of the user. The scores of an item's neighbors are added up over a history, so a
near neighbor of one item has to stay above a far neighbor of another: each method is divided by one
number a day, the mean of its best scores. Reciprocal ranks would be the other choice; they forget
distances, and Bruch, Gai and Ingber (TOIS 2023) find the weighted sum of scaled scores ahead of
them. The fused score is the weighted mean over all methods, a silent one counting 0: agreement is
worth more. But of an item that few users took, the silence of behaviour says nothing: there,
content speaks for a share of the silent weight (`content_trust`), the larger the fewer they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add, or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake.scratch import computed_once
from jobs.recall.fusion.diversity import MarginalRelevance
from jobs.recall.fusion.exposure import cap_exposure
from jobs.recall.fusion.reorder import reorder, save_similar
from jobs.recall.fusion.sharpening import Sharpening
from jobs.recall.kernels.ranking import exact_sum, top_k
from jobs.recall.settings import I2ISettings, UserRecallSettings

FILL_METHOD = "popular"
CONTENT = "content"
BEHAVIOR_METHODS = ("cooccurrence", "session", "slim", "swing")
_SUM_BITS = 32
# A list without any neighbor is filled with scores below this, one with neighbors below its last.
_FILL_CEILING = 0.1


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

    candidates: `group`, `item`, `source` string, score double > 0, at most one row for each of
    the three. weights: of every source, 0 switches it off; the mean is over the sum of all.
    unit: what a score is divided by, an expression or a window within `group`. carry: more columns,
    of each of which the largest value comes along.
    Returns `group`, `item` string, scores map<string,double> (scaled, by source), strongest string
    (the source with the largest weighted part, ties in name order), score double, and `carry`.
    """
    total_weight = float(sum(weights.values()))
    shares = {name: weight / total_weight for name, weight in sorted(weights.items()) if weight}
    # One shuffle, by group, serves a window, the grouping and the ranking that follows.
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


def fuse_neighbors(
    candidates: DataFrame,
    items: DataFrame,
    texts: DataFrame,
    popularity: DataFrame,
    settings: I2ISettings,
    scratch: str,
) -> DataFrame:
    """One list of neighbors for each item, full for every sellable item that has text.

    candidates: method, item_id, neighbor_item_id string, rank int, score double > 0, support long
    or null. items: item_id, title, category string, is_sellable boolean. texts: item_id string.
    popularity: item_id string, score double (users of the item lately). scratch: a folder that this
    process and the executors share; must live until the result is read.
    Returns item_id string, rank int, neighbor_item_id string, score double ≥ 0, methods
    array<string> in name order, method_scores map<string,double>, reason string. A score of 1 is
    the mean best score: of a method in method_scores, of all methods agreeing in score.
    Order: score descending, neighbor_item_id ascending.

    Items that are not sellable keep the neighbors that behaviour gives them, but nothing fills
    their lists. Lists are shorter only where fewer other sellable items exist.
    """
    sellable = items.where("is_sellable")
    best = best_neighbors(candidates, items, popularity, settings)
    # What fills the short lists has to know them.
    fused = computed_once(best, f"{scratch}/fused")
    wanting = texts.select("item_id").join(sellable, "item_id", "left_semi").distinct()
    fills = fill_neighbors(fused, wanting, sellable, popularity, settings.neighbors)
    named = items.select(F.col("item_id").alias("neighbor_item_id"), "title", "category")
    reason = neighbor_reason(F.col("scores"), F.col("support"), F.col("title"), F.col("category"))
    rows = fused.unionByName(fills, allowMissingColumns=True)
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
    of: DataFrame | None = None,
) -> DataFrame:
    """The lists of `fuse_neighbors` before anything fills them.

    candidates, items, popularity: as there. of: item_id string, the items whose lists are wanted;
    all without it. A list does not depend on which others are.
    Returns item_id, neighbor_item_id string, rank int, score double, scores map<string,double>,
    support long or null, and more columns of the fusion.
    """
    sellable = items.where("is_sellable").select(F.col("item_id").alias("neighbor_item_id"))
    allowed = candidates.where("item_id != neighbor_item_id").join(
        sellable, "neighbor_item_id", "left_semi"
    )
    if of is not None:
        allowed = allowed.join(F.broadcast(of.select("item_id")), "item_id", "left_semi")
    return _best_neighbors(allowed, _mean_best_scores(candidates), popularity, settings)


def _mean_best_scores(candidates: DataFrame) -> dict[str, float]:
    """The mean score of the first ranks of each method."""
    best = candidates.where(F.col("rank") == 1).groupBy("method")
    mean = exact_sum(F.col("score"), _SUM_BITS) / F.count("*")
    return {row["method"]: row["mean"] for row in best.agg(mean.alias("mean")).collect()}


def _best_neighbors(
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
        unit=_lookup(units, F.col("method"), default=1.0),
        carry=("support", "doubt"),
    ).withColumn("score", F.col("score") + _spoken_for(settings))
    return top_k(scored, ["item_id"], settings.neighbors, item="neighbor_item_id")


def _with_doubt(candidates: DataFrame, popularity: DataFrame, settings: I2ISettings) -> DataFrame:
    """The candidates with doubt, a double: of a neighbor by content how little the silence of
    behaviour means, s / (s + users of the item of both that fewer took); null of the others."""
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
    """What content adds to a score for the methods of behaviour that are silent."""
    total = sum(settings.weights.values())
    silent = reduce(
        add,
        (
            F.when(
                ~F.map_contains_key("scores", name), F.lit(settings.weights[name] / total)
            ).otherwise(F.lit(0.0))
            for name in BEHAVIOR_METHODS
        ),
    )
    said = F.lit(settings.content_trust) * F.col("scores")[CONTENT] * F.col("doubt") * silent
    return F.coalesce(said, F.lit(0.0))


def fill_neighbors(
    fused: DataFrame, wanting: DataFrame, sellable: DataFrame, popularity: DataFrame, k: int
) -> DataFrame:
    """Popular items for the lists that are shorter than k: of the item's category, then of all.

    fused: item_id, neighbor_item_id string, score double. wanting: item_id string, the items whose
    lists have to be full. sellable: item_id, category string. popularity: item_id string, score.
    Returns item_id, neighbor_item_id string, rank int that goes on after the list, scores
    map<string,double> {popular: share of the most popular}, score double below every score that
    the list has already. Order: score descending, neighbor_item_id ascending.
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
    # Of twice the length, the item itself and the neighbors it has still leave enough.
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


def neighbor_reason(scores: Column, support: Column, title: Column, category: Column) -> Column:
    """Why a neighbor is listed, in words: who chose both or one after the other, what it is like,
    or how it fills."""
    by_users = reduce(or_, (F.map_contains_key(scores, name) for name in BEHAVIOR_METHODS))
    together = F.when(
        by_users,
        F.concat(F.lit("chosen together by "), _users(support)),
    )
    after = F.when(F.map_contains_key(scores, "transition"), F.lit("users took it soon after"))
    alike = F.when(
        F.map_contains_key(scores, "content"),
        F.concat(F.lit("similar product: "), F.coalesce(title, F.lit("untitled"))),
    )
    described = F.when(
        F.map_contains_key(scores, "augmented"), F.lit("put together by a language model")
    )
    popular = F.when(
        F.map_contains_key(scores, FILL_METHOD),
        F.concat(F.lit("popular in "), F.coalesce(category, F.lit("the shop"))),
    )
    return F.concat_ws("; ", together, after, alike, described, popular)


def fuse_channels(
    candidates: DataFrame,
    items: DataFrame,
    users: DataFrame,
    popularity: DataFrame,
    neighbors: DataFrame,
    settings: UserRecallSettings,
    scratch: str,
) -> DataFrame:
    """One list for each active user, full whenever the channel `popular` is.

    candidates: channel, user_id, item_id string, score double > 0, because_item_id string or null.
    items: item_id, title string, is_sellable boolean. users: user_id string, the active users.
    popularity: item_id string, users_count long. neighbors: item_id, neighbor_item_id string, score
    double, methods array<string> (gold.i2i_daily), read only for sharpening and diversity. scratch:
    a folder that this process and the executors share; must live until the result is read.
    Returns user_id string, rank int, item_id string, score double in 0 to 1, channel string (the
    largest weighted part), channel_scores map<string,double>, because_item_id string or null,
    reason string. Order: score descending, item_id ascending.

    With a quota, a channel keeps its best rows up to it; rows beyond are taken only where the
    list would be short. With sharpening or diversity the score is the value of
    `jobs.recall.fusion.sharpening`, of `jobs.recall.fusion.diversity`, or of the second on top of
    the first. An item that stands in too many lists gives way as `jobs.recall.fusion.exposure`
    says.
    """
    allowed = candidates.join(users.select("user_id"), "user_id", "left_semi").join(
        items.where("is_sellable").select("item_id"), "item_id", "left_semi"
    )
    scored = weighted_scores(
        allowed,
        "user_id",
        "item_id",
        "channel",
        settings.weights,
        unit=F.max("score").over(Window.partitionBy("user_id", "channel")),
        carry=("because_item_id",),
    ).withColumn("score", F.least("score", F.lit(1.0)))
    offered = take_within_quotas(scored, settings)
    if settings.sharpening or settings.diversity:
        similar = neighbors.where(F.array_size(F.array_remove("methods", FILL_METHOD)) > 0)
        save_similar(similar, f"{scratch}/similar")
    if settings.sharpening:
        sharpened = Sharpening(settings.sharpening, settings.reordered)
        offered = reorder(offered, f"{scratch}/similar", sharpened)
    if settings.diversity:
        diverse = MarginalRelevance(settings.diversity, settings.reordered)
        offered = reorder(offered, f"{scratch}/similar", diverse)
    if settings.max_exposure < 1:
        offered = cap_exposure(
            offered, users, settings.items, settings.max_exposure, f"{scratch}/exposure"
        )
    best = top_k(offered, ["user_id"], settings.items, item="item_id")
    titles = items.select(
        F.col("item_id").alias("because_item_id"), F.col("title").alias("because_title")
    )
    counts = popularity.select("item_id", "users_count")
    return (
        best.join(titles, "because_item_id", "left")
        .join(counts, "item_id", "left")
        .select(
            "user_id",
            "rank",
            "item_id",
            "score",
            F.col("strongest").alias("channel"),
            F.col("scores").alias("channel_scores"),
            "because_item_id",
            user_reason(F.col("scores"), F.col("because_title"), F.col("users_count")).alias(
                "reason"
            ),
        )
    )


def take_within_quotas(scored: DataFrame, settings: UserRecallSettings) -> DataFrame:
    """The rows that may stand in a list: all within quotas, and what fills a list without them.

    scored: user_id, item_id, strongest string, score double. The same columns come back.
    """
    if not settings.quotas:
        return scored
    quota = _lookup(settings.quotas, F.col("strongest"), default=float("inf"))
    within_channel = Window.partitionBy("user_id", "strongest").orderBy(
        F.desc("score"), F.asc("item_id")
    )
    in_order = Window.partitionBy("user_id").orderBy("is_over", F.desc("score"), F.asc("item_id"))
    return (
        scored.withColumn("is_over", F.row_number().over(within_channel) > quota)
        .withColumn("choice", F.row_number().over(in_order))
        .where(~F.col("is_over") | (F.col("choice") <= settings.items))
        .drop("is_over", "choice")
    )


def user_reason(scores: Column, because_title: Column, users_count: Column) -> Column:
    """Why an item is recalled, in words, one clause for each channel that found it."""
    history = F.concat(F.lit("goes with your "), F.coalesce(because_title, F.lit("recent items")))
    popular = F.when(
        users_count > 0,
        F.concat(F.lit("popular with "), _users(users_count), F.lit(" lately")),
    ).otherwise(F.lit("popular"))
    clauses = {
        "repurchase": F.lit("you took it before"),
        "i2i": history,
        "similar_users": F.lit("users with a taste like yours took it"),
        "newcomer": F.lit("users like you take it more than others do"),
        "q2i": F.lit("fits what you may search for"),
        "product_names": F.lit("may be what you buy next"),
        "vector": F.lit("fits your interests"),
        "trending": F.lit("taken more than usual lately"),
        "new": F.lit("new in the shop"),
        "seasonal": F.lit("in season"),
        "popular": popular,
    }
    found = (F.when(F.map_contains_key(scores, name), said) for name, said in clauses.items())
    return F.concat_ws("; ", *found)


def _users(count: Column) -> Column:
    noun = F.when(count == 1, F.lit(" user")).otherwise(F.lit(" users"))
    return F.concat(count.cast("string"), noun)


def _most_popular(ranked: DataFrame, group: str, k: int) -> DataFrame:
    """The k most popular items of each group: `group`, neighbor_item_id, share of the first."""
    best = top_k(ranked, [group], k, item="item_id")
    most = F.max("score").over(Window.partitionBy(group))
    return best.select(
        group,
        F.col("item_id").alias("neighbor_item_id"),
        F.when(most > 0, F.col("score") / most).otherwise(F.lit(0.0)).alias("share"),
    )


def _lookup(values: Mapping[str, float], key: Column, default: float = 0) -> Column:
    """The value of `key` in a small mapping, `default` for any other key."""
    result = F.lit(default)
    for name, value in values.items():
        result = F.when(key == name, F.lit(value)).otherwise(result)
    return result
