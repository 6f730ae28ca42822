"""gold.recall_metrics_daily: earlier lists against later days, worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import log2
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.gold.recall_metrics_daily import recall_metrics_daily
from jobs.settings import RecallSettings
from tests.recall.shop import DS, column_types, contract_types, interactions, make_run

YESTERDAY = DS - timedelta(days=1)
LAST_WEEK = DS - timedelta(days=7)
# u and v have been here for long, w since two days ago. h has three users before, t two.
TAKEN = [
    ("u", "h", 40),
    ("v", "h", 40),
    ("w", "h", 2),
    ("v", "h2", 40),
    ("u", "h2", 40),
    ("x", "h2", 40),
    ("u", "t", 3),
    ("v", "t", 3),
    # today, what users did next: u takes h2, t and n; w takes h; x has no list
    ("u", "h2", 0),
    ("u", "t", 0),
    ("u", "n", 0),
    ("w", "h", 0),
    ("x", "h", 0),
    # a return is no wish
    ("v", "h", 0, -1.0),
]


Measure = Callable[..., dict[tuple, dict]]


@pytest.fixture
def measured(spark: SparkSession, tmp_path: Path) -> Measure:
    """The metrics by (horizon, table, channel, slice, metric)."""

    def measure(horizons: tuple[int, ...] = (1,), users: int = 100, day=YESTERDAY) -> dict:
        recalled = [("u", 1, "t"), ("u", 2, "z"), ("u", 3, "h2"), ("v", 1, "h"), ("w", 1, "z")]
        candidates = [("popular", "u", 1, "n"), ("popular", "w", 1, "h")]
        neighbors = [("slim", "t", 1, "h2"), ("slim", "t", 2, "n"), ("slim", "h", 3, "h")]
        recall = RecallSettings.model_validate(
            {"metrics": {"horizon_days": horizons, "users": users, "k": 3}}
        )

        def dated(rows: list[tuple], columns: str) -> DataFrame:
            return spark.createDataFrame([(day, *row) for row in rows], f"ds date, {columns}")

        found = recall_metrics_daily(
            make_run(tmp_path, recall),
            dated(recalled, "user_id string, rank int, item_id string"),
            dated(candidates, "channel string, user_id string, rank int, item_id string"),
            dated(
                [row[1:] for row in neighbors],
                "item_id string, rank int, neighbor_item_id string",
            ),
            dated(neighbors, "method string, item_id string, rank int, neighbor_item_id string"),
            interactions(spark, TAKEN),
        )
        assert column_types(found) == contract_types("gold.recall_metrics_daily")
        key = ("horizon_days", "table", "channel", "slice", "metric")
        rows = [row.asDict() for row in found.collect()]
        assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
        assert all(row["as_of"] == day for row in rows)
        return {tuple(row[name] for name in key): row for row in rows}

    return measure


def values(found: dict[tuple, dict], table: str, channel: str, metric: str) -> dict[str, float]:
    return {
        key[3]: row["value"]
        for key, row in found.items()
        if key[1:3] == (table, channel) and key[4] == metric
    }


def test_lists_of_users_are_held_against_what_they_took_next(measured: Measure) -> None:
    found = measured()
    # u took h2 (found third), t (first) and n; w took h, which is not listed.
    recalled = ("gold.user_recall_daily", "fused")
    assert values(found, *recalled, "recall") == {
        "all": pytest.approx((2 / 3 + 0) / 2),
        "new_users": 0,
        # of four items, the one of the most users is the head: h, which only w took
        "head": 0,
        "long_tail": pytest.approx(1.0),
        # t has two users, n none
        "cold": pytest.approx(1 / 2),
    }
    best = 1 + 1 / log2(3) + 1 / log2(4)
    ndcg = values(found, *recalled, "ndcg")
    assert ndcg["all"] == pytest.approx((1 + 1 / log2(4)) / best / 2)
    assert found[1, *recalled, "all", "mrr"]["value"] == pytest.approx(0.5)
    assert found[1, *recalled, "all", "recall"]["users"] == 2
    assert found[1, *recalled, "cold", "recall"]["users"] == 1


def test_each_channel_is_held_against_the_same_users(measured: Measure) -> None:
    popular = values(measured(), "silver.user_candidates", "popular", "recall")
    assert popular["all"] == pytest.approx((1 / 3 + 1) / 2)


def test_neighbors_are_asked_for_what_a_user_took_last(measured: Measure) -> None:
    # u took t last, whose neighbors are h2 and n: two of three. w took h last: itself, rank 3, the
    # best of its list.
    found = measured()
    assert values(found, "silver.i2i_candidates", "slim", "recall")["all"] == pytest.approx(
        (2 / 3 + 1) / 2
    )
    assert values(found, "gold.i2i_daily", "fused", "mrr")["all"] == pytest.approx(1)


def test_horizons_stand_side_by_side_and_need_lists_of_their_day(measured: Measure) -> None:
    found = measured(horizons=(1, 7), day=LAST_WEEK)
    assert {key[0] for key in found} == {7}
    # within seven days v took t, and w came
    assert found[7, "gold.user_recall_daily", "fused", "all", "recall"]["users"] == 3
    assert measured(horizons=(1,), day=LAST_WEEK) == {}


def test_of_many_users_a_sample_is_asked(measured: Measure) -> None:
    found = measured(users=1)
    assert {row["users"] for row in found.values()} == {1}
    assert found == measured(users=1)
