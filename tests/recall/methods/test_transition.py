"""Transitions: worked numbers, a brute-force oracle, and what is no transition."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.methods.transition import transition_neighbors
from jobs.recall.sources.methods import TransitionSettings
from tests.recall.shop import interactions, items, rows_of, since_last

COLUMNS = ("item_id", "rank", "neighbor_item_id", "score", "support")
NO_DECAY = 1e12


def neighbors(
    spark: SparkSession, rows: list[tuple], sellable: str | list[str], folder: Path, **chosen: float
) -> list[tuple]:
    found = transition_neighbors(
        interactions(spark, rows),
        items(spark, sellable),
        TransitionSettings(**{"half_life_days": NO_DECAY, **chosen}),
        Scratch(folder),
    )
    return rows_of(found, *COLUMNS)


def pairs(found: list[tuple]) -> set[tuple[str, str]]:
    return {(item, neighbor) for item, _, neighbor, *_ in found}


def test_scores_worked_by_hand(spark: SparkSession, tmp_path: Path) -> None:
    # u took a, then b, then c, each on a day of its own; v took a, then b and c on one day, and b
    # again. So a is followed by b at once for u (x = 1) and at once and one day later for v
    # (x = 1 + 0.5), by c one day later for u (x = 0.5) and at once for v (x = 1); b by c for u
    # alone, and c by b for v alone. s = x / (x + 1); both have 3 items, each item has 2 users.
    # Two users are one beside the first: 1 / (1 + 2).
    rows = [("u", "a", 9), ("u", "b", 5), ("u", "c", 0)]
    rows += [("v", "a", 9), ("v", "b", 5), ("v", "c", 5), ("v", "b", 0)]
    found = neighbors(spark, rows, "abc", tmp_path, position_decay=0.5)
    shared = 3**-0.5 * 2**-0.75 * 2**-0.25 / 3
    assert found == [
        ("a", 1, "b", pytest.approx((1 / 2 + 1.5 / 2.5) * shared, rel=1e-6), 2),
        ("a", 2, "c", pytest.approx((0.5 / 1.5 + 1 / 2) * shared, rel=1e-6), 2),
    ]


def test_one_user_is_enough_where_support_and_shrinkage_ask_for_no_more(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [("u", "a", 3), ("u", "b", 2), ("u", "a", 1)]
    found = neighbors(
        spark, rows, "ab", tmp_path, min_support=1, shrinkage=0, user_exponent=0, half_life_days=1
    )
    # the later event counts: b a day before the last, a at the last, so x is 1/2 and 1
    assert [(item, neighbor, score) for item, _, neighbor, score, _ in found] == [
        ("a", "b", pytest.approx(0.5 / 1.5, rel=1e-6)),
        ("b", "a", pytest.approx(1 / 2, rel=1e-6)),
    ]


def test_a_basket_is_no_sequence(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(user, item, days) for user in "uv" for item, days in (("a", 1), ("b", 1), ("c", 0))]
    assert pairs(neighbors(spark, rows, "abc", tmp_path)) == {("a", "c"), ("b", "c")}


def test_data_without_order_has_no_transitions(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(user, item, 0) for user in "uv" for item in "abc"]
    assert neighbors(spark, rows, "abc", tmp_path) == []


def test_what_has_no_weight_is_no_step(spark: SparkSession, tmp_path: Path) -> None:
    steps = (("a", 3, 1.0), ("viewed", 2, 0.0), ("returned", 1, -1.0), ("b", 0, 1.0))
    rows = [(user, *step) for user in "uv" for step in steps]
    found = neighbors(spark, rows, ["a", "b", "viewed", "returned"], tmp_path, window=1)
    assert pairs(found) == {("a", "b")}


def test_a_transition_ends_with_the_window(spark: SparkSession, tmp_path: Path) -> None:
    rows = [
        (user, item, days) for user in "uv" for item, days in zip("abcd", (9, 4, 1, 0), strict=True)
    ]
    follows = {1: {"ab", "bc", "cd"}, 2: {"ab", "bc", "cd", "ac", "bd"}}
    for window, expected in follows.items():
        found = neighbors(spark, rows, "abcd", tmp_path, window=window)
        assert {"".join(pair) for pair in pairs(found)} == expected


def test_large_baskets_and_long_histories_are_cut(spark: SparkSession, tmp_path: Path) -> None:
    # Of the basket, the item with the most weight and the smaller id of the others stay; of the
    # history the three newest rows.
    rows = [
        *((user, item, 1, weight) for user in "uv"
          for item, weight in (("b", 1.0), ("c", 1.0), ("d", 2.0))),
        *((user, "e", 0) for user in "uv"),
        *((user, "a", 5) for user in "uv"),
    ]  # fmt: skip
    cut = {"basket_length": 2}
    both = pairs(neighbors(spark, rows, "abcde", tmp_path, **cut))
    assert both == {("a", "b"), ("a", "d"), ("a", "e"), ("b", "e"), ("d", "e")}
    newest = neighbors(spark, rows, "abcde", tmp_path, **cut, history_length=3)
    assert pairs(newest) == {("b", "e"), ("d", "e")}


def test_what_is_not_sellable_leads_on_but_is_never_led_to(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [(user, item, days) for user in "uv" for item, days in (("a", 2), ("gone", 1), ("b", 0))]
    assert pairs(neighbors(spark, rows, "ab", tmp_path)) == {("a", "b"), ("gone", "b")}


def random_rows(seed: int) -> list[tuple]:
    draw = random.Random(seed)
    return [
        (f"u{draw.randrange(9)}", f"i{draw.randrange(7)}", draw.randrange(12), draw.choice([1, -1]))
        for _ in range(250)
    ]


def brute_force(
    rows: list[tuple], sellable: list[str], settings: TransitionSettings
) -> dict[tuple[str, str], tuple[float, int]]:
    """(item, neighbor) → (score, support), by loops over the days of each user."""
    baskets: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    taken = [row for row in rows if row[3] > 0]
    for user, item, days_ago, weight in since_last(taken):
        basket = baskets[user][days_ago]
        decayed = weight * 0.5 ** (days_ago / settings.half_life_days)
        basket[item] = basket.get(item, 0.0) + decayed
    users_of: dict[str, set[str]] = defaultdict(set)
    for user, days in baskets.items():
        for basket in days.values():
            for item in basket:
                users_of[item].add(user)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for days in baskets.values():
        x: dict[tuple[str, str], float] = defaultdict(float)
        in_order = [days[day] for day in sorted(days, reverse=True)]
        for place, earlier in enumerate(in_order):
            for gap, later in enumerate(in_order[place + 1 : place + 1 + settings.window]):
                for item in earlier:
                    for neighbor in later.keys() & set(sellable) - {item}:
                        x[item, neighbor] += later[neighbor] * settings.position_decay**gap
        length = len({item for basket in in_order for item in basket})
        for pair, value in x.items():
            strength = value / (value + settings.saturation)
            found[pair].append(strength * length**-settings.user_exponent)
    return {
        (item, neighbor): (
            sum(terms)
            * len(users_of[item]) ** -settings.item_exponent
            * len(users_of[neighbor]) ** -settings.neighbor_exponent
            * (len(terms) - 1)
            / (len(terms) - 1 + settings.shrinkage),
            len(terms),
        )
        for (item, neighbor), terms in found.items()
        if len(terms) >= settings.min_support
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_scores_equal_those_of_brute_force_in_any_order_of_the_rows(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    rows, sellable = random_rows(seed), [f"i{n}" for n in range(6)]
    chosen = {"half_life_days": 10, "window": 2, "position_decay": 0.6, "item_exponent": 0.6}
    found = neighbors(spark, rows, sellable, tmp_path, **chosen)
    assert found == neighbors(spark, rows[::-1], sellable, tmp_path, **chosen)
    expected = brute_force(rows, sellable, TransitionSettings(**chosen))
    assert len(expected) > 20
    assert {(i, n): s for i, _, n, _, s in found} == {p: s for p, (_, s) in expected.items()}
    assert {(i, n): score for i, _, n, score, _ in found} == pytest.approx(
        {pair: score for pair, (score, _) in expected.items()}, rel=1e-5
    )
    assert found == sorted(found, key=lambda row: (row[0], -row[3], row[2]))


def test_lists_are_cut_at_the_smaller_id(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(user, "x", 1) for user in "uv"] + [(user, item, 0) for user in "uv" for item in "cba"]
    found = neighbors(spark, rows, "abcx", tmp_path, neighbors=2)
    assert [row[:3] for row in found] == [("x", 1, "a"), ("x", 2, "b")]


def test_without_interactions_there_are_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    assert neighbors(spark, [], "a", tmp_path) == []
