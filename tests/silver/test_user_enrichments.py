"""The effect that pays for user descriptions: nothing personal is sent, one profile one call."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

from pyspark.sql import DataFrame, SparkSession

from jobs.lake import EffectResult, Lake, Sink
from jobs.settings import RunParams
from jobs.silver.user_enrichments import enrich_users
from tests.llm.faulty_server import Response, says, serve

DAY = date(2017, 12, 28)
ANSWER = {
    "interests": ["potato chips", "frog bangers"],
    "next_products": ["potato chips", "tortilla chips"],
    "search_phrases": ["cheap potato chips", "potato chips deals"],
}


def profiles(spark: SparkSession, *rows: tuple[str, str, int]) -> DataFrame:
    """Rows of (user_id, product, interactions); the profile hash is made from the product."""
    return spark.createDataFrame(
        [
            (user, f"Favourite products: {product}. Shops every week.", f"hash-{product}", count)
            for user, product, count in rows
        ],
        "user_id string, profile string, profile_hash string, interactions_count_90d long",
    )


def answer(question: str, number: int) -> Response:
    return says(json.dumps(ANSWER))


def enrich(lake: Lake, user_profiles: DataFrame, user_budget: int = 10) -> EffectResult:
    params = RunParams(user_budget=user_budget)
    run = replace(lake.by_hand(DAY, params=params), run_id="run-1")
    enrichments = lake.tables.read("silver.user_enrichments")
    ledger = lake.tables.read("ops.llm_ledger")
    return enrich_users(run, Sink(lake.tables), user_profiles, enrichments, ledger)


def test_users_with_one_profile_share_one_call_and_no_id_is_sent(
    make_lake, spark: SparkSession
) -> None:
    first = profiles(
        spark,
        ("household-1407", "potato chips", 9),
        ("household-2012", "potato chips", 8),
        ("household-3003", "tea", 7),
        ("household-4004", "soap", 1),  # beyond the budget
    )
    with serve(answer) as server:
        lake = make_lake(llm_url=server.url, llm_model="double")
        result = enrich(lake, first, user_budget=3)
        later = enrich(
            lake,
            profiles(
                spark,
                ("household-1407", "potato chips", 9),
                ("household-5005", "potato chips", 9),  # new here, but the question is known
            ),
        )
    sent = json.dumps(server.requests)
    assert "Favourite products: potato chips" in sent
    for personal in ("household-", "1407", "2012", "3003", "5005", "hash-"):
        assert personal not in sent
    assert (result.counts["selected"], result.counts["sent"], result.rows_out) == (3, 2, 3)
    assert (later.counts["sent"], later.counts["copied"], later.counts["cached"]) == (0, 1, 1)
    assert len(server.requests) == 2

    rows = {row["user_id"]: row for row in lake.tables.read("silver.user_enrichments").collect()}
    assert sorted(rows) == [f"household-{n}" for n in (1407, 2012, 3003, 5005)]
    chips = rows["household-1407"]
    assert chips["status"] == "success"
    assert chips["interests"] == ["potato chips"]  # the gate left the frog out
    assert chips["raw_text"] == json.dumps(ANSWER)
    assert rows["household-3003"]["status"] == "rejected_by_gate"
    assert rows["household-5005"]["interests"] == ["potato chips"]
    assert {row["subject"] for row in lake.tables.read("ops.llm_ledger").collect()} == {
        "hash-potato chips",
        "hash-tea",
    }


def test_a_changed_profile_is_paid_for_and_an_unchanged_one_is_not(
    make_lake, spark: SparkSession
) -> None:
    with serve(answer) as server:
        lake = make_lake(llm_url=server.url)
        enrich(lake, profiles(spark, ("u1", "potato chips", 9), ("u2", "tea", 8)))
        result = enrich(lake, profiles(spark, ("u1", "potato chips", 30), ("u2", "soap", 8)))
    assert (result.counts["sent"], result.counts["cached"]) == (1, 1)
    assert "soap" in server.questions()[-1]
