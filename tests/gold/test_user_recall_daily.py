"""gold.user_recall_daily: nobody is left out (invariant 8), every row explains itself (7)."""

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.gold.user_recall_daily import user_recall_daily
from jobs.recall.settings import RecallSettings
from jobs.silver import user_candidates
from tests.recall.shop import (
    column_types,
    contract_types,
    interactions,
    items,
    make_run,
    rows_of,
)

LENGTH = 4
RECALL = RecallSettings.model_validate({"user": {"items": LENGTH}})
SELLABLE = [f"i{n}" for n in range(9)]
# `busy` took all that is popular, `new` took one item that has no neighbors, `vector` has hits.
ACTIVE = ["busy", "new", "vector"]
EVENTS = [
    *(("busy", item, 1) for item in SELLABLE),
    ("busy", "gone", 0),
    ("new", "i8", 0),
    ("vector", "i8", 20),
]


@pytest.fixture(scope="module")
def rows(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    run = make_run(tmp_path_factory.mktemp("user_recall"), RECALL)
    events = interactions(spark, EVENTS)
    catalogue = items(spark, SELLABLE, unsellable=["gone"])
    profiles = spark.createDataFrame([(user,) for user in ACTIVE], "user_id string")
    neighbors = spark.createDataFrame(
        [("gone", "i7", 1.0), ("gone", "i6", 0.5), ("i0", "gone", 1.0), ("i8", "gone", 1.0)],
        "item_id string, neighbor_item_id string, score double",
    )
    popular = spark.createDataFrame(
        [
            (kind, "all", rank, item, 9.0 - rank, users)
            for rank, item in enumerate(SELLABLE, 1)
            for kind, users in (("popular", 10 - rank), ("trending", 99))
        ],
        "kind string, segment string, rank int, item_id string, score double, users_count bigint",
    )
    no_attributes = spark.createDataFrame(
        [("new", {})], "user_id string, attributes map<string,string>"
    )
    found_by_vector = spark.createDataFrame(
        [
            ("vector", 1, "i5", 0.8, None),
            ("vector", 2, "gone", 0.7, None),
            ("left", 1, "i1", 0.9, None),
        ],
        "user_id string, rank int, item_id string, score double, because_item_id string",
    )
    channels: dict[str, DataFrame] = {
        "i2i": user_candidates.i2i(run, events, neighbors, catalogue, profiles),
        "popular": user_candidates.popular(run, events, popular, no_attributes, profiles),
        "vector": found_by_vector,
    }
    candidates = None
    for channel, frame in channels.items():
        named = frame.selectExpr("*", f"'{channel}' AS channel")
        candidates = named if candidates is None else candidates.unionByName(named)
    found = user_recall_daily(run, candidates, catalogue, profiles, popular)
    assert column_types(found) == contract_types("gold.user_recall_daily")
    columns = list(contract_types("gold.user_recall_daily"))
    return [dict(zip(columns, row, strict=True)) for row in rows_of(found, *columns)]


def test_invariant_8_every_active_user_has_exactly_a_full_list(rows: list[dict]) -> None:
    ranks: dict[str, list[int]] = {}
    for row in rows:
        ranks.setdefault(row["user_id"], []).append(row["rank"])
    assert ranks == {key: [1, 2, 3, 4] for key in ACTIVE}


def test_nothing_unsellable_is_recommended_and_nothing_twice(rows: list[dict]) -> None:
    pairs = [(row["user_id"], row["item_id"]) for row in rows]
    assert len(set(pairs)) == len(pairs)
    assert {item for _, item in pairs} <= set(SELLABLE)


def test_what_a_user_took_yesterday_only_fills_the_list(rows: list[dict]) -> None:
    # Channel i2i leaves out i6 and i7, which `busy` took yesterday, so only popular speaks.
    mine = [row for row in rows if row["user_id"] == "busy"]
    assert [(row["item_id"], row["channel"]) for row in mine] == [
        (item, "popular") for item in ("i0", "i1", "i2", "i3")
    ]
    assert "i8" not in {row["item_id"] for row in rows if row["user_id"] == "new"}


def test_invariant_7_every_row_names_its_channel_its_scores_and_a_reason(rows: list[dict]) -> None:
    for row in rows:
        scores = dict(row["channel_scores"])
        assert row["channel"] in scores
        assert all(0 < score <= 1 for score in scores.values())
        assert 0 < row["score"] <= 1
        assert row["reason"]
        assert (row["because_item_id"] is not None) == ("i2i" in scores)
    first = next(row for row in rows if row["user_id"] == "vector")
    assert (first["item_id"], first["channel"]) == ("i5", "vector")
    assert first["reason"] == "fits your interests"
    # counts are those of the popular list
    assert not any("99 users" in row["reason"] for row in rows)


def test_a_better_rank_never_has_a_lower_score(rows: list[dict]) -> None:
    in_order = sorted(rows, key=lambda r: (r["user_id"], -r["score"], r["item_id"]))
    assert in_order == sorted(rows, key=lambda r: (r["user_id"], r["rank"]))
