"""The daily run through a real Airflow, Spark, Delta, vLLM, encoder and Milvus."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from pyspark.sql import SparkSession

from infra.stack.paths import PYTHON, ROOT
from jobs.delta_jars import delta_jars, spark_submit
from jobs.lake.contract import Contracts, Layout
from jobs.recall.sources import CHANNEL_NAMES, METHOD_NAMES
from tests.end_to_end.conftest import Airflow, Shop
from tests.end_to_end.shop import DAYS, HOUSEHOLDS, KINDS, LIST_LENGTH, NEXT_DAY

pytestmark = [pytest.mark.server, pytest.mark.timeout(1200)]

DAY, OTHER_DAY = DAYS
GOLD = (
    "gold.i2i_daily",
    "gold.item_bundles_daily",
    "gold.popular_items_daily",
    "gold.user_recall_daily",
)
RECALLED = f"SELECT * FROM gold.user_recall_daily WHERE ds = DATE '{DAY}' ORDER BY user_id, rank"
LEDGER = "SELECT * FROM ops.llm_ledger ORDER BY ALL"
UNSOLD = {str(number) for number in range(26, 31)}


def daily_rows(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the lake holds of DAYS, table by table."""
    contracts = Contracts(shop.settings.contracts)
    daily = [c.table for c in contracts if c.layout is Layout.daily]
    query = "SELECT * FROM {} WHERE ds < DATE '{}' ORDER BY ALL"
    return {table: shop.rows(query.format(table, NEXT_DAY)) for table in daily}


def without_weight(shop: Shop) -> set[str]:
    """The tasks of the methods and channels that no weight asks for."""
    recall = shop.settings.recall
    return {
        f"{table}.{name}"
        for table, names, built in (
            ("silver.i2i_candidates", METHOD_NAMES, recall.i2i.built),
            ("silver.user_candidates", CHANNEL_NAMES, recall.user.built),
        )
        for name in set(names) - set(built)
    }


def test_a_backfill_publishes_each_of_its_days(published: Shop) -> None:
    for day, run in published.airflow.runs(DAYS).items():
        assert (run["run_type"], run["state"]) == ("backfill", "success"), day
    for table in GOLD:
        assert published.sql.days(table) == list(DAYS), table


def test_answers_that_pass_the_gate_are_part_of_the_texts(published: Shop) -> None:
    accepted = "SELECT count(*) FROM ops.llm_ledger WHERE status = 'success' AND prompt = 'item'"
    enriched = (
        "SELECT count(DISTINCT content_hash) FROM silver.item_texts "
        f"WHERE ds = DATE '{DAY}' AND text_source = 'enriched'"
    )
    ((calls,),), ((contents,),) = published.rows(accepted), published.rows(enriched)
    assert contents >= calls > 0  # contents that ask the same share a call


def test_every_active_user_gets_a_full_list_of_sellable_items(published: Shop) -> None:
    lists = published.rows(
        "SELECT ds, user_id, count(DISTINCT item_id), max(rank) FROM gold.user_recall_daily "
        "GROUP BY ds, user_id"
    )
    assert len(lists) == len(DAYS) * HOUSEHOLDS
    assert {(items, last) for _, _, items, last in lists} == {(LIST_LENGTH, LIST_LENGTH)}
    recalled = published.rows("SELECT DISTINCT item_id FROM gold.user_recall_daily")
    assert UNSOLD.isdisjoint(item for (item,) in recalled)


def test_every_sellable_item_has_neighbors_that_say_why(published: Shop) -> None:
    lists = published.rows(
        f"SELECT item_id, count(*) FROM gold.i2i_daily WHERE ds = DATE '{DAY}' GROUP BY item_id"
    )
    sold = {str(number) for number in range(1, 1 + 5 * len(KINDS))} - UNSOLD
    assert dict(lists) == dict.fromkeys(sold, LIST_LENGTH)
    reasons = published.rows(f"SELECT DISTINCT reason FROM gold.i2i_daily WHERE ds = DATE '{DAY}'")
    assert any(reason.startswith("chosen together by") for (reason,) in reasons)
    assert any("similar product: " in reason for (reason,) in reasons)


def test_every_method_and_every_channel_with_a_weight_has_rows(published: Shop) -> None:
    for table, column, names in (
        ("silver.i2i_candidates", "method", published.settings.recall.i2i.built),
        ("silver.user_candidates", "channel", published.settings.recall.user.built),
    ):
        found = published.rows(f"SELECT DISTINCT {column} FROM {table} WHERE ds = DATE '{DAY}'")
        assert {name for (name,) in found} == set(names), table


def test_the_first_days_lists_are_judged_by_the_second_day(published: Shop) -> None:
    command = [str(PYTHON), "-m", "jobs.cli", "evaluate", "--lake", "--as-of", str(DAY)]
    by_run = f"SELECT * EXCLUDE ds FROM gold.recall_metrics_daily WHERE ds = DATE '{OTHER_DAY}'"
    before = published.rows(f"{by_run} ORDER BY ALL")
    ended = subprocess.run(
        [*command, "--horizon", "1", "--json", "-"],
        check=True,
        cwd=ROOT,
        env=published.environment(),
        capture_output=True,
        text=True,
    )
    found = json.loads(ended.stdout)["results"]
    judged = {(row["table"], row["channel"]) for row in found if row["slice"] == "all"}
    assert ("gold.user_recall_daily", "fused") in judged
    assert {c for t, c in judged if t == "silver.user_candidates"} == set(
        published.settings.recall.user.built
    )
    assert {c for t, c in judged if t == "silver.i2i_candidates"} == set(
        published.settings.recall.i2i.built
    )
    # What the DAG published, built again. Both days ran side by side, so the second day judged the
    # lists of the first that were there by then.
    again = published.rows(f"{by_run} ORDER BY ALL")
    assert len(found) == len(again)
    assert before
    assert set(before) <= set(again)


@dataclass(frozen=True)
class Rerun:
    """What the lake held before its days ran again, and the tasks of all runs after that."""

    rows: dict[str, list[tuple[Any, ...]]]
    paid: list[tuple[Any, ...]]
    version: int
    states: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def rerun(published: Shop) -> Rerun:
    """One table of DAY cleared in Airflow with what it feeds, and OTHER_DAY repeated by a backfill.

    NEXT_DAY runs beside them with fewer methods and channels and no budget.
    """
    version = published.sql.open("gold.user_recall_daily").version()
    rows, paid = daily_rows(published), published.rows(LEDGER)
    # Fewer of both make worse lists, which a run has to accept.
    chosen = {"methods": ["cooccurrence"], "channels": ["i2i", "popular"], "accept_worse": True}
    # first, since a cleared run opens the backfill again that made it, and Airflow takes one
    published.airflow.repeat(OTHER_DAY)
    published.airflow.clear_task(DAY, "gold.popular_items_daily")
    published.airflow.trigger(NEXT_DAY, chosen | {"item_budget": 0, "user_budget": 0})
    states = {str(day): published.airflow.states(day) for day in (OTHER_DAY, DAY, NEXT_DAY)}
    return Rerun(rows, paid, version, states)


def test_days_that_run_again_come_out_the_same_and_pay_nothing(
    published: Shop, rerun: Rerun
) -> None:
    assert rerun.paid
    for day in DAYS:
        states = rerun.states[str(day)]
        skipped = {task for task, state in states.items() if state == "skipped"}
        assert skipped == without_weight(published)
        assert set(states.values()) <= {"success", "skipped"}
    assert published.sql.open("gold.user_recall_daily").version() >= rerun.version + len(DAYS)
    again = daily_rows(published)
    for table, before in rerun.rows.items():
        assert before, table
        assert again[table] == before, table
    assert published.rows(LEDGER) == rerun.paid


def test_a_run_without_a_method_and_a_channel_fills_its_lists_with_the_others(
    published: Shop, rerun: Rerun
) -> None:
    states = rerun.states[str(NEXT_DAY)]
    skipped = {task for task, state in states.items() if state == "skipped"}
    assert skipped == without_weight(published) | {
        "silver.i2i_candidates.content",
        "silver.i2i_candidates.session",
        "silver.i2i_candidates.slim",
        "silver.user_candidates.repurchase",
        "silver.user_candidates.similar_users",
        "silver.user_candidates.vector",
    }
    assert set(states.values()) == {"success", "skipped"}
    where = f"WHERE ds = DATE '{NEXT_DAY}'"
    channels = published.rows(f"SELECT DISTINCT channel FROM gold.user_recall_daily {where}")
    assert {channel for (channel,) in channels} <= {"i2i", "popular"}
    methods = published.rows(f"SELECT DISTINCT unnest(methods) FROM gold.i2i_daily {where}")
    assert {method for (method,) in methods} - {"popular"} == {"cooccurrence"}
    lists = published.rows(
        f"SELECT user_id, count(*) FROM gold.user_recall_daily {where} GROUP BY user_id"
    )
    assert {length for _, length in lists} == {LIST_LENGTH}


def test_polars_duckdb_and_spark_read_the_same_recall(published: Shop, spark: SparkSession) -> None:
    by_duckdb = published.sql.query(RECALLED).records()
    path = f"{published.settings.lake}/gold/user_recall_daily"
    by_polars = (
        pl.scan_delta(path).filter(pl.col("ds") == DAY).sort("user_id", "rank").collect().to_dicts()
    )
    in_spark = spark.read.format("delta").load(path).where(f"ds = DATE '{DAY}'")
    by_spark = [row.asDict() for row in in_spark.orderBy("user_id", "rank").collect()]
    assert len(by_duckdb) == HOUSEHOLDS * LIST_LENGTH
    assert by_spark == by_duckdb
    assert by_polars == by_duckdb


def test_one_table_runs_by_plain_spark_submit(published: Shop) -> None:
    """As an application of its own, on the same lake, with the same rows."""
    query = f"SELECT * FROM gold.popular_items_daily WHERE ds = DATE '{DAY}' ORDER BY ALL"
    before = published.rows(query)
    version = published.sql.open("gold.popular_items_daily").version()
    jars = ",".join(map(str, delta_jars(published.settings.home / "jars")))
    environment = published.environment() | {
        "RECLAKE_SPARK_URL": "sc://127.0.0.1:1",  # not to be used
        "PYSPARK_PYTHON": str(PYTHON),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    master = ("--master", "local[1]", "--driver-memory", "1g", "--jars", jars)
    command = ("jobs/cli/__main__.py", "run", "gold.popular_items_daily", "--ds", str(DAY))
    done = subprocess.run(
        [str(spark_submit()), *master, *command],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"gold.popular_items_daily ds={DAY}: published" in done.stdout
    assert published.sql.open("gold.popular_items_daily").version() > version
    assert published.rows(query) == before


def test_the_backlog_describes_what_no_day_reached(published: Shop, rerun: Rerun) -> None:
    """NEXT_DAY had no budget, and what was sold on it for the first time no answer."""
    backlog = Airflow(published.endpoints.airflow, "enrich_backlog")
    backlog.unpause()
    tasks = ("silver.item_enrichments", "gold.llm_quality_daily")
    for number, state in enumerate(("success", "skipped")):
        at = NEXT_DAY + timedelta(days=number)
        backlog.trigger(at, {})
        assert backlog.states(at) == dict.fromkeys(tasks, state)
    new = published.rows(
        "SELECT title FROM ops.llm_ledger "
        # not sellable until it was sold: two versions of one content
        "JOIN (SELECT DISTINCT content_hash, title FROM silver.items) ON subject = content_hash "
        f"WHERE ds = DATE '{NEXT_DAY}' AND prompt = 'item' AND attempt = 1"
    )
    assert new == [("LAWN SEED",)]
    quality = published.rows(
        f"SELECT prompt, calls FROM gold.llm_quality_daily WHERE ds = DATE '{NEXT_DAY}'"
    )
    assert quality == [("item", 1)]
