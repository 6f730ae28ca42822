"""Swing: worked numbers, a brute-force oracle, and two physical plans with one result."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.kernels.sparse_product import NEIGHBOR_SCHEMA
from jobs.recall.kernels.strength import aged
from jobs.recall.methods.cooccurrence import capped_strengths
from jobs.recall.methods.swing import (
    TERM_SCALE,
    Histories,
    swing_by_shuffle,
    swing_entries,
    swing_in_tasks,
    swing_neighbors,
)
from jobs.recall.sources.methods import SwingSettings
from tests.recall.shop import interactions, items, rows_of

COLUMNS = ("item_id", "rank", "neighbor_item_id", "score", "support")
# Entries of the matrix up to which it is held in memory: by tasks, by a shuffle.
PLANS = {"in tasks": 10**6, "by a shuffle": 0}
# user_id, item_id, strength, weight, is_heard, item_scale, neighbor_scale
Entry = tuple[str, str, float, float, bool, float, float | None]
PAPER = {"user_exponent": 0.5, "item_exponent": 0, "neighbor_exponent": 0}

SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("strength", pa.float64()),
        pa.field("weight", pa.float64()),
        pa.field("is_heard", pa.bool_()),
        pa.field("item_scale", pa.float64()),
        pa.field("neighbor_scale", pa.float64()),
    ]
)


def neighbors(
    spark: SparkSession,
    rows: list[tuple],
    sellable: Iterable[str],
    settings: SwingSettings,
    folder: Path,
) -> list[tuple]:
    catalogue = items(spark, sellable)
    found = swing_neighbors(interactions(spark, rows), catalogue, settings, Scratch(folder))
    return rows_of(found, *COLUMNS)


@pytest.mark.parametrize("limit", PLANS.values(), ids=PLANS)
def test_scores_worked_by_hand(spark: SparkSession, tmp_path: Path, limit: int) -> None:
    # Every strength is 1 / (1 + 1) = 1/2. u has 2 items, v and w have 3; x and y say nothing: one
    # has a single item, the other one that nobody else took. With α = 1:
    # a → b: (u, v) and (u, w) share 2 items, (v, w) 3: of each pair
    #        ½·½·|I_u|^-½·|I_v|^-½ · ½·½ / (1 + shared).
    # c → a: (v, w) alone. c is not on sale. a has 4 users, b 3 and c 3, of whom all count.
    rows = [
        *(("u", item, 0) for item in "ab"),
        *((user, item, 0) for user in "vw" for item in "abc"),
        ("x", "a", 0),
        *(("y", item, 0) for item in "cd"),
    ]
    plan = {"max_matrix_entries": limit}
    found = neighbors(spark, rows, "abd", SwingSettings(**plan, **PAPER), tmp_path)
    of_three = (3**-0.5) ** 2 / 16 / 4
    of_all = 2 * 2**-0.5 * 3**-0.5 / 16 / 3 + of_three
    assert found == [
        ("a", 1, "b", pytest.approx(of_all, rel=1e-9), 3),
        ("b", 1, "a", pytest.approx(of_all, rel=1e-9), 3),
        ("c", 1, "a", pytest.approx(of_three, rel=1e-9), 2),
        ("c", 2, "b", pytest.approx(of_three, rel=1e-9), 2),
    ]
    exponents = {"user_exponent": 0.5, "item_exponent": 1.5, "neighbor_exponent": 0.5}
    scaled = neighbors(spark, rows, "abd", SwingSettings(**plan, **exponents), tmp_path)
    assert [(item, neighbor, score) for item, _, neighbor, score, _ in scaled] == [
        ("a", "b", pytest.approx(of_all * 4**-1.5 * 3**-0.5, rel=1e-9)),
        ("b", "a", pytest.approx(of_all * 3**-1.5 * 4**-0.5, rel=1e-9)),
        ("c", "b", pytest.approx(of_three * 3**-1.5 * 3**-0.5, rel=1e-9)),
        ("c", "a", pytest.approx(of_three * 3**-1.5 * 4**-0.5, rel=1e-9)),
    ]


def test_users_with_more_in_common_say_less(spark: SparkSession, tmp_path: Path) -> None:
    # Two users behind c and d, as behind a and b; but those of c and d share e and f as well.
    rows = [(user, item, 0) for user in "uv" for item in "ab"]
    rows += [(user, item, 0) for user in "xy" for item in "cdef"]
    settings = SwingSettings(user_exponent=0, item_exponent=0, neighbor_exponent=0)
    found = neighbors(spark, rows, "abcdef", settings, tmp_path)
    scores = {(item, neighbor): score for item, _, neighbor, score, _ in found}
    assert scores["a", "b"] == pytest.approx(scores["c", "d"] * (1 + 4) / (1 + 2))


def test_of_many_users_those_with_the_most_weight_are_heard(
    spark: SparkSession, tmp_path: Path
) -> None:
    # Four users of a. u and v took it today, w and x nine days ago: of two, u and v are heard. Of
    # one age, shorter histories weigh more, then the smaller id comes first.
    rows = [(user, item, days) for users, days in (("uv", 0), ("wx", 9)) for user in users
            for item in "ab"]  # fmt: skip
    rows += [(user, "c", 9) for user in "wx"]
    two = SwingSettings(users=2)
    for limit in PLANS.values():
        settings = two.model_copy(update={"max_matrix_entries": limit})
        found = neighbors(spark, rows, "abc", settings, tmp_path)
        assert [row[:3] for row in found] == [
            ("a", 1, "b"), ("b", 1, "a"), ("c", 1, "a"), ("c", 2, "b"),
        ]  # fmt: skip
    alike = [(user, item, 0) for user in "zyx" for item in "ab"]
    strengths = capped_strengths(aged(interactions(spark, alike)), two)
    entries = swing_entries(strengths, items(spark, "ab"), two)
    assert rows_of(entries.where("is_heard"), "item_id", "user_id") == [
        ("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"),
    ]  # fmt: skip


def brute_force(entries: list[Entry], k: int, min_support: int, alpha: float) -> list[tuple]:
    """Every pair of heard users of an item, one after the other; then each item's best k."""
    taken: dict[str, dict[str, float]] = defaultdict(dict)
    heard: dict[str, dict[str, float]] = defaultdict(dict)
    scales = {}
    for user, item, strength, weight, is_heard, *scales_of_item in entries:
        taken[user][item] = strength
        scales[item] = scales_of_item
        if is_heard:
            heard[item][user] = weight
    sellable = {item for item, (_, neighbor_scale) in scales.items() if neighbor_scale is not None}
    rows = []
    for item in sorted(heard):
        totals: dict[str, int] = defaultdict(int)
        behind: dict[str, set[str]] = defaultdict(set)
        for user, other in combinations(heard[item], 2):
            common = taken[user].keys() & taken[other].keys()
            of_pair = heard[item][user] * heard[item][other] / (alpha + len(common))
            for neighbor in (common & sellable) - {item}:
                term = of_pair * (taken[user][neighbor] * taken[other][neighbor])
                totals[neighbor] += round(term * TERM_SCALE)
                behind[neighbor] |= {user, other}
        found = sorted(
            (-(total / TERM_SCALE * scales[item][0] * scales[neighbor][1]), neighbor)
            for neighbor, total in totals.items()
            if total > 0 and len(behind[neighbor]) >= min_support
        )
        for rank, (score, neighbor) in enumerate(found[:k], start=1):
            rows.append((item, rank, neighbor, -score, len(behind[neighbor])))
    return rows


def all_rows(histories: Histories, k: int, min_support: int, alpha: float) -> list[tuple]:
    blocks = range(histories.block_count)
    batches = [histories.neighbors_of_block(block, k, min_support, alpha) for block in blocks]
    table = pa.Table.from_batches(batches, schema=NEIGHBOR_SCHEMA)
    return [tuple(row.values()) for row in table.to_pylist()]


def as_table(entries: list[Entry]) -> pa.Table:
    rows = [dict(zip(SCHEMA.names, entry, strict=True)) for entry in entries]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


NAMES = ["a", "b", "c", "ü", "10", "9", "Z"]
# Few values, so that equal sums and with them ties are common.
few = st.sampled_from([0.25, 0.3, 0.75])
cells = st.dictionaries(
    st.tuples(st.sampled_from("uvwxyz"), st.sampled_from(NAMES)),
    st.tuples(few, few, st.sampled_from([True, True, False])),
    max_size=42,
)
scales = st.tuples(st.sampled_from([1.0, 0.7]), st.sampled_from([1.0, 0.9, None]))
histories_of = st.tuples(cells, st.fixed_dictionaries(dict.fromkeys(NAMES, scales))).map(
    lambda drawn: [
        (user, item, *values, *drawn[1][item]) for (user, item), values in drawn[0].items()
    ]
)


@hypothesis_settings(deadline=None)
@given(
    histories_of,
    st.integers(1, 8),
    st.integers(2, 4),
    st.sampled_from([0.0, 0.3, 5.0]),
    st.sampled_from([1, 2_500, 10**9]),
)
def test_the_loop_equals_every_pair_of_users(
    entries: list[Entry], k: int, min_support: int, alpha: float, block_products: int
) -> None:
    histories = Histories.from_entries(as_table(entries), block_products)
    assert all_rows(histories, k, min_support, alpha) == brute_force(entries, k, min_support, alpha)


@hypothesis_settings(deadline=None)
@given(histories_of, st.randoms(use_true_random=False))
def test_the_order_of_the_entries_does_not_matter(
    entries: list[Entry], random: random.Random
) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)
    once = Histories.from_entries(as_table(entries), 10**9)
    again = Histories.from_entries(as_table(shuffled), 10**9)
    assert all_rows(once, 3, 2, 1.0) == all_rows(again, 3, 2, 1.0)


def random_rows(seed: int) -> list[tuple]:
    draw = random.Random(seed)
    rows = [
        (f"u{draw.randrange(15)}", f"i{draw.randrange(9)}", draw.choice([0, 0, 30]))
        for _ in range(90)
    ]
    return rows + [("hot", f"i{n}", 0) for n in range(9)]


@pytest.mark.parametrize("seed", [1, 2])
def test_both_plans_give_the_bits_of_brute_force(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    catalogue = items(spark, [f"i{n}" for n in range(7)], unsellable=["i7", "i8"])
    settings = SwingSettings(
        half_life_days=20, alpha=0.7, users=4, neighbors=5, block_products=2_000
    )
    strengths = capped_strengths(aged(interactions(spark, random_rows(seed))), settings)
    entries = swing_entries(strengths, catalogue, settings)
    expected = brute_force(rows_of(entries, *SCHEMA.names), 5, 2, 0.7)
    assert len(expected) > 20
    assert rows_of(swing_in_tasks(entries, settings, Scratch(tmp_path)), *COLUMNS) == expected
    assert rows_of(swing_by_shuffle(entries, settings), *COLUMNS) == expected


def test_blocks_cover_every_item_once_and_are_cut_by_pairs_of_users() -> None:
    # 60 users of one item make many pairs, two users of each of 40 others make one.
    hot = [(f"u{n:02}", "hot", 0.5, 0.5, True, 1.0, 1.0) for n in range(60)]
    rare = [(f"u{n:02}", f"i{n // 2:02}", 0.5, 0.5, True, 1.0, 1.0) for n in range(60)]
    histories = Histories.from_entries(as_table(hot + rare), 3_000)
    assert histories.blocks[0] == 0
    assert histories.blocks[-1] == 31
    assert np.all(np.diff(histories.blocks) > 0)
    # "hot", the first of 31 items, costs 60·59/2 · 2 terms: a block of its own. Another costs 2
    # beside what every item costs.
    assert histories.blocks[1] == 1
    assert np.diff(histories.blocks[1:]).max() <= 3
    assert Histories.from_entries(as_table([]), 10).block_count == 0


def test_a_history_is_cut_before_pairs_are_made(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(user, "old", 9) for user in "uv"] + [(u, i, 0) for u in "uv" for i in "ab"]
    settings = SwingSettings(history_length=2)
    found = neighbors(spark, rows, ["a", "b", "old"], settings, tmp_path)
    assert [row[:3] for row in found] == [("a", 1, "b"), ("b", 1, "a")]


def test_without_interactions_there_are_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    for limit in PLANS.values():
        settings = SwingSettings(max_matrix_entries=limit)
        assert neighbors(spark, [], ["a"], settings, tmp_path) == []
