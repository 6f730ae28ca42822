"""SLIM: worked numbers, a dense solver as oracle, and two physical plans with one result."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from scipy.optimize import nnls

from jobs.lake.scratch import Scratch
from jobs.recall.methods.slim import slim_neighbors
from jobs.recall.sources.methods import SlimSettings
from tests.recall.shop import interactions, items, rows_of, since_last

COLUMNS = ("item_id", "rank", "neighbor_item_id", "score", "support")
# Entries of the matrix up to which it is held in memory: by tasks, by a shuffle.
PLANS = {"in tasks": 10**6, "by a shuffle": 0}


def neighbors(
    spark: SparkSession,
    rows: list[tuple],
    sellable: list[str],
    settings: SlimSettings,
    folder: Path,
) -> list[tuple]:
    catalogue = items(spark, sellable)
    found = slim_neighbors(interactions(spark, rows), catalogue, settings, Scratch(folder))
    return rows_of(found, *COLUMNS)


@pytest.mark.parametrize("limit", PLANS.values(), ids=PLANS)
def test_weights_worked_by_hand(spark: SparkSession, tmp_path: Path, limit: int) -> None:
    # Every strength is 1 / (1 + 1) = 1/2, so every square 1/4; u and v took a and b, w took a
    # alone. With a penalty of one user: b by a is (2 · 1/4) / (3 · 1/4 + 1/4) = 1/2, a by b is
    # (2 · 1/4) / (2 · 1/4 + 1/4) = 2/3.
    rows = [("u", "a", 0), ("u", "b", 0), ("v", "a", 0), ("v", "b", 0), ("w", "a", 0)]
    settings = SlimSettings(penalty=1, user_exponent=0, max_matrix_entries=limit)
    assert neighbors(spark, rows, ["a", "b"], settings, tmp_path) == [
        ("a", 1, "b", pytest.approx(1 / 2), 2),
        ("b", 1, "a", pytest.approx(2 / 3), 2),
    ]


def test_what_another_item_explains_counts_no_more(spark: SparkSession, tmp_path: Path) -> None:
    # Whoever takes c took b, and whoever takes b took a: c owes its users to b, and a says nothing
    # more, though by users in common a is as near to c as b is. Without a penalty c is 4/6 of b and
    # nothing of a; with one of 0.04 users the two equations differ by (9 - 6 + p) · a = p · b, the
    # sum of whole steps of the descent is within a percent of that.
    rows = [(f"u{n}", "a", 0) for n in range(9)]
    rows += [(f"u{n}", "b", 0) for n in range(6)] + [(f"u{n}", "c", 0) for n in range(4)]
    found = neighbors(spark, rows, ["c"], SlimSettings(penalty=0.04, user_exponent=0), tmp_path)
    weights = {item: score for item, _, _, score, _ in found}
    assert {row[4] for row in found} == {4}
    assert weights["b"] == pytest.approx(2 / 3, rel=0.05)
    assert weights["a"] < 0.05 * weights["b"]


def random_rows(seed: int) -> list[tuple]:
    draw = random.Random(seed)
    rows = [
        (f"u{draw.randrange(20)}", f"i{draw.randrange(10)}", draw.choice([0, 0, 30]))
        for _ in range(120)
    ]
    return rows + [("hot", f"i{n}", 0) for n in range(10)]


def dense_weights(rows: list[tuple], settings: SlimSettings) -> dict[tuple[str, str], float]:
    """(item, neighbor) → weight, by scipy's solver; every other item is a candidate."""
    users = sorted({user for user, *_ in rows})
    names = sorted({item for _, item, _ in rows})
    weight = np.zeros((len(users), len(names)))
    for user, item, days_ago in since_last(rows):
        weight[users.index(user), names.index(item)] += 0.5 ** (days_ago / settings.half_life_days)
    strength = weight / (weight + settings.saturation)
    strength *= (strength > 0).sum(axis=1, keepdims=True) ** -settings.user_exponent
    penalty = settings.penalty * np.mean(strength[strength > 0] ** 2)
    found = {}
    for target, name in enumerate(names):
        others = [n for n in range(len(names)) if n != target]
        # ridge as rows of its own: |Ax - b|² + penalty · |x|²
        system = np.vstack([strength[:, others], np.sqrt(penalty) * np.eye(len(others))])
        solution, _ = nnls(system, np.append(strength[:, target], np.zeros(len(others))))
        found.update({(names[o], name): w for o, w in zip(others, solution, strict=True) if w > 0})
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_both_plans_give_the_same_bits_and_what_a_dense_solver_gives(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    rows, names = random_rows(seed), [f"i{n}" for n in range(10)]
    settings = SlimSettings(penalty=3, user_exponent=0.25, min_support=1, block_products=6_000)
    in_tasks = neighbors(spark, rows, names, settings, tmp_path)
    beyond = settings.model_copy(update={"max_matrix_entries": 0})
    assert in_tasks == neighbors(spark, rows, names, beyond, tmp_path)
    expected = dense_weights(rows, settings)
    assert len(expected) > 20
    weights = {(item, neighbor): score for item, _, neighbor, score, _ in in_tasks}
    pairs = weights | expected
    assert {pair: weights.get(pair, 0) for pair in pairs} == pytest.approx(
        {pair: expected.get(pair, 0) for pair in pairs}, rel=1e-4, abs=1e-5
    )


def test_only_the_nearest_are_candidates_and_lists_are_cut(
    spark: SparkSession, tmp_path: Path
) -> None:
    settings = SlimSettings(candidates=3, neighbors=2, min_support=1)
    names = [f"i{n}" for n in range(10)]
    for limit in PLANS.values():
        cut = settings.model_copy(update={"max_matrix_entries": limit})
        found = neighbors(spark, random_rows(3), names, cut, tmp_path)
        targets = [neighbor for _, _, neighbor, _, _ in found]
        assert max(targets.count(name) for name in names) <= 3
        assert {rank for _, rank, *_ in found} == {1, 2}


def test_an_item_that_is_not_sellable_has_neighbors_but_is_none(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [("u", "a", 0), ("u", "b", 0), ("v", "a", 0), ("v", "b", 0)]
    found = neighbors(spark, rows, ["a"], SlimSettings(), tmp_path)
    assert [(item, neighbor) for item, _, neighbor, _, _ in found] == [("b", "a")]


def test_without_interactions_there_are_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    for limit in PLANS.values():
        settings = SlimSettings(max_matrix_entries=limit)
        assert neighbors(spark, [], ["a"], settings, tmp_path) == []
