"""gold.user_recall_daily: nobody is left out (invariant 8), every row explains itself (7), and what
would have been clearly worse is not published (3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.gold.user_recall_daily import user_recall_daily
from jobs.lake import Lake, Run, table
from jobs.lake.errors import AuditFailed
from jobs.lake.oplog import PUBLISHED, RunRecord
from jobs.lake.schema import arrow_schema
from jobs.lake.step import find_step, temporary_steps
from jobs.recall.channels.i2i import candidates as i2i_channel
from jobs.recall.channels.popular import candidates as popular_channel
from jobs.settings import RecallSettings, RunParams
from tests.gold import golden
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
        "i2i": i2i_channel(run, events, neighbors, catalogue, profiles),
        "popular": popular_channel(run, events, popular, no_attributes, profiles),
        "vector": found_by_vector,
    }
    candidates = None
    for channel, frame in channels.items():
        named = frame.selectExpr("*", f"'{channel}' AS channel")
        candidates = named if candidates is None else candidates.unionByName(named)
    unwanted = catalogue.sparkSession.createDataFrame(
        [], "user_id string, item_id string, event_type string, event_date date"
    )
    found = user_recall_daily(
        run,
        candidates,
        catalogue,
        profiles,
        popular,
        neighbors.withColumn("methods", F.array()),
        unwanted,
    )
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


D1 = date(2026, 11, 1)
SHOPPERS = [f"u{n:02}" for n in range(40)]
TWO_LONG: dict[str, Any] = {"items": 2, "weights": {"i2i": 0.9, "popular": 0.1}}
PROFILE = {
    "profile": "buys often: tea",
    "profile_hash": "0" * 64,
    "last_event_date": D1,
    "interactions_count_90d": 1,
}
NO_WORSE = "expect_lists_no_worse_than_published"


def put(lake: Lake, name: str, day: date, rows: list[dict[str, Any]], slice: str = "") -> None:
    """Rows of a day in a table, and the record of a run that published them."""
    schema = arrow_schema(lake.contracts[name])
    lake.tables.append_arrow(name, pa.Table.from_pylist(rows, schema=schema))
    run = RunRecord(f"{name}-{slice}-{day}", name, slice, day, day, PUBLISHED, rows_out=len(rows))
    lake.log.record_run(run)


def put_day(lake: Lake, day: date) -> None:
    """What a day's lists are made of: the best candidate of each user is what they take next.

    Each user took that item on the day itself; items p and q are popular.
    """
    taken = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    put(
        lake,
        "silver.interactions",
        day,
        [
            {"user_id": user, "item_id": f"next-{user}", "event_ts": taken, "event_date": day}
            | {"event_type": "purchase", "weight": 1.0, "quantity": 1.0, "ingest_ds": day}
            for user in SHOPPERS
        ],
    )
    put(lake, "gold.data_report_daily", day, [{"ds": day, "measure": "users", "value": 3.0}])
    known = ["p", "q", "other", *(f"next-{user}" for user in SHOPPERS)] if day == D1 else []
    hashes = {"content_hash": "0" * 64, "row_hash": "0" * 64}
    items = [{"item_id": i, "valid_from": D1, "is_sellable": True} | hashes for i in known]
    put(lake, "silver.items", day, items)
    put(
        lake,
        "silver.user_profiles",
        day,
        [{"ds": day, "user_id": user} | PROFILE for user in SHOPPERS],
    )
    for channel, found in {
        "i2i": lambda user: (f"next-{user}", "other"),
        "popular": lambda user: ("p", "q"),
    }.items():
        rows = [
            {"ds": day, "channel": channel, "user_id": user, "rank": rank, "item_id": item}
            | {"score": 1 / rank, "because_item_id": "p" if channel == "i2i" else None}
            for user in SHOPPERS
            for rank, item in enumerate(found(user), 1)
        ]
        put(lake, "silver.user_candidates", day, rows, channel)
    popular = [
        {"ds": day, "kind": "popular", "segment": "all", "rank": rank, "item_id": item}
        | {"score": 1 / rank, "users_count": 9}
        for rank, item in enumerate("pq", 1)
    ]
    put(lake, "gold.popular_items_daily", day, popular)
    put(lake, "gold.i2i_daily", day, [])


@pytest.fixture
def shop(make_lake: Callable[..., Lake]) -> Lake:
    """A lake with the inputs of three days, of which the first is published."""
    lake = make_lake(recall=RecallSettings.model_validate({"user": TWO_LONG}))
    for day in days(3):
        put_day(lake, day)
    lake.run("gold.user_recall_daily", ds=D1)
    return lake


def days(count: int) -> list[date]:
    return [D1 + timedelta(days=n) for n in range(count)]


def with_user(lake: Lake, **changes: Any) -> Lake:
    """The same lake, of which the settings of the user lists were changed."""
    recall = lake.settings.recall.with_changes({"user": changes})
    return Lake(lake.spark, lake.settings.model_copy(update={"recall": recall}))


def gate_rows(lake: Lake, day: date) -> list[tuple[str, bool]]:
    """Severity and success of the gate, of each run of a day."""
    audits = lake.tables.read("ops.audits").where(f"check = '{NO_WORSE}' AND ds = DATE '{day}'")
    return [(r.severity, r.success) for r in audits.orderBy("recorded_at").collect()]


def lists_of(lake: Lake, day: date) -> set[str]:
    rows = lake.tables.read("gold.user_recall_daily").where(f"ds = DATE '{day}' AND rank = 1")
    return {row.item_id for row in rows.collect()}


def test_invariant_3_a_day_of_lists_in_reverse_is_refused_and_yesterday_stays(shop: Lake) -> None:
    _, second, _ = days(3)
    before = lists_of(shop, D1)
    assert before == {f"next-{user}" for user in SHOPPERS}

    def reversed_lists(run: Run, candidates: DataFrame, **others: DataFrame) -> DataFrame:
        upside_down = candidates.selectExpr("* EXCEPT (score)", "1 / score AS score")
        return user_recall_daily(run, upside_down, **others)

    step = find_step("gold.user_recall_daily")
    with temporary_steps():
        table(step.name, reads=step.reads, settings=step.settings, gate=step.gate)(reversed_lists)
        with pytest.raises(AuditFailed) as error:
            shop.run("gold.user_recall_daily", ds=second)
    message = str(error.value)
    # what is taken next stands at rank 2: 1/log2(3) of the gain of rank 1
    for words in (
        "gold.user_recall_daily ds=2026-11-02",
        f"{NO_WORSE}(days=7): ndcg@20 is 0.6309 as lists are made today and 1.0000 as they were",
        "for 40 users who had lists of 2026-11-01 and took something since",
        "Nothing was published",
        "See docs/runbooks/recall-regressed.md.",
    ):
        assert words in message
    assert gate_rows(shop, second) == [("error", False)]
    assert lists_of(shop, D1) == before
    assert lists_of(shop, second) == set()


def test_a_day_like_the_days_before_passes(shop: Lake) -> None:
    for day in days(3):
        shop.run("gold.user_recall_daily", ds=day)
        assert gate_rows(shop, day)[-1] == ("error", True)
    # a change that costs nothing
    put_day(shop, days(4)[-1])
    with_user(shop, weights={"i2i": 0.6, "popular": 0.4}).run(
        "gold.user_recall_daily", ds=days(4)[-1]
    )


def test_worse_lists_are_published_on_purpose_and_are_what_later_days_are_compared_with(
    shop: Lake,
) -> None:
    _, second, third = days(3)
    popular_only = with_user(shop, weights={"popular": 1.0})
    with pytest.raises(AuditFailed, match=NO_WORSE):
        popular_only.run("gold.user_recall_daily", ds=second)
    on_purpose = RunParams(accept_worse=True)
    popular_only.run("gold.user_recall_daily", ds=second, params=on_purpose)
    assert gate_rows(shop, second) == [("error", False), ("warn", False)]
    assert lists_of(shop, second) == {"p"}
    popular_only.run("gold.user_recall_daily", ds=third)
    assert gate_rows(shop, third) == [("error", True)]


def test_a_day_with_a_channel_that_no_earlier_day_had_is_not_compared(shop: Lake) -> None:
    second = days(2)[-1]
    rows = [
        {"ds": second, "channel": "vector", "user_id": user, "rank": 1, "item_id": "other"}
        | {"score": 1.0}
        for user in SHOPPERS
    ]
    put(shop, "silver.user_candidates", second, rows, "vector")
    with_user(shop, weights={"vector": 1.0}).run("gold.user_recall_daily", ds=second)
    assert gate_rows(shop, second) == [("error", True)]
    assert lists_of(shop, second) == {"other"}


@pytest.mark.parametrize("case", golden.cases("user_recall_daily"), ids=lambda case: case.name)
def test_a_golden_day_has_the_rows_that_were_worked_out_by_hand(
    spark: SparkSession, tmp_path: Path, case: Path
) -> None:
    assert golden.made(spark, case, tmp_path) == golden.expected(case)
