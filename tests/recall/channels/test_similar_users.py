"""Similar users: worked numbers, a brute-force oracle, and two physical plans with one result."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.channels.similar_users import recall_by_similar_users
from jobs.recall.sources.channels import SimilarUsersSettings
from tests.recall.shop import DS, interactions, items, rows_of, since_last

COLUMNS = ("user_id", "rank", "item_id", "score", "because_item_id")
PLANS = {"in tasks": 10**6, "by a shuffle": 0}


def recall(
    spark: SparkSession,
    rows: list[tuple],
    sellable: list[str],
    active: list[str],
    folder: Path,
    **settings: float,
) -> list[tuple]:
    found = recall_by_similar_users(
        interactions(spark, rows),
        items(spark, sellable),
        spark.createDataFrame([(user,) for user in active], "user_id string"),
        DS,
        SimilarUsersSettings(**settings),
        Scratch(folder),
    )
    return rows_of(found, *COLUMNS)


@pytest.mark.parametrize("limit", PLANS.values(), ids=PLANS)
def test_a_score_worked_by_hand(spark: SparkSession, tmp_path: Path, limit: int) -> None:
    # Every strength is 1/2. u and v share a and b, each with 2 users; v has 4 items.
    # sim(u, v) = 2 · (1/4 · 2^-½) · 4^-0.7, and of c, with 2 users, score = sim · 1/2 · 2^-0.2.
    # d has one user only. v learns nothing new, w has one item in common with v and so is like
    # nobody when it takes two.
    rows = [("u", "a", 0), ("u", "b", 0), *(("v", item, 0) for item in "abcd"), ("w", "c", 0)]
    settings = {"max_matrix_entries": limit, "min_common_items": 2}
    found = recall(spark, rows, list("abcd"), ["u", "v", "w"], tmp_path, **settings)
    score = 2 * 0.25 * 2**-0.5 * 4**-0.7 * 0.5 * 2**-0.2
    assert found == [("u", 1, "c", pytest.approx(score, rel=1e-5), None)]


def test_one_item_in_common_is_enough_unless_more_is_asked(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [("u", "a", 0), ("v", "a", 0), ("v", "b", 0), ("x", "b", 0)]
    for items_in_common, found in ((1, [("u", "b")]), (2, [])):
        lists = recall(spark, rows, ["a", "b"], ["u"], tmp_path, min_common_items=items_in_common)
        assert [(user, item) for user, _, item, *_ in lists] == found


def random_rows(seed: int) -> list[tuple]:
    draw = random.Random(seed)
    # Users and items with the same names, which must not be taken for each other.
    return [
        (f"{draw.randrange(12)}", f"{draw.randrange(9)}", draw.choice([0, 9])) for _ in range(70)
    ]


def brute_force(
    rows: list[tuple], sellable: list[str], settings: SimilarUsersSettings
) -> dict[tuple[str, str], float]:
    weight: dict[tuple[str, str], float] = defaultdict(float)
    for user, item, days_ago in since_last(rows):
        weight[user, item] += 0.5 ** (days_ago / settings.half_life_days)
    strength = {pair: x / (x + settings.saturation) for pair, x in weight.items()}
    items_of, users_of = defaultdict(set), defaultdict(set)
    for user, item in strength:
        items_of[user].add(item)
        users_of[item].add(user)
    seen = {(user, item) for user, item, days in rows if days < settings.exclude_seen_days}
    found: dict[tuple[str, str], float] = defaultdict(float)
    for user in items_of:
        for other in items_of.keys() - {user}:
            common = items_of[user] & items_of[other]
            if len(common) < settings.min_common_items:
                continue
            likeness = (
                sum(
                    strength[user, i]
                    * strength[other, i]
                    * len(users_of[i]) ** -settings.likeness_exponent
                    for i in common
                )
                * len(items_of[other]) ** -settings.user_exponent
            )
            for item in items_of[other] & set(sellable):
                if (user, item) not in seen and len(users_of[item]) >= settings.min_item_users:
                    found[user, item] += (
                        likeness
                        * strength[other, item]
                        * len(users_of[item]) ** -settings.popularity_exponent
                    )
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_both_plans_give_the_same_bits_and_what_brute_force_gives(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    rows, sellable = random_rows(seed), [str(n) for n in range(7)]
    active = [str(n) for n in range(12)]
    options = {"block_products": 6_000, "half_life_days": 10}
    settings = SimilarUsersSettings(**options)
    in_tasks = recall(spark, rows, sellable, active, tmp_path, **options)
    assert in_tasks == recall(
        spark, rows, sellable, active, tmp_path, max_matrix_entries=0, **options
    )
    expected = brute_force(rows, sellable, settings)
    assert len(expected) > 20
    assert {(u, i): s for u, _, i, s, _ in in_tasks} == pytest.approx(expected, rel=1e-4)


def test_only_active_users_get_lists_and_only_the_nearest_are_heard(
    spark: SparkSession, tmp_path: Path
) -> None:
    # v has a and b in common with u, w three items: of one similar user, u hears w alone.
    rows = [("u", i, 0) for i in "abc"] + [("v", i, 0) for i in "abx"]
    rows += [("w", i, 0) for i in "abcy"]
    only = {"users": 1, "min_item_users": 1}
    for limit in PLANS.values():
        found = recall(
            spark, rows, list("abcxy"), ["u"], tmp_path, max_matrix_entries=limit, **only
        )
        assert [row[:3] for row in found] == [("u", 1, "y")]
