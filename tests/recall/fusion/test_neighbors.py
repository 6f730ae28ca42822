"""Fusion: weights, agreement, fill, quotas and reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs.recall.settings.fusion import I2ISettings, UserRecallSettings
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.fusion.fill import FILL_METHOD
from jobs.recall.fusion.neighbors import best_neighbors, fuse_neighbors
from jobs.recall.fusion.reasons import neighbor_reason, user_reason
from jobs.recall.fusion.scores import weighted_scores
from jobs.recall.fusion.user_lists import fuse_channels
from tests.recall.shop import i2i_candidates, items, rows_of

I2I = ("item_id", "rank", "neighbor_item_id", "score", "methods", "method_scores", "reason")
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
CATEGORIES = dict.fromkeys("abcd", "BREAD") | {"m": "MILK", "n": "MILK"}


def fuse_i2i(
    spark: SparkSession,
    scratch: Path,
    candidates: list[tuple],
    k: int,
    sellable: str = "abcdmn",
    unsellable: str = "",
    texts: str = "",
    content_trust: float = 0.0,
    cold_users: float = 1.0,
) -> list[dict]:
    found = fuse_neighbors(
        i2i_candidates(spark, candidates or [("content", "-", "-", 1.0, None)]),
        items(spark, sellable, unsellable, CATEGORIES),
        spark.createDataFrame([(i,) for i in texts or ["-"]], "item_id string"),
        spark.createDataFrame([("a", 4.0), ("b", 2.0), ("m", 9.0)], "item_id string, score double"),
        I2ISettings(
            neighbors=k,
            weights={"cooccurrence": 0.75, "content": 0.25},
            content_trust=content_trust,
            cold_users=cold_users,
        ),
        Scratch(scratch),
    )
    return [dict(zip(I2I, row, strict=True)) for row in rows_of(found.orderBy("item_id"), *I2I)]


def test_scores_are_scaled_to_the_mean_best_of_each_method_and_agreement_adds_up(
    spark: SparkSession, tmp_path: Path
) -> None:
    # The best of behaviour are 0.02 and 0.04, 0.03 in the mean, of content 0.8. For a, b is found
    # by both: 3/4 · 0.02/0.03 + 1/4 · 0.6/0.8; m and c by one: 3/4 · 0.008/0.03, 1/4 · 0.8/0.8.
    rows = fuse_i2i(
        spark,
        tmp_path,
        [
            ("cooccurrence", "a", "b", 0.02, 14),
            ("cooccurrence", "a", "m", 0.008, 3),
            ("cooccurrence", "n", "m", 0.04, 2),
            ("content", "a", "b", 0.6, None),
            ("content", "a", "c", 0.8, None),
        ],
        k=3,
    )
    *rows, near = rows
    assert [(r["rank"], r["neighbor_item_id"], r["score"]) for r in rows] == [
        (1, "b", pytest.approx(0.6875)),
        (2, "c", pytest.approx(0.25)),
        (3, "m", pytest.approx(0.2)),
    ]
    # A near neighbor of n stays above the best of a.
    assert (near["item_id"], near["score"]) == ("n", pytest.approx(1.0))
    assert rows[0]["methods"] == ["content", "cooccurrence"]
    assert dict(rows[0]["method_scores"]) == pytest.approx({"content": 0.75, "cooccurrence": 2 / 3})
    assert [row["reason"] for row in rows] == [
        "chosen together by 14 users; similar product: Product b",
        "similar product: Product c",
        "chosen together by 3 users",
    ]


def test_content_speaks_for_behaviour_where_few_users_could(
    spark: SparkSession, tmp_path: Path
) -> None:
    # 9 users took m lately, 4 a, 2 b, and none c or d. Half of the 3/4 that co-occurrence leaves
    # silent: all of it for m and c, 2 / (2 + 4) for m and a; b has both methods.
    rows = fuse_i2i(
        spark,
        tmp_path,
        [
            ("cooccurrence", "m", "b", 0.04, 14),
            ("content", "m", "b", 0.8, None),
            ("content", "m", "c", 0.6, None),
            ("content", "m", "a", 0.6, None),
        ],
        k=3,
        content_trust=0.5,
        cold_users=2,
    )
    assert [(row["neighbor_item_id"], row["score"]) for row in rows] == [
        ("b", pytest.approx(1.0)),
        ("c", pytest.approx(0.75 * (0.25 + 0.5 * 0.75))),
        ("a", pytest.approx(0.75 * (0.25 + 0.5 * 0.75 / 3))),
    ]
    assert [row["methods"] for row in rows] == [
        ["content", "cooccurrence"],
        ["content"],
        ["content"],
    ]


def test_the_list_of_one_item_does_not_depend_on_which_others_are_wanted(
    spark: SparkSession,
) -> None:
    """Reasons are asked about pairs of lists that are made before the day's are published."""
    rows = [
        ("cooccurrence", "m", "a", 0.04, 4),
        ("cooccurrence", "a", "b", 0.4, 4),
        ("content", "m", "b", 0.8, None),
        ("content", "a", "m", 0.2, None),
        ("content", "a", "gone", 0.9, None),
    ]
    candidates, catalogue = i2i_candidates(spark, rows), items(spark, "abm", ["gone"])
    popularity = spark.createDataFrame([("m", 2.0)], "item_id string, score double")
    lists = (
        best_neighbors(candidates, catalogue, popularity, I2ISettings(), of)
        for of in (None, spark.createDataFrame([("m",)], "item_id string"))
    )
    every, of_m = (rows_of(each, "item_id", "rank", "neighbor_item_id", "score") for each in lists)
    assert [row[:3] for row in every] == [
        ("a", 1, "b"), ("a", 2, "m"), ("m", 1, "b"), ("m", 2, "a")
    ]  # fmt: skip
    assert of_m == every[2:]


def test_short_lists_are_filled_from_the_category_then_from_everywhere(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = fuse_i2i(spark, tmp_path, [("cooccurrence", "c", "n", 0.5, 2)], k=5, texts="c")
    assert [row["neighbor_item_id"] for row in rows] == ["n", "a", "b", "d", "m"]
    assert [row["methods"] for row in rows] == [["cooccurrence"], *[["popular"]] * 4]
    assert [row["reason"] for row in rows[1:3]] == ["popular in BREAD"] * 2
    assert rows[-1]["reason"] == "popular in MILK"
    assert all(0 < row["score"] < rows[0]["score"] for row in rows[1:])


def test_a_list_is_as_long_as_other_sellable_items_allow(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = fuse_i2i(spark, tmp_path, [], k=50, texts="abcdmn")
    listed = {}
    for row in rows:
        listed.setdefault(row["item_id"], []).append(row["neighbor_item_id"])
    assert {item: set(found) for item, found in listed.items()} == {
        item: set("abcdmn") - {item} for item in "abcdmn"
    }
    assert all(len(found) == 5 for found in listed.values())


def test_what_cannot_be_listed_makes_no_list_full(spark: SparkSession, tmp_path: Path) -> None:
    # The two neighbors of a are by a method that is switched off, those of b cannot be sold.
    rows = fuse_i2i(
        spark,
        tmp_path,
        [
            ("slim", "a", "m", 0.9, 2),
            ("slim", "a", "n", 0.8, 2),
            ("cooccurrence", "b", "x", 0.9, 2),
            ("cooccurrence", "b", "y", 0.8, 2),
        ],
        k=2,
        unsellable="xy",
        texts="ab",
    )
    assert [(row["item_id"], row["neighbor_item_id"], row["methods"]) for row in rows] == [
        ("a", "b", ["popular"]),
        ("a", "c", ["popular"]),
        ("b", "a", ["popular"]),
        ("b", "c", ["popular"]),
    ]


def test_nothing_unsellable_is_a_neighbor_and_nothing_fills_an_unsellable_item(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = fuse_i2i(
        spark,
        tmp_path,
        [("cooccurrence", "a", "d", 0.9, 2), ("cooccurrence", "d", "a", 0.9, 2)],
        k=2,
        sellable="abcmn",
        unsellable="d",
        texts="ad",
    )
    assert [(row["item_id"], row["neighbor_item_id"]) for row in rows] == [
        ("a", "b"),
        ("a", "c"),
        ("d", "a"),
    ]


CHANNELS = "channel string, user_id string, item_id string, score double, because_item_id string"
WEIGHTS = {"i2i": 0.5, "similar_users": 0, "repurchase": 0, "vector": 0.25, "popular": 0.25}


FuseUsers = Callable[..., list[dict]]


@pytest.fixture
def fuse_users(spark: SparkSession, tmp_path: Path) -> FuseUsers:
    """The rows of the lists; `neighbors` are pairs of I2I with the methods that found them."""

    def fuse(
        candidates: list[tuple], settings: UserRecallSettings, neighbors: Iterable[tuple] = ()
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


def fused(candidates: DataFrame, weights: dict[str, float]) -> DataFrame:
    """Scaled to the best of each source."""
    best = F.max("score").over(Window.partitionBy("group", "source"))
    return weighted_scores(candidates, "group", "item", "source", weights, best, carry=("note",))


def test_a_method_of_weight_0_is_switched_off(spark: SparkSession) -> None:
    candidates = spark.createDataFrame(
        [("g", "a", "on", 1.0, 1), ("g", "b", "off", 9.0, 1)],
        "group string, item string, source string, score double, note int",
    )
    weights = {"on": 0.5, "off": 0.0}
    found = fused(candidates, weights)
    assert rows_of(found, "item", "strongest", "score") == [("a", "on", 1.0)]


def weighted_by_hand(
    cells: dict[tuple[str, str], float], weights: dict[str, float]
) -> dict[str, float]:
    best = {s: max(v for (_, t), v in cells.items() if t == s) for _, s in cells}
    found: dict[str, float] = {}
    for (item, source), score in cells.items():
        part = score / best[source] * weights[source] / sum(weights.values())
        found[item] = found.get(item, 0.0) + part
    return found


cells = st.dictionaries(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["p", "q", "r"])),
    st.floats(1e-6, 1e6),
    min_size=1,
)


@settings(deadline=None, max_examples=10)
@given(cells, st.tuples(*[st.floats(0.01, 1)] * 3))
def test_fused_scores_are_the_weighted_mean_of_scaled_scores(
    spark: SparkSession, cells: dict[tuple[str, str], float], values: tuple[float, ...]
) -> None:
    weights = dict(zip("pqr", values, strict=True))
    frame: DataFrame = spark.createDataFrame(
        [(item, source, score) for (item, source), score in cells.items()],
        "item string, source string, score double",
    ).withColumns({"group": F.lit("g"), "note": F.lit(1)})
    found = fused(frame, weights)
    scores = dict(rows_of(found, "item", "score"))
    assert scores == pytest.approx(weighted_by_hand(cells, weights), abs=1e-9)


def reasons(spark: SparkSession, sources: dict[str, str], reason: Column) -> dict[str, str]:
    """Of each source the reason of a row that it alone found."""
    rows = [({source: 1.0},) for source in sources]
    found = spark.createDataFrame(rows, "scores map<string,double>").select("scores", reason)
    return {next(iter(dict(scores))): why for scores, why in found.collect()}


def test_every_method_says_why_it_lists_a_neighbor(spark: SparkSession) -> None:
    expected = {
        "cooccurrence": "chosen together by 3 users",
        "session": "chosen together by 3 users",
        "slim": "chosen together by 3 users",
        "swing": "chosen together by 3 users",
        "transition": "users took it soon after",
        "augmented": "put together by a language model",
        "content": "similar product: Tea",
        "popular": "popular in DRINKS",
    }
    assert set(expected) == {*I2ISettings().weights, FILL_METHOD}
    words = (F.lit(3), F.lit("Tea"), F.lit("DRINKS"))
    assert reasons(spark, expected, neighbor_reason(F.col("scores"), *words)) == expected


def test_every_channel_says_why_it_recalls_an_item(spark: SparkSession) -> None:
    expected = {
        "i2i": "goes with your Tea",
        "similar_users": "users with a taste like yours took it",
        "repurchase": "you took it before",
        "vector": "fits your interests",
        "popular": "popular with 3 users lately",
        "trending": "taken more than usual lately",
        "new": "new in the shop",
        "seasonal": "in season",
        "newcomer": "users like you take it more than others do",
        "q2i": "fits what you may search for",
        "product_names": "may be what you buy next",
    }
    assert set(expected) == set(UserRecallSettings().weights)
    words = (F.lit("Tea"), F.lit(3))
    assert reasons(spark, expected, user_reason(F.col("scores"), *words)) == expected
