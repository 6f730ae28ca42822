"""Channel `i2i`: sums over a history worked by hand, by both plans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.channels.i2i import recall_by_history
from jobs.recall.sources.channels import ItemHistorySettings
from tests.recall.shop import DS, interactions, items, rows_of, since_last

COLUMNS = ("user_id", "rank", "item_id", "score", "because_item_id")
PLAIN = {"half_life_days": 10, "position_decay": 1, "exclude_seen_days": 0}
ByHistory = Callable[..., list[tuple]]
# Rows of the table of neighbors up to which it is held in memory: by tasks, by a shuffle.
PLANS = [pytest.param(10**6, id="in tasks"), pytest.param(0, id="by a shuffle")]


def users(spark: SparkSession, *names: str) -> DataFrame:
    return spark.createDataFrame([(name,) for name in names], "user_id string")


def neighbors(spark: SparkSession, rows: list[tuple[str, str, float]]) -> DataFrame:
    return spark.createDataFrame(rows, "item_id string, neighbor_item_id string, score double")


@pytest.fixture(params=PLANS)
def by_history(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> ByHistory:
    """What `recall_by_history` finds, by each of its plans."""
    return partial(_by_history, spark, tmp_path, request.param)


def _by_history(
    spark: SparkSession,
    scratch: Path,
    max_neighbor_rows: int,
    rows: list[tuple],
    similar: list[tuple[str, str, float]],
    **settings: float,
) -> list[tuple]:
    found = recall_by_history(
        interactions(spark, rows),
        neighbors(spark, similar),
        items(spark, ["a", "b", "x", "y", "z"], unsellable=["gone"]),
        users(spark, "u", "v"),
        DS,
        ItemHistorySettings(max_neighbor_rows=max_neighbor_rows, **settings),
        Scratch(scratch),
    )
    return rows_of(found, *COLUMNS)


def test_history_scores_add_up_and_name_the_item_with_the_largest_term(
    by_history: ByHistory,
) -> None:
    # a was taken today, so its strength is 1/2; b ten days ago: 1/2 / (1/2 + 1) = 1/3.
    # x = 1/2 · 0.4 + 1/3 · 0.9 = 0.5 by b (0.3 > 0.2). y = 1/2 · 0.2 by a. z = 1/3 · 0.3 by b.
    similar = [("a", "x", 0.4), ("b", "x", 0.9), ("a", "y", 0.2), ("b", "z", 0.3)]
    similar += [("a", "gone", 1.0)]
    rows = [("u", "a", 0), ("u", "b", 10), ("inactive", "a", 0)]
    assert by_history(rows, similar, **PLAIN) == [
        ("u", 1, "x", pytest.approx(0.5), "b"),
        ("u", 2, "y", pytest.approx(0.1), "a"),
        ("u", 3, "z", pytest.approx(0.1), "b"),
    ]


def test_what_was_taken_at_the_last_time_counts_most(by_history: ByHistory) -> None:
    # b and x were one basket, one time before a: all strengths are 1/2, b and x count half of it.
    rows = [("u", "a", 0), ("u", "b", 1), ("u", "x", 1)]
    similar = [("a", "y", 0.4), ("b", "z", 0.4), ("x", "z", 0.3)]
    found = by_history(rows, similar, half_life_days=1e9, position_decay=0.5, exclude_seen_days=0)
    assert found == [
        ("u", 1, "y", pytest.approx(0.2), "a"),
        ("u", 2, "z", pytest.approx(0.5 * 0.5 * 0.7), "b"),
    ]


def test_equal_terms_name_the_smaller_id(by_history: ByHistory) -> None:
    rows = [("u", "b", 1), ("u", "a", 1)]
    found = by_history(rows, [("a", "x", 0.5), ("b", "x", 0.5)], exclude_seen_days=0)
    assert [row[4] for row in found] == ["a"]


@pytest.mark.parametrize(("days", "left"), [(0, ["b", "x"]), (7, ["b", "x"]), (8, ["x"])])
def test_what_was_taken_lately_is_left_out_for_as_long_as_the_channel_says(
    by_history: ByHistory, days: int, left: list[str]
) -> None:
    # b was taken 7 days ago: on the eighth day of a window that counts today.
    rows = [("u", "a", 0), ("u", "b", 7)]
    found = by_history(rows, [("a", "b", 0.5), ("a", "x", 0.4)], exclude_seen_days=days)
    assert [row[2] for row in found] == left


def test_only_the_recent_history_speaks(by_history: ByHistory) -> None:
    # days of v count from v's own last
    rows = [("u", "a", 5), ("u", "b", 9), ("v", "a", 40), ("v", "b", 70)]
    similar = [("a", "x", 0.4), ("a", "y", 0.5), ("b", "z", 0.9)]
    found = by_history(
        rows, similar, history_days=30, history_length=1, exclude_seen_days=0, items=1
    )
    assert [row[:3] for row in found] == [("u", 1, "y"), ("v", 1, "y")]


def test_history_scores_equal_plain_loops(by_history: ByHistory) -> None:
    rows = [(u, i, d) for u, d in (("u", 0), ("v", 10)) for i in ("a", "b", "x")]
    similar = [(i, j, 0.1 * n) for n, (i, j) in enumerate(
        [("a", "b"), ("a", "x"), ("b", "y"), ("x", "y"), ("x", "z"), ("b", "z")], start=1
    )]  # fmt: skip
    expected: dict[tuple[str, str], float] = defaultdict(float)
    for user, item, days_ago in since_last(rows):
        decayed = 0.5 ** (days_ago / 10)
        for source, neighbor, score in similar:
            if source == item:
                expected[user, neighbor] += decayed / (decayed + 1) * score
    found = by_history(rows, similar, **PLAIN)
    assert {(row[0], row[2]): row[3] for row in found} == pytest.approx(expected)
