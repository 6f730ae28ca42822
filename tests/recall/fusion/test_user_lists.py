"""Fusion of channels: weights, quotas, a new order and a cap on exposure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake.scratch import Scratch
from jobs.recall.fusion.settings import UserRecallSettings
from jobs.recall.fusion.user_lists import fuse_channels
from tests.recall.shop import DS, items, rows_of

USER = (
    "user_id",
    "rank",
    "item_id",
    "score",
    "channel",
    "channel_scores",
    "because_item_id",
    "reason",
)
CHANNELS = "channel string, user_id string, item_id string, score double, because_item_id string"
WEIGHTS = {"i2i": 0.5, "similar_users": 0, "repurchase": 0, "vector": 0.25, "popular": 0.25}


FuseUsers = Callable[..., list[dict]]


@pytest.fixture
def fuse_users(spark: SparkSession, tmp_path: Path) -> FuseUsers:
    """The rows of the lists; `neighbors` are pairs of I2I with the methods that found them."""

    def fuse(
        candidates: list[tuple],
        settings: UserRecallSettings,
        neighbors: Iterable[tuple] = (),
        unwanted: Iterable[tuple] = (),
    ) -> list[dict]:
        similar = [(a, b, score, methods) for a, b, score, methods in neighbors]
        found = fuse_channels(
            spark.createDataFrame(candidates, CHANNELS),
            items(spark, "abcd", unsellable="x"),
            spark.createDataFrame([("u",), ("w",)], "user_id string"),
            spark.createDataFrame([("a", 12), ("d", 0)], "item_id string, users_count bigint"),
            spark.createDataFrame(
                similar,
                "item_id string, neighbor_item_id string, score double, methods array<string>",
            ),
            spark.createDataFrame(
                [(user, item, word, DS) for user, item, word in unwanted],
                "user_id string, item_id string, event_type string, event_date date",
            ),
            DS,
            settings,
            Scratch(tmp_path),
        )
        return [dict(zip(USER, row, strict=True)) for row in rows_of(found, *USER)]

    return fuse


CANDIDATES = [
    ("i2i", "u", "b", 4.0, "x"),
    ("i2i", "u", "c", 1.0, "a"),
    ("vector", "u", "c", 0.5, None),
    ("popular", "u", "a", 1.0, None),
    ("popular", "u", "d", 0.5, None),
    ("popular", "w", "a", 1.0, None),
    ("popular", "inactive", "a", 1.0, None),
    ("i2i", "u", "x", 9.0, "a"),
]


def test_channels_are_weighed_and_the_largest_part_is_named(fuse_users: FuseUsers) -> None:
    # b: 1/2 · 1. c: 1/2 · 1/4 + 1/4 · 1, mostly by its vector. a: 1/4. d: 1/4 · 1/2.
    # x cannot be sold, so it neither is listed nor scales the others.
    rows = fuse_users(CANDIDATES, UserRecallSettings(weights=WEIGHTS))
    assert [(r["user_id"], r["rank"], r["item_id"], r["score"], r["channel"]) for r in rows] == [
        ("u", 1, "b", 0.5, "i2i"),
        ("u", 2, "c", 0.375, "vector"),
        ("u", 3, "a", 0.25, "popular"),
        ("u", 4, "d", 0.125, "popular"),
        ("w", 1, "a", 0.25, "popular"),
    ]
    assert [(row["because_item_id"], row["reason"]) for row in rows] == [
        ("x", "goes with your Product x"),
        ("a", "goes with your Product a; fits your interests"),
        (None, "popular with 12 users lately"),
        (None, "popular"),
        (None, "popular with 12 users lately"),
    ]
    assert dict(rows[1]["channel_scores"]) == {"i2i": 0.25, "vector": 1.0}


def test_a_quota_holds_a_channel_back_only_while_others_can_fill(fuse_users: FuseUsers) -> None:
    candidates = [
        ("i2i", "u", item, score, "a") for item, score in zip("abc", (3.0, 2.0, 1.0), strict=True)
    ]
    candidates.append(("popular", "u", "d", 1.0, None))
    limited = UserRecallSettings(weights=WEIGHTS, items=3, quotas={"i2i": 1})
    rows = fuse_users(candidates, limited)
    assert [(row["rank"], row["item_id"]) for row in rows] == [(1, "a"), (2, "b"), (3, "d")]
    full = fuse_users(candidates, limited.model_copy(update={"quotas": {}}))
    assert [row["item_id"] for row in full] == ["a", "b", "d"]
    two = limited.model_copy(update={"items": 2})
    assert [row["item_id"] for row in fuse_users(candidates, two)] == ["a", "d"]


def test_a_neighbor_of_what_is_listed_above_comes_later_with_diversity(
    fuse_users: FuseUsers,
) -> None:
    # Of the best, 1/2, c has 3/4, a 1/2 and d 1/4. a is a near neighbor of b, that c is one only
    # fills its list. Listed are b: 1/2 · 1 + 1/2, c: 1/2 · 3/4 + 1/2, d: 1/2 · 1/4 + 1/2, and a.
    diverse = UserRecallSettings(weights=WEIGHTS, diversity=0.5)
    neighbors = [("b", "a", 1.4, ["slim"]), ("b", "c", 1.0, ["popular"])]
    rows = fuse_users(CANDIDATES, diverse, neighbors)
    assert [(row["item_id"], row["score"]) for row in rows if row["user_id"] == "u"] == [
        ("b", 1.0),
        ("c", 0.875),
        ("d", 0.625),
        ("a", 0.25),
    ]
    plain = {
        row["item_id"]: row for row in fuse_users(CANDIDATES, UserRecallSettings(weights=WEIGHTS))
    }
    for row in rows:
        for name in ("channel", "channel_scores", "because_item_id", "reason"):
            assert row[name] == plain[row["item_id"]][name]


def test_what_the_other_candidates_bring_up_too_comes_later_with_sharpening(
    fuse_users: FuseUsers,
) -> None:
    # Of the best, 1/2, c has 3/4, a 1/2 and d 1/4. All of c's spread comes from b: 1/2 · 3/4 + 0
    # against 1/2 · 1/2 + 1/2 for a. That d is near to b is a filled list's word.
    sharp = UserRecallSettings(weights=WEIGHTS, sharpening=0.5)
    neighbors = [("b", "c", 0.3, ["slim"]), ("b", "d", 1.0, ["popular"])]
    rows = fuse_users(CANDIDATES, sharp, neighbors)
    assert [(row["item_id"], row["score"]) for row in rows if row["user_id"] == "u"] == [
        ("b", 1.0),
        ("a", 0.75),
        ("d", 0.625),
        ("c", 0.375),
    ]


def test_an_item_that_is_shown_enough_gives_way_where_it_weighs_least(
    fuse_users: FuseUsers,
) -> None:
    # Half of two users is one. a is the best of w, and weighs 1/2 for u, who gets d instead.
    capped = UserRecallSettings(weights=WEIGHTS, items=3, max_exposure=0.5)
    rows = fuse_users(CANDIDATES, capped)
    assert [(row["user_id"], row["rank"], row["item_id"]) for row in rows] == [
        ("u", 1, "b"),
        ("u", 2, "c"),
        ("u", 3, "d"),
        ("w", 1, "a"),
    ]


def test_a_refused_item_leaves_the_list_of_its_user_alone(fuse_users: FuseUsers) -> None:
    both = [*CANDIDATES, ("i2i", "w", "b", 4.0, "x")]
    settings = UserRecallSettings(weights=WEIGHTS, dislike_penalty=0.6)
    near = [("b", "c", 0.5, ["slim"]), ("b", "d", 0.5, ["popular"])]
    rows = fuse_users(both, settings, near, unwanted=[("u", "b", "dislike")])
    # c: (1/2 · 1/4 + 1/4) · 0.4 falls behind a, 1/4; d only filled the list of b, and stays
    assert [(r["user_id"], r["item_id"], r["score"]) for r in rows] == [
        ("u", "a", 0.25),
        ("u", "c", pytest.approx(0.15)),
        ("u", "d", 0.125),
        ("w", "b", 0.5),
        ("w", "a", 0.25),
    ]
