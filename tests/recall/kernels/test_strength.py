"""How strongly a user took to an item."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.recall.kernels.strength import aged, cap_user_history, decay_by_position, pair_strengths
from tests.recall.shop import interactions, rows_of


def strengths(spark: SparkSession, rows: list[tuple]) -> dict[tuple[str, str], float]:
    found = pair_strengths(aged(interactions(spark, rows)), half_life_days=10, saturation=2.0)
    return {row[:2]: row[2] for row in rows_of(found, "user_id", "item_id", "strength")}


def test_weights_decay_add_up_and_saturate(spark: SparkSession) -> None:
    # today: 1 / (1 + 2). Twenty days are two half-lives: 3/4 / (3/4 + 2) = 3/11.
    # both of c: 1 + 1/2 = 3/2, so 3/2 / (3/2 + 2) = 3/7.
    rows = [("u", "a", 0), ("u", "b", 20, 3.0), ("u", "c", 0), ("u", "c", 10)]
    found = strengths(spark, rows)
    assert found == pytest.approx({("u", "a"): 1 / 3, ("u", "b"): 3 / 11, ("u", "c"): 3 / 7})


def test_an_event_is_as_old_as_it_is_for_its_user(spark: SparkSession) -> None:
    """A user of ten years ago, and one who came back after a year, have histories of their own."""
    today = [("u", "a", 0), ("u", "b", 20)]
    of_today = strengths(spark, today)
    for days_ago in (1, 3650):
        earlier = [(user, item, days + days_ago) for user, item, days in today]
        assert strengths(spark, earlier) == of_today
    # v's last day says nothing of u, and a return is no last day
    others = [("v", "a", 0), ("u", "c", 0, 0.0)]
    shifted = strengths(spark, [*((u, i, d + 50) for u, i, d in today), *others])
    assert {pair: x for pair, x in shifted.items() if pair[0] == "u"} == of_today
    back = strengths(spark, [("w", "a", 0), ("w", "b", 200), ("w", "c", 190)])
    assert back["w", "c"] > back["w", "b"] > 0


def test_returns_and_dislikes_are_no_bond(spark: SparkSession) -> None:
    assert strengths(spark, [("u", "a", 0, 0.0), ("u", "b", 0, -1.0), ("u", "c", 0)]).keys() == {
        ("u", "c")
    }


def test_a_history_keeps_its_newest_items_and_ties_go_to_the_smaller_id(
    spark: SparkSession,
) -> None:
    rows = [("u", "old", 9), ("u", "b", 3), ("u", "a", 3), ("u", "new", 0), ("v", "only", 80)]
    found = cap_user_history(
        pair_strengths(aged(interactions(spark, rows)), half_life_days=10, saturation=1.0), 2
    )
    assert rows_of(found, "user_id", "item_id") == [("u", "a"), ("u", "new"), ("v", "only")]


def test_a_repeat_makes_an_item_new_again(spark: SparkSession) -> None:
    rows = [("u", "a", 50), ("u", "b", 30), ("u", "a", 1)]
    found = cap_user_history(
        pair_strengths(aged(interactions(spark, rows)), half_life_days=10, saturation=1.0), 1
    )
    assert rows_of(found, "user_id", "item_id") == [("u", "a")]


def test_a_basket_is_one_position_for_what_was_taken_before_it(spark: SparkSession) -> None:
    # All strengths are 1/2. u took a and b in one basket, one time back; old is two times back, not
    # three. v's basket is the newest, so old is one time back.
    rows = [("u", "new", 0), ("u", "a", 1), ("u", "b", 1), ("u", "old", 2)]
    rows += [("v", "a", 5), ("v", "b", 5), ("v", "old", 6)]
    pairs = pair_strengths(aged(interactions(spark, rows)), half_life_days=1e9, saturation=1.0)
    found = rows_of(decay_by_position(pairs, 0.5), "user_id", "item_id", "strength")
    assert found == [
        ("u", "a", pytest.approx(1 / 4)),
        ("u", "b", pytest.approx(1 / 4)),
        ("u", "new", pytest.approx(1 / 2)),
        ("u", "old", pytest.approx(1 / 8)),
        ("v", "a", pytest.approx(1 / 2)),
        ("v", "b", pytest.approx(1 / 2)),
        ("v", "old", pytest.approx(1 / 4)),
    ]


def test_the_order_of_the_rows_does_not_change_a_single_bit(spark: SparkSession) -> None:
    rows = [("u", "a", days, 0.1 * days) for days in range(1, 40)]
    assert strengths(spark, rows) == strengths(spark, rows[::-1])
