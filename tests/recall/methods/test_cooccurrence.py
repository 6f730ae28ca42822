"""Co-occurrence: worked numbers, a brute-force oracle, and two physical plans with one result."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.kernels.matrix import matrix_entries, matrix_in_memory
from jobs.recall.kernels.strength import aged
from jobs.recall.methods.cooccurrence import (
    capped_strengths,
    cooccurrence_neighbors,
    neighbors_by_shuffle,
    neighbors_in_tasks,
)
from jobs.recall.sources.methods import CooccurrenceSettings
from tests.recall.shop import interactions, items, rows_of, since_last

COLUMNS = ("item_id", "rank", "neighbor_item_id", "score", "support")
NO_DECAY = 1e12


def neighbors(
    spark: SparkSession,
    rows: list[tuple],
    catalogue: DataFrame,
    settings: CooccurrenceSettings,
    scratch: Path,
) -> list[tuple]:
    found = cooccurrence_neighbors(interactions(spark, rows), catalogue, settings, Scratch(scratch))
    return rows_of(found, *COLUMNS)


def test_a_score_worked_by_hand(spark: SparkSession, tmp_path: Path) -> None:
    # Every strength is 1 / (1 + 1) = 1/2. u has 2 items and v has 3; a has 3 users and b has 2.
    # score(a → b) = ½·½·(2^-½ + 3^-½) · 3^-0.8 · 2^-0.2, and a ← b with 3 and 2 exchanged.
    # c is shared by v alone, below the support of 2.
    rows = [
        ("u", "a", 0),
        ("u", "b", 0),
        ("v", "a", 0),
        ("v", "b", 0),
        ("v", "c", 0),
        ("w", "a", 0),
    ]
    # Two users are one beside the first: (2 - 1) / (2 - 1 + 3) = 1/4.
    settings = CooccurrenceSettings(
        user_exponent=0.5, item_exponent=0.8, neighbor_exponent=0.2, shrinkage=3
    )
    shared = 0.25 * (2**-0.5 + 3**-0.5)
    found = neighbors(spark, rows, items(spark, "abc"), settings, tmp_path)
    assert [(i, r, n, s) for i, r, n, _, s in found] == [("a", 1, "b", 2), ("b", 1, "a", 2)]
    assert [score for *_, score, _ in found] == pytest.approx(
        [shared * 3**-0.8 * 2**-0.2 / 4, shared * 2**-0.8 * 3**-0.2 / 4], rel=1e-6
    )


def random_rows(seed: int) -> list[tuple]:
    """9 users and 8 items, with repeats, ties and one user who took everything."""
    draw = random.Random(seed)
    rows = [
        (f"u{draw.randrange(9)}", f"i{draw.randrange(8)}", draw.choice([0, 0, 30]))
        for _ in range(60)
    ]
    return rows + [("hot", f"i{n}", 0, 1.0) for n in range(8)]


def brute_force(
    rows: list[tuple], sellable: set[str], settings: CooccurrenceSettings
) -> dict[tuple[str, str], tuple[float, int]]:
    """(item, neighbor) → (score, support), by loops over users; no history is capped."""
    weight: dict[tuple[str, str], float] = defaultdict(float)
    for user, item, days_ago, *_ in since_last(rows):
        weight[user, item] += 0.5 ** (days_ago / settings.half_life_days)
    strength = {pair: x / (x + settings.saturation) for pair, x in weight.items()}
    user_items = Counter(user for user, _ in strength)
    item_users = Counter(item for _, item in strength)
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for item in item_users:
        for neighbor in item_users.keys() & sellable - {item}:
            users = [u for u in user_items if {(u, item), (u, neighbor)} <= strength.keys()]
            if len(users) >= settings.min_support:
                total = sum(
                    strength[u, item]
                    * strength[u, neighbor]
                    * user_items[u] ** -settings.user_exponent
                    for u in users
                )
                total *= item_users[item] ** -settings.item_exponent
                total *= item_users[neighbor] ** -settings.neighbor_exponent
                if settings.shrinkage:
                    total *= (len(users) - 1) / (len(users) - 1 + settings.shrinkage)
                found[item, neighbor] = (total, len(users))
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_both_plans_give_the_same_bits_and_what_brute_force_gives(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    rows = random_rows(seed)
    catalogue = items(spark, ["i0", "i1", "i2", "i3", "i4", "i5"], unsellable=["i6", "i7"])
    settings = CooccurrenceSettings(
        half_life_days=30, item_exponent=0.7, neighbor_exponent=0.3, block_products=6_000
    )
    strengths = capped_strengths(aged(interactions(spark, rows)), settings)
    sellable = catalogue.where("is_sellable").select("item_id")
    entries, _ = matrix_entries(strengths, sellable, settings)
    matrix, _ = matrix_in_memory(
        spark, strengths.toArrow(), sellable.toArrow()["item_id"], settings
    )
    in_tasks = rows_of(neighbors_in_tasks(spark, matrix, settings, Scratch(tmp_path)), *COLUMNS)
    assert in_tasks == rows_of(neighbors_by_shuffle(entries, settings), *COLUMNS)

    expected = brute_force(rows, {f"i{n}" for n in range(6)}, settings)
    assert len(expected) > 20
    assert {(i, n): s for i, _, n, _, s in in_tasks} == {k: s for k, (_, s) in expected.items()}
    assert {(i, n): score for i, _, n, score, _ in in_tasks} == pytest.approx(
        {k: score for k, (score, _) in expected.items()}, rel=1e-5
    )
    for (item, rank, _, score, _), (below, next_rank, _, next_score, _) in pairwise(in_tasks):
        if item == below:
            assert next_rank == rank + 1
            assert next_score <= score


def test_both_plans_cut_a_tie_at_the_smaller_id(spark: SparkSession, tmp_path: Path) -> None:
    # Two users took the same five items on the same day, so all 20 pairs score alike.
    rows = [(user, item, 0) for user in "uv" for item in "abcde"]
    settings = CooccurrenceSettings(neighbors=2)
    strengths = capped_strengths(aged(interactions(spark, rows)), settings)
    entries, _ = matrix_entries(strengths, None, settings)
    matrix, _ = matrix_in_memory(spark, strengths.toArrow(), None, settings)
    wanted = ["b", "c", "a", "c", "a", "b", "a", "b", "a", "b"]
    for plan in (
        neighbors_in_tasks(spark, matrix, settings, Scratch(tmp_path)),
        neighbors_by_shuffle(entries, settings),
    ):
        found = rows_of(plan, "item_id", "rank", "neighbor_item_id")
        assert [neighbor for _, _, neighbor in found] == wanted


def test_a_matrix_beyond_the_limit_is_shuffled_to_the_same_rows(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = random_rows(3)
    catalogue = items(spark, [f"i{n}" for n in range(8)])
    product = "*/item_ids.arrow"
    beyond = neighbors(spark, rows, catalogue, CooccurrenceSettings(max_matrix_entries=0), tmp_path)
    assert not list(tmp_path.glob(product))
    within = neighbors(spark, rows, catalogue, CooccurrenceSettings(), tmp_path)
    assert list(tmp_path.glob(product))
    assert within == beyond


def test_only_the_newest_items_of_a_long_history_count(spark: SparkSession, tmp_path: Path) -> None:
    rows = [("u", "old", 9), ("v", "old", 9)]
    rows += [(user, item, 0) for user in "uv" for item in "ab"]
    settings = CooccurrenceSettings(history_length=2)
    found = neighbors(spark, rows, items(spark, ["a", "b", "old"]), settings, tmp_path)
    assert {(item, neighbor) for item, _, neighbor, _, _ in found} == {("a", "b"), ("b", "a")}


def test_an_item_that_is_not_sellable_has_neighbors_but_is_none(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [(user, item, 0) for user in "uv" for item in ("a", "b", "gone", "unknown")]
    catalogue = items(spark, "ab", unsellable=["gone"])
    found = neighbors(spark, rows, catalogue, CooccurrenceSettings(), tmp_path)
    listed = defaultdict(set)
    for item, _, neighbor, _, _ in found:
        listed[item].add(neighbor)
    assert listed == {"a": {"b"}, "b": {"a"}, "gone": {"a", "b"}, "unknown": {"a", "b"}}


def test_symmetric_exponents_without_decay_are_the_cosine(
    spark: SparkSession, tmp_path: Path
) -> None:
    # With strengths all 1/2, four times the score is the cosine of the user sets:
    # |a ∩ b| / sqrt(|a|·|b|) = 2 / sqrt(2·3).
    rows = [("u", "a", 0), ("v", "a", 9), ("u", "b", 0), ("v", "b", 30), ("w", "b", 0)]
    settings = CooccurrenceSettings(
        half_life_days=NO_DECAY,
        user_exponent=0,
        item_exponent=0.5,
        neighbor_exponent=0.5,
        shrinkage=0,
    )
    found = neighbors(spark, rows, items(spark, "ab"), settings, tmp_path)
    assert [4 * score for _, _, _, score, _ in found] == pytest.approx([2 / 6**0.5] * 2, rel=1e-6)
