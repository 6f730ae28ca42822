"""Lists of today against those that were published: a loss by hand, and what noise does."""

from __future__ import annotations

from datetime import timedelta
from math import log2
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.judging.regression import (
    OFFERED,
    PUBLISHED,
    Comparison,
    compare,
    judge_neighbor_lists,
    judge_user_lists,
    judgement,
)
from jobs.judging.settings import MetricsSettings
from jobs.lake import Judgement, Run
from jobs.settings import RecallSettings
from tests.recall.shop import DS, interactions, make_run

MADE_ON = DS - timedelta(days=2)
# Each user's items, one letter an item, the best first.
Lists = dict[str, str]
BEST = 1 + 1 / log2(3)


def compared(offered: Lists, published: Lists, wanted: Lists, k: int) -> Comparison:
    rows = [
        {"made": made, "user_id": user, "item_id": item, "rank": rank}
        for made, lists in ((OFFERED, offered), (PUBLISHED, published))
        for user, items in lists.items()
        for rank, item in enumerate(items[:k], 1)
    ]
    schema = {"made": pa.string(), "user_id": pa.string(), "item_id": pa.string()}
    taken = [{"user_id": u, "item_id": i} for u, items in wanted.items() for i in items]
    columns = pa.schema([*schema.items(), ("rank", pa.int32())])
    return compare(
        pa.Table.from_pylist(rows, columns),
        pa.Table.from_pylist(
            taken, pa.schema([("user_id", pa.string()), ("item_id", pa.string())])
        ),
        k,
    )


def test_both_lists_are_held_against_what_users_took_since() -> None:
    # u took a and c, v took b. Published: u finds both, at 1 and 3, v at 1. Today: u finds c at 2,
    # v at 3. Of one user alone the loss is (1 + 1/2) / (1 + 1/log2 3) - 1/log2 3 / (…) for u, and
    # 1 - 1/2 for v; the lower end of their mean is that of drawing only the lesser.
    published = {"u": "abc", "v": "bcd", "w": "abc"}
    found = compared({"u": "bc", "v": "cdb"}, published, {"u": "ac", "v": "b", "x": "a"}, k=3)
    before, now = 3 / 2 / BEST, 1 / log2(3) / BEST
    assert found.users == 2
    assert found.published == pytest.approx((before + 1) / 2)
    assert found.offered == pytest.approx((now + 1 / 2) / 2)
    assert found.least_loss == pytest.approx(min(before - now, 1 / 2))


def test_a_user_without_a_list_and_ranks_beyond_k_count_nothing() -> None:
    found = compared({"u": "bac"}, {"u": "abc", "v": "bcd"}, {"u": "a", "v": "b"}, k=1)
    assert (found.users, found.offered, found.published) == (2, 0, 1)


@pytest.mark.parametrize("wanted", [{}, {"x": "a"}], ids=["nobody", "nobody with a list"])
def test_nothing_is_compared_where_nobody_took_anything(wanted: Lists) -> None:
    assert compared({"u": "a"}, {"u": "a"}, wanted, k=3) == Comparison(0, 0, 0, 0)


def test_the_order_of_rows_does_not_change_a_bit() -> None:
    draw = np.random.default_rng(3)
    users = [f"u{n}" for n in range(50)]
    wanted = {user: "abcdef"[draw.integers(6)] for user in users}
    lists = [{u: "".join(draw.permutation(list("abcdef"))) for u in users} for _ in range(2)]

    def backwards(rows: Lists) -> Lists:
        return dict(reversed(rows.items()))

    found = compared(*lists, wanted, k=3)
    assert found.least_loss != 0
    assert compared(*map(backwards, (*lists, wanted)), k=3) == found


USERS = 300


def judged(offered: list[int], published: list[int], **metrics: float) -> Judgement:
    """The judgement on lists that find what a user takes next at given ranks, 0 for not at all."""

    def lists(ranks: list[int]) -> Lists:
        return {f"u{n}": "x" * (rank - 1) + "a" if rank else "x" for n, rank in enumerate(ranks)}

    settings = MetricsSettings.model_validate(metrics)
    wanted = dict.fromkeys(lists(published), "a")
    return judgement(
        compared(lists(offered), lists(published), wanted, settings.k), MADE_ON, settings
    )


def ranks(share: float, seed: int) -> list[int]:
    """Where users find what they take next: a share of them, at any of the first 20 ranks."""
    draw = np.random.default_rng(seed)
    found = draw.random(USERS) < share
    return np.where(found, draw.integers(1, 21, USERS), 0).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_other_lists_that_are_as_good_pass(seed: int) -> None:
    assert judged(ranks(0.5, seed), ranks(0.5, seed + 100)).success


def test_lists_that_are_clearly_worse_are_refused_with_what_was_found() -> None:
    refused = judged(ranks(0.3, 1), ranks(0.6, 2))
    assert not refused.success
    assert refused.observed.startswith("ndcg@20 is 0.1")
    for words in (f"for {USERS} users who had lists of 2026-11-18", "a loss of at least 0."):
        assert words in refused.observed


def test_a_small_loss_passes_however_sure_it_is() -> None:
    # Every user finds the item, one in 25 of them no longer: 4% are lost.
    published = [1] * USERS
    offered = [0 if n % 25 == 0 else 1 for n in range(USERS)]
    a_bit_less = judged(offered, published)
    assert a_bit_less.success
    assert "0.9600 as lists are made today and 1.0000 as they were pub" in a_bit_less.observed
    assert not judged(offered, published, max_loss=0.01).success
    assert judged([0] * USERS, published, max_loss=1).success


def test_few_users_decide_nothing() -> None:
    worse = ([0] * 29, [1] * 29)
    assert judged(*worse).success
    assert "for want of users: 29 users" in judged(*worse).observed
    assert not judged(*worse, min_users=29).success


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that judges by a single user."""
    return make_run(tmp_path, RecallSettings().with_changes({"metrics": {"min_users": 1}}))


def test_user_lists_are_judged_by_what_was_taken_after_their_day(
    spark: SparkSession, run: Run
) -> None:
    taken = [
        ("u", "a", 1),
        ("u", "a", 0),
        # before the lists were made, a return, and someone without a list
        ("u", "b", 2),
        ("u", "c", 0, -1.0),
        ("x", "b", 0),
    ]
    columns = "user_id string, item_id string, rank int"

    def lists(items: str) -> DataFrame:
        return spark.createDataFrame([("u", i, rank) for rank, i in enumerate(items, 1)], columns)

    published = lists("abc").selectExpr("*", f"DATE '{MADE_ON}' AS ds")
    found = judge_user_lists(run, MADE_ON, lists("bca"), published, interactions(spark, taken))
    assert not found.success
    words = "is 0.5000 as lists are made today and 1.0000 as they were published, for 1 user"
    assert words in found.observed


def test_neighbors_are_asked_for_what_a_user_took_last_before(
    spark: SparkSession, run: Run
) -> None:
    # u took a, then b last; since then c. Published: c is the first neighbor of b. Today it is a
    # neighbor of a, which was not the last, and the second of b.
    taken = [("u", "a", 5), ("u", "b", 3), ("u", "c", 0), ("new", "c", 0)]
    columns = "item_id string, neighbor_item_id string, rank int"
    offered = spark.createDataFrame([("a", "c", 1), ("b", "x", 1), ("b", "c", 2)], columns)
    published = spark.createDataFrame([("b", "c", 1)], columns)
    found = judge_neighbor_lists(run, MADE_ON, offered, published, interactions(spark, taken))
    assert not found.success
    words = f"is {1 / log2(3):.4f} as lists are made today and 1.0000 as they were published"
    assert words in found.observed
