"""As-of reads by hand: of each layout, what a run of the 28th sees (invariant 1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from pyspark.sql import SparkSession

from jobs.lake import Read, Run
from jobs.lake.asof import as_of
from jobs.lake.contract import load_contract
from jobs.lake.settings import ROOT

D26, D27, D28, D29, D30 = (date(2017, 12, day) for day in range(26, 31))
MakeRun = Callable[..., Run]


def seen(
    spark: SparkSession,
    table: str,
    schema: str,
    rows: list[tuple],
    read: Read,
    run: Run,
    **own: bool,
) -> list[str]:
    """The names (first column) of the rows that the run sees."""
    zone, name = table.split(".")
    contract = load_contract(ROOT / "expectations" / zone / f"{name}.yaml")
    frame = spark.createDataFrame(rows, schema)
    return sorted(
        row[0] for row in as_of(frame, contract, read, run, own.get("own", False)).collect()
    )


@pytest.mark.parametrize(
    ("known_on", "names"),
    [(None, ["on time"]), (D30, ["late", "on time"])],
    ids=["scheduled", "known_on the 30th"],
)
def test_events_have_happened_and_were_known(
    spark: SparkSession, make_run: MakeRun, known_on: date | None, names: list[str]
) -> None:
    rows = [
        ("on time", D27, D28),
        ("late", D27, D30),
        ("tomorrow", D29, D28),
        ("tomorrow, late", D29, D30),
    ]
    run = make_run(D28, known_on=known_on)
    found = seen(
        spark,
        "silver.interactions",
        "name string, event_date date, ingest_ds date",
        rows,
        Read("silver.interactions"),
        run,
    )
    assert found == names


def test_received_rows_are_known_and_pending_ones_come_after_the_watermark(
    spark: SparkSession, make_run: MakeRun
) -> None:
    rows = [("old", D26), ("new", D27), ("today", D28), ("future", D29)]
    schema = "name string, ingest_ds date"
    run = make_run(D28, watermark=D26)
    every = Read("bronze.events")
    assert seen(spark, "bronze.events", schema, rows, every, run) == ["new", "old", "today"]
    pending = Read("bronze.events", pending=True)
    assert seen(spark, "bronze.events", schema, rows, pending, run) == ["new", "today"]


def test_a_daily_table_shows_its_day_and_as_many_before_as_asked(
    spark: SparkSession, make_run: MakeRun
) -> None:
    rows = [("26", D26), ("27", D27), ("28", D28), ("29", D29)]
    schema, table = "name string, ds date", "silver.user_profiles"
    assert seen(spark, table, schema, rows, Read(table), make_run(D28)) == ["28"]
    assert seen(spark, table, schema, rows, Read(table, days_back=1), make_run(D28)) == ["27", "28"]


def test_a_table_sees_itself_up_to_its_own_watermark(
    spark: SparkSession, make_run: MakeRun
) -> None:
    rows = [("held", D26, D26), ("later", D27, D28)]
    schema, table = "name string, event_date date, ingest_ds date", "silver.interactions"
    run = make_run(D28, watermark=D26)
    assert seen(spark, table, schema, rows, Read(table), run, own=True) == ["held"]
    first = make_run(D28)
    assert seen(spark, table, schema, rows, Read(table), first, own=True) == []


def test_of_a_key_that_two_answered_the_first_selected_is_seen(
    spark: SparkSession, make_run: MakeRun
) -> None:
    """Payers that work at once, such as a command beside a DAG, may both answer one content."""
    table = "silver.item_enrichments"
    schema = (
        "raw_text string, content_hash string, prompt_version string, model string, "
        "message_hash string, selected_ds date"
    )
    rows = [
        ("tea, later", "tea", "v1", "m", "a", D28),
        ("tea", "tea", "v1", "m", "b", D27),
        ("tea, other version", "tea", "v2", "m", "b", D28),
        ("milk, other question", "milk", "v1", "m", "b", D28),
        ("milk", "milk", "v1", "m", "a", D28),
    ]
    found = seen(spark, table, schema, rows, Read(table), make_run(D28))
    assert found == ["milk", "tea", "tea, other version"]


def test_a_history_shows_the_newest_version_that_was_known(
    spark: SparkSession, make_run: MakeRun
) -> None:
    contract = load_contract(ROOT / "expectations" / "silver" / "users.yaml")
    columns = "user_id string, valid_from date, attributes map<string,string>, row_hash string"
    assert set(contract.column_names) == {part.split(" ")[0] for part in columns.split(", ")}
    rows = [
        ("ann", D26, {"age": "old"}, "1"),
        ("ann", D28, {"age": "now"}, "2"),
        ("ann", D29, {"age": "later"}, "3"),
        ("bob", D29, {"age": "later"}, "4"),
    ]
    frame = spark.createDataFrame(rows, columns)
    found = as_of(frame, contract, Read("silver.users"), make_run(D28), own=False)
    assert [(row["user_id"], row["row_hash"]) for row in found.collect()] == [("ann", "2")]
