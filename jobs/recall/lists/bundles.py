"""Association rules: baskets with some items also hold another item.

    confidence(A → c) = baskets(A ∪ c) / baskets(A)
    lift(A → c)       = confidence(A → c) / (baskets(c) / all baskets)
    score(A → c)      = baskets(A ∪ c) / √(baskets(A) · baskets(c))

A basket is a session (`jobs.recall.kernels.sessions`), baskets(X) are those that hold all items of
X. Lift alone ranks the rarest sets first, and confidence alone the best sellers. So rules are
ranked by the cosine of both sides, √(lift · share of all baskets), which needs both to be high.

Itemsets are found level by level (Apriori; Agrawal and Srikant, VLDB 1994): a set can only be
frequent, in baskets and in users, if each of its parts is. Spark's FPGrowth finds the same sets,
but neither counts users nor stops at a length (docs/decisions/0010-item-bundles.md). All numbers
are counts and quotients of counts, so they do not depend on the number of partitions.
"""

from __future__ import annotations

from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.kernels.ranking import top_k
from jobs.recall.kernels.sessions import with_sessions
from jobs.recall.settings.lists import BundleSettings


def item_bundles(
    interactions: DataFrame,
    items: DataFrame,
    ds: date,
    settings: BundleSettings,
    scratch: Scratch,
) -> DataFrame:
    """The best rules whose consequent can be sold.

    interactions: user_id, item_id string, event_ts timestamp, event_date date ≤ ds, weight double,
    session_id string or null. items: item_id, title string, is_sellable boolean. scratch: a folder
    that this process and the executors share; must live until the result is read.
    Returns rule_id string, rank int from 1, antecedent array<string> (ascending),
    consequent_item_id string, baskets_count long and users_count long (that hold antecedent and
    consequent), confidence double in (0, 1], lift double, score double in (0, 1], reason string.
    Order: score descending, then rule_id ascending; at most `settings.rules` rows.
    """
    baskets = scratch.once(baskets_of(interactions, ds, settings))
    itemsets = frequent_itemsets(baskets, settings, scratch)
    sellable = items.where("is_sellable").select(F.col("item_id").alias("consequent_item_id"))
    rules = rules_of(itemsets, baskets.count(), settings).join(
        sellable, "consequent_item_id", "left_semi"
    )
    return with_reasons(best_rules(rules, settings.rules), items)


def baskets_of(interactions: DataFrame, ds: date, settings: BundleSettings) -> DataFrame:
    """The distinct items of each session of the window, except sessions with too many items.

    Returns owner_id, basket_id string, items array<string>, a row for each basket. A session with
    more than `max_basket_items` is left out whole: the pairs of a basket grow with the square of
    its items, and so large a basket says little about which items go together.
    """
    first_day = F.date_sub(F.lit(ds), settings.window_days - 1)
    taken = interactions.where((F.col("event_date") >= first_day) & (F.col("weight") > 0))
    return (
        with_sessions(taken, settings.gap_minutes)
        .groupBy("owner_id", F.col("user_id").alias("basket_id"))
        .agg(F.collect_set("item_id").alias("items"))
        .where(F.size("items") <= settings.max_basket_items)
    )


def frequent_itemsets(baskets: DataFrame, settings: BundleSettings, scratch: Scratch) -> DataFrame:
    """The sets of up to `max_items` items that enough baskets of enough users hold.

    baskets: as `baskets_of` returns them, read several times.
    Returns itemset array<string> (ascending), baskets_count long, users_count long.
    """
    # A user's baskets lie side by side, so that counting by user needs no shuffle.
    of_users = baskets.repartition("owner_id").withColumn("item_1", F.explode("items"))
    found = [scratch.once(_frequent(of_users, ["item_1"], settings))]
    common = (
        of_users.join(found[0], "item_1", "left_semi")
        .groupBy("owner_id", "basket_id")
        .agg(F.sort_array(F.collect_list("item_1")).alias("items"))
    )
    held = scratch.once(common).repartition("owner_id")
    held = held.withColumn("item_1", F.explode("items"))
    members = ["item_1"]
    for size in range(2, settings.max_items + 1):
        one_more = f"item_{size}"
        held = held.withColumn(one_more, F.explode(_later_items(members[-1])))
        members = [*members, one_more]
        found.append(scratch.once(_frequent(held, members, settings)))
        held = held.join(found[-1], members, "left_semi")
    itemsets = [
        frequent.select(F.array(*members[:size]).alias("itemset"), "baskets_count", "users_count")
        for size, frequent in enumerate(found, start=1)
    ]
    return reduce(DataFrame.unionByName, itemsets)


def _later_items(last: str) -> Column:
    """The elements of `items` that come after the column `last`."""
    return F.filter("items", lambda item: item > F.col(last))


def _frequent(held: DataFrame, members: list[str], settings: BundleSettings) -> DataFrame:
    """The sets that enough baskets of enough users hold: members, baskets_count, users_count.

    held: owner_id and the columns `members` string, a row for each set of a basket.
    """
    return (
        held.groupBy("owner_id", *members)
        .agg(F.count("*").alias("baskets"))
        .groupBy(*members)
        .agg(F.sum("baskets").alias("baskets_count"), F.count("*").alias("users_count"))
        .where(
            (F.col("baskets_count") >= settings.min_baskets)
            & (F.col("users_count") >= settings.min_support)
        )
    )


def rules_of(itemsets: DataFrame, all_baskets: int, settings: BundleSettings) -> DataFrame:
    """Every rule with one consequent and enough confidence and lift.

    itemsets: as `frequent_itemsets` returns them, with all parts of each; read several times.
    Returns the columns of `item_bundles` except rank and reason.
    """
    antecedents = itemsets.select(
        F.col("itemset").alias("antecedent"), F.col("baskets_count").alias("antecedent_baskets")
    )
    consequents = itemsets.where(F.size("itemset") == 1).select(
        F.col("itemset")[0].alias("consequent_item_id"),
        F.col("baskets_count").alias("consequent_baskets"),
    )
    split = (
        itemsets.where(F.size("itemset") > 1)
        .select("*", F.explode("itemset").alias("consequent_item_id"))
        .withColumn("antecedent", F.array_except("itemset", F.array("consequent_item_id")))
    )
    confidence = F.col("baskets_count") / F.col("antecedent_baskets")
    lift = F.col("confidence") / (F.col("consequent_baskets") / F.lit(float(all_baskets)))
    cosine = F.col("baskets_count") / F.sqrt(
        F.col("antecedent_baskets").cast("double") * F.col("consequent_baskets")
    )
    return (
        split.join(antecedents, "antecedent")
        .join(consequents, "consequent_item_id")
        .withColumn("confidence", confidence)
        .withColumn("lift", lift)
        .where(
            (F.col("confidence") >= settings.min_confidence) & (F.col("lift") >= settings.min_lift)
        )
        .select(
            F.concat(F.to_json("antecedent"), F.lit(" => "), "consequent_item_id").alias("rule_id"),
            "antecedent",
            "consequent_item_id",
            "baskets_count",
            "users_count",
            "confidence",
            "lift",
            cosine.alias("score"),
        )
    )


def best_rules(rules: DataFrame, length: int) -> DataFrame:
    """The `length` best rules, with their rank.

    rules: as `rules_of` returns them.
    """
    best = rules.orderBy(F.desc("score"), F.asc("rule_id")).limit(length)
    everywhere = best.withColumn("everywhere", F.lit(True))
    return top_k(everywhere, ["everywhere"], length, item="rule_id").drop("everywhere")


def with_reasons(rules: DataFrame, items: DataFrame) -> DataFrame:
    """The same rules with a column reason string.

    rules: rule_id string, antecedent array<string>, consequent_item_id string, confidence double,
    lift double, and any others. items: item_id, title string.
    """
    titles = items.select("item_id", "title")
    titled = F.struct("place", _named(F.col("title")).alias("title"))
    antecedents = (
        rules.select("*", F.posexplode("antecedent").alias("place", "item_id"))
        .join(titles, "item_id", "left")
        .groupBy(*rules.columns)
        .agg(F.sort_array(F.collect_list(titled))["title"].alias("antecedent_titles"))
    )
    consequents = titles.withColumnRenamed("item_id", "consequent_item_id")
    reason = bundle_reason(
        F.col("antecedent_titles"), F.col("title"), F.col("confidence"), F.col("lift")
    )
    return antecedents.join(consequents, "consequent_item_id", "left").select(
        *rules.columns, reason.alias("reason")
    )


def bundle_reason(
    antecedent: Column, consequent: Column, confidence: Column, lift: Column
) -> Column:
    """The rule in words: `38% of baskets with A and B also hold C, 4.2 times as often as usual`.

    antecedent: array of titles, at least one. consequent: a title or null.
    """
    last = F.element_at(antecedent, -1)
    others = F.array_join(F.slice(antecedent, 1, F.size(antecedent) - 1), ", ")
    listed = F.when(F.size(antecedent) == 1, last).otherwise(F.concat(others, F.lit(" and "), last))
    return F.concat(
        F.format_string("%.0f%% of baskets with ", confidence * 100),
        listed,
        F.lit(" also hold "),
        _named(consequent),
        F.format_string(", %.1f times as often as usual", lift),
    )


def _named(title: Column) -> Column:
    return F.coalesce(title, F.lit("untitled"))
