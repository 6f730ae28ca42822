"""The cap on exposure: a case by hand, a plain loop as oracle, and what it promises."""

from __future__ import annotations

import logging
from collections import Counter
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.fusion.exposure import cap_exposure
from jobs.recall.fusion.settings import UserRecallSettings
from jobs.recall.kernels.ranking import top_k

Scores = dict[tuple[str, str], float]


def frame(spark: SparkSession, scores: Scores) -> DataFrame:
    rows = [(user, item, score, f"{user} {item}") for (user, item), score in scores.items()]
    columns = "user_id string, item_id string, score double, note string"
    return spark.createDataFrame(rows, columns)


def capped(
    spark: SparkSession, scratch: Path, scores: Scores, k: int, share: float
) -> dict[str, str]:
    """Each user's list, one letter an item, the best first."""
    scored = frame(spark, scores)
    users = scored.select("user_id").distinct()
    folder = Scratch(scratch / str(len(list(scratch.iterdir()))))
    rows = top_k(cap_exposure(scored, users, k, share, folder), ["user_id"], k, item="item_id")
    found = sorted(
        tuple(row) for row in rows.select("user_id", "rank", "item_id", "note").collect()
    )
    assert all(note == f"{user} {item}" for user, _, item, note in found)
    lists: dict[str, str] = {}
    for user, _, item, _ in found:
        lists[user] = lists.get(user, "") + item
    return lists


def test_an_item_goes_to_those_for_whom_it_weighs_most(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # One list in three may hold an item. a weighs 1 for x, 0.9 for y and 0.8 for z, whose best are
    # p and q; b is the next of all three, and weighs most for y. x is left with d, z with c.
    scores = {
        ("x", "a"): 0.2,
        ("x", "b"): 0.02,
        ("x", "d"): 0.01,
        ("y", "p"): 1.0,
        ("y", "a"): 0.9,
        ("y", "b"): 0.8,
        ("z", "q"): 1.0,
        ("z", "a"): 0.8,
        ("z", "b"): 0.7,
        ("z", "c"): 0.6,
    }
    found = capped(spark, tmp_path, scores, k=2, share=0.34)
    assert found == {"x": "ad", "y": "pb", "z": "qc"}
    assert "beyond the cap" not in caplog.text


def test_a_user_without_another_candidate_keeps_a_full_list_and_the_log_says_so(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scores = {(user, item): 1.0 for user in "wxyz" for item in "ab"} | {("z", "c"): 0.1}
    with caplog.at_level(logging.WARNING):
        found = capped(spark, tmp_path, scores, k=2, share=0.5)
    assert {user: len(found[user]) for user in "wxyz"} == dict.fromkeys("wxyz", 2)
    assert all(found[user] == "ab" for user in "wxy")
    assert "beyond the cap" in caplog.text
    assert "2 items are in more than 2 lists" in caplog.text


def test_a_share_that_is_a_number_of_lists_is_that_number(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # 0.58 of 50 users are 29 of them, though 0.58 * 50 is 28.999999999999996.
    scores = {(f"u{user}", item): s for user in range(50) for item, s in (("a", 1.0), ("b", 0.5))}
    found = capped(spark, tmp_path, scores, k=1, share=0.58)
    assert Counter(found.values()) == {"a": 29, "b": 21}
    assert "beyond the cap" not in caplog.text


def test_nothing_changes_where_no_item_is_shown_too_often(
    spark: SparkSession, tmp_path: Path
) -> None:
    scores = {("x", "a"): 1.0, ("x", "b"): 0.5, ("y", "c"): 1.0, ("y", "d"): 0.5}
    assert capped(spark, tmp_path, scores, k=1, share=0.5) == {"x": "a", "y": "c"}


def greedy(scores: Scores, draws: Scores, k: int, limit: int) -> dict[str, set[str]]:
    """All rows from the greatest weight down, each admitted if user and item have a place."""
    best = {user: max(s for (u, _), s in scores.items() if u == user) for user, _ in scores}
    lists: dict[str, set[str]] = {user: set() for user in best}
    shown: Counter[str] = Counter()
    in_order = sorted(scores, key=lambda p: (-scores[p] / best[p[0]], p[1], draws[p], p[0]))
    for user, item in in_order:
        if len(lists[user]) < k and shown[item] < limit:
            lists[user].add(item)
            shown[item] += 1
    for user, item in in_order:
        if len(lists[user]) < k:
            lists[user].add(item)
    return lists


@pytest.mark.parametrize("seed", range(3))
def test_lists_are_those_of_a_plain_loop_and_keep_what_is_promised(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    users, items, k, share = 30, "abcdefghijklmnop", 3, 0.2
    popularity = np.linspace(1, 0.1, len(items))
    # Some users have many candidates, some hardly more than a list; equal scores are frequent.
    scores = {
        (f"u{user}", item): round(float(draw.random() * popularity[place]), 1) + 0.1
        for user in range(users)
        for place, item in enumerate(items)
        if draw.random() < (0.9 if user % 2 else 0.25)
    }
    # A user without any candidate has no list, and is not among those of whom the share is.
    limit = int(share * len({user for user, _ in scores}))
    drawn = frame(spark, scores).select("user_id", "item_id", F.xxhash64("user_id", "item_id"))
    draws = {(user, item): value for user, item, value in drawn.collect()}
    found = capped(spark, tmp_path, scores, k, share)
    assert {user: set(listed) for user, listed in found.items()} == greedy(scores, draws, k, limit)

    candidates = Counter(user for user, _ in scores)
    assert {user: len(listed) for user, listed in found.items()} == {
        user: min(k, count) for user, count in candidates.items()
    }
    shown = Counter(item for listed in found.values() for item in listed)
    enough = k + users * k / limit
    for item, lists in shown.items():
        if lists > limit:
            # someone has no candidate that others do not fill
            assert any(
                item in listed
                and all(shown[i] >= limit for u, i in scores if u == user and i not in listed)
                and candidates[user] < enough
                for user, listed in found.items()
            )


def test_popular_items_are_enough_for_everybody_under_the_cap() -> None:
    assert UserRecallSettings(items=50).popular_items == 50
    assert UserRecallSettings(items=50, max_exposure=0.1).popular_items == 50 + 500
    assert UserRecallSettings(items=7, max_exposure=0.3).popular_items == 7 + ceil(7 / 0.3)
