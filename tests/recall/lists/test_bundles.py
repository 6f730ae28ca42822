"""Association rules: worked numbers, a brute-force oracle, and Spark's FP-growth as a second."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import combinations
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.ml.fpm import FPGrowth
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.lists.bundles import bundle_reason, item_bundles
from jobs.recall.settings.lists import BundleSettings
from tests.recall.shop import DS, interactions, items, rows_of

COLUMNS = (
    "rank",
    "rule_id",
    "antecedent",
    "consequent_item_id",
    "baskets_count",
    "users_count",
    "confidence",
    "lift",
    "score",
    "reason",
)
# Any rule that more than chance and more than one user stand behind.
ANY = {"min_baskets": 2, "min_support": 2, "min_confidence": 0.01, "min_lift": 1.05}
# (user, day): what they took; six baskets of three users.
BASKETS = {
    ("u", 0): "abc",
    ("u", 1): "ab",
    ("v", 0): "abc",
    ("v", 1): "ad",
    ("w", 0): "bc",
    ("w", 1): "d",
}
Baskets = dict[tuple[str, int], str]


def rows_in(baskets: Baskets) -> list[tuple]:
    return [(user, item, day) for (user, day), taken in baskets.items() for item in taken]


def bundles(
    spark: SparkSession,
    rows: list[tuple],
    folder: Path,
    unsellable: str = "",
    partitions: int = 1,
    **changes: float,
) -> list[tuple]:
    found = item_bundles(
        interactions(spark, rows).repartition(partitions),
        items(spark, [item for item in "abcde" if item not in unsellable], unsellable),
        DS,
        BundleSettings.model_validate(ANY | changes),
        Scratch(folder),
    )
    return [(*row[:2], tuple(row[2]), *row[3:]) for row in rows_of(found, *COLUMNS)]


def test_counts_confidence_lift_and_order_worked_by_hand(
    spark: SparkSession, tmp_path: Path
) -> None:
    # Of 6 baskets 4 hold a, 4 b, 3 c; 3 hold a and b, 3 b and c, 2 a and c, and these two b as
    # well. a and c are together as often as by chance: 2/4 of 3/6.
    found = bundles(spark, rows_in(BASKETS), tmp_path)
    expected = [
        (("b",), "c", 3, 3, 3 / 4, 3 / 4 / (3 / 6), 3 / sqrt(4 * 3)),
        (("c",), "b", 3, 3, 3 / 3, 3 / 3 / (4 / 6), 3 / sqrt(3 * 4)),
        (("a",), "b", 3, 2, 3 / 4, 3 / 4 / (4 / 6), 3 / 4),
        (("b",), "a", 3, 2, 3 / 4, 3 / 4 / (4 / 6), 3 / 4),
        (("a", "c"), "b", 2, 2, 2 / 2, 2 / 2 / (4 / 6), 2 / sqrt(2 * 4)),
        (("a", "b"), "c", 2, 2, 2 / 3, 2 / 3 / (3 / 6), 2 / 3),
    ]
    assert [row[2:6] for row in found] == [rule[:4] for rule in expected]
    assert [row[6:9] for row in found] == [pytest.approx(rule[4:]) for rule in expected]
    assert [row[:2] for row in found][3:5] == [(4, '["b"] => a'), (5, '["a","c"] => b')]
    assert [row[9] for row in found][4:] == [
        "100% of baskets with Product a and Product c also hold Product b, "
        "1.5 times as often as usual",
        "67% of baskets with Product a and Product b also hold Product c, "
        "1.3 times as often as usual",
    ]


def test_a_longer_list_is_cut_behind_the_best(spark: SparkSession, tmp_path: Path) -> None:
    found = bundles(spark, rows_in(BASKETS), tmp_path, rules=3)
    assert [row[:2] for row in found] == [(1, '["b"] => c'), (2, '["c"] => b'), (3, '["a"] => b')]


def test_rules_are_no_longer_than_asked(spark: SparkSession, tmp_path: Path) -> None:
    found = bundles(spark, rows_in(BASKETS), tmp_path, max_items=2)
    assert [row[2] for row in found] == [("b",), ("c",), ("a",), ("b",)]


def test_users_and_not_only_baskets_stand_behind_a_rule(
    spark: SparkSession, tmp_path: Path
) -> None:
    # u holds a and b every day; nobody else ever does
    rows = [("u", item, day) for day in range(5) for item in "ab"] + [("v", "c", 0)]
    assert bundles(spark, rows, tmp_path) == []
    assert len(bundles(spark, rows, tmp_path, min_support=1)) == 2


def test_a_consequent_can_be_sold_and_an_antecedent_need_not(
    spark: SparkSession, tmp_path: Path
) -> None:
    found = bundles(spark, rows_in(BASKETS), tmp_path, unsellable="b")
    assert [row[1] for row in found] == ['["b"] => c', '["b"] => a', '["a","b"] => c']


def test_returns_and_days_before_the_window_are_in_no_basket(
    spark: SparkSession, tmp_path: Path
) -> None:
    kept = [(user, item, day) for user in "uv" for item in "ab" for day in (0, 6)]
    others = [("w", "c", 0), *((user, "e", 0, -1.0) for user in "uv")]
    early = [(user, item, 7) for user in "uv" for item in "abde"]
    found = bundles(spark, kept + others + early, tmp_path, window_days=7)
    # 4 of 5 baskets hold both
    assert [row[1:7] for row in found] == [
        ('["a"] => b', ("a",), "b", 4, 2, 1.0),
        ('["b"] => a', ("b",), "a", 4, 2, 1.0),
    ]
    assert found[0][7] == pytest.approx(5 / 4)


def test_a_basket_with_too_many_items_is_no_basket(spark: SparkSession, tmp_path: Path) -> None:
    baskets = {("u", 0): "ab", ("v", 0): "ab", ("w", 0): "c", ("w", 1): "abcde"}
    found = bundles(spark, rows_in(baskets), tmp_path, max_basket_items=4)
    # 2 of 3 baskets hold a and b; the fourth does not count at all
    assert [(row[1], row[4], row[7]) for row in found] == [
        ('["a"] => b', 2, pytest.approx(3 / 2)),
        ('["b"] => a', 2, pytest.approx(3 / 2)),
    ]


def test_neither_order_nor_partitions_change_anything(spark: SparkSession, tmp_path: Path) -> None:
    rows = rows_in(BASKETS)
    found = bundles(spark, rows, tmp_path)
    assert found == bundles(spark, rows[::-1], tmp_path, partitions=5)


def test_without_interactions_there_is_no_rule(spark: SparkSession, tmp_path: Path) -> None:
    assert bundles(spark, [], tmp_path) == []


def brute_force(baskets: Baskets, limits: BundleSettings) -> list[tuple]:
    """The rules by counting every set in every basket: the columns up to score, best first."""
    holding: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for (user, _), taken in baskets.items():
        for size in range(1, limits.max_items + 1):
            for itemset in combinations(sorted(taken), size):
                holding[itemset].append(user)
    rules = []
    for itemset, users in holding.items():
        if len(users) < limits.min_baskets or len(set(users)) < limits.min_support:
            continue
        for item in itemset if len(itemset) > 1 else ():
            antecedent = tuple(other for other in itemset if other != item)
            of_antecedent, of_item = len(holding[antecedent]), len(holding[item,])
            confidence = len(users) / of_antecedent
            lift = confidence / (of_item / len(baskets))
            if confidence >= limits.min_confidence and lift >= limits.min_lift:
                rule_id = f"{json.dumps(antecedent, separators=(',', ':'))} => {item}"
                score = len(users) / sqrt(of_antecedent * of_item)
                counts = (len(users), len(set(users)))
                rules.append((rule_id, antecedent, item, *counts, confidence, lift, score))
    rules.sort(key=lambda rule: (-rule[-1], rule[0]))
    return [(rank, *rule) for rank, rule in enumerate(rules[: limits.rules], start=1)]


some_baskets = st.dictionaries(
    st.tuples(st.sampled_from("uvwx"), st.integers(0, 5)),
    st.sets(st.sampled_from("abcde"), min_size=1).map("".join),
    min_size=6,
)


@settings(deadline=None, max_examples=10)
@given(some_baskets, st.integers(2, 4), st.integers(1, 3), st.integers(1, 2))
def test_rules_equal_those_by_brute_force(
    spark: SparkSession, baskets: Baskets, max_items: int, min_baskets: int, min_support: int
) -> None:
    changes = {"max_items": max_items, "min_baskets": min_baskets, "min_support": min_support}
    expected = brute_force(baskets, BundleSettings.model_validate(ANY | changes | {"rules": 40}))
    with TemporaryDirectory() as folder:
        found = bundles(spark, rows_in(baskets), Path(folder), rules=40, **changes)
    assert [row[:9] for row in found] == expected


def test_sparks_fp_growth_finds_the_same_rules(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame([(list(taken),) for taken in BASKETS.values()], ["items"])
    model = FPGrowth(minSupport=2 / 6, minConfidence=0.01).fit(frame)
    theirs = {
        (tuple(sorted(row["antecedent"])), row["consequent"][0]): (row["confidence"], row["lift"])
        for row in model.associationRules.collect()
        if row["lift"] >= ANY["min_lift"]
    }
    ours = bundles(spark, rows_in(BASKETS), tmp_path, min_support=1)
    assert {(row[2], row[3]): row[6:8] for row in ours} == {
        rule: pytest.approx(values) for rule, values in theirs.items()
    }


def test_a_reason_lists_the_antecedent_as_a_sentence_does(spark: SparkSession) -> None:
    rows = [(["A"], "D"), (["A", "B"], None), (["A", "B", "C"], "D")]
    frame = spark.createDataFrame(rows, "antecedent array<string>, consequent string")
    reason = bundle_reason(
        F.col("antecedent"), F.col("consequent"), F.lit(0.384), F.lit(4.16)
    ).alias("reason")
    assert [row["reason"] for row in frame.select(reason).collect()] == [
        "38% of baskets with A also hold D, 4.2 times as often as usual",
        "38% of baskets with A and B also hold untitled, 4.2 times as often as usual",
        "38% of baskets with A, B and C also hold D, 4.2 times as often as usual",
    ]
