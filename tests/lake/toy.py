"""A toy shop of three tables, to show what the runtime promises for any table.

`bronze.toy` is filled by hand, `silver.toy` keeps the newest price of each item (history) and
`gold.toy_daily` has one row an item and day.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import Outcome, Read, Run, table
from jobs.lake.runtime import Lake

HEAD = {
    "version": 1,
    "grain": "one row per item of the toy shop",
    "owner": "tests",
    "schedule": "daily in the tests",
    "freshness_days": None,
    "retention_days": None,
}


def column(name: str, type: str, nullable: bool = False) -> dict[str, object]:
    return {"name": name, "type": type, "nullable": nullable, "description": f"the {name} of a toy"}


RECEIVED = [
    column("ingest_ds", "date"),
    column("source_file", "string"),
    column("source_row", "long"),
    column("row_hash", "string"),
]
CONTRACTS = {
    "bronze.toy": HEAD
    | {
        "table": "bronze.toy",
        "layout": "received",
        "partition": ["ingest_ds"],
        "key": ["source_file", "source_row"],
        "columns": [column("item_id", "string"), column("price", "double", True), *RECEIVED],
        "checks": [],
    },
    "silver.toy": HEAD
    | {
        "table": "silver.toy",
        "layout": "history",
        "partition": [],
        "key": ["item_id", "valid_from"],
        "columns": [
            column("item_id", "string"),
            column("valid_from", "date"),
            column("price", "double"),
            column("row_hash", "string"),
        ],
        "checks": [],
    },
    "gold.toy_daily": HEAD
    | {
        "table": "gold.toy_daily",
        "layout": "daily",
        "partition": ["ds"],
        "key": ["ds", "item_id"],
        "columns": [column("ds", "date"), column("item_id", "string"), column("price", "double")],
        "checks": [
            {
                "expect": "expect_column_values_to_be_between",
                "column": "price",
                "min_value": 0,
                "max_value": 100,
                "severity": "error",
            }
        ],
    },
}

# A log that grows whenever, a daily table that is made of it, and a table that is only appended to.
NOTES = {
    "ops.toy_notes": HEAD
    | {
        "table": "ops.toy_notes",
        "layout": "log",
        "partition": [],
        "key": ["note"],
        "columns": [column("note", "string"), column("recorded_at", "timestamp")],
        "checks": [],
    },
    "gold.toy_notes_daily": HEAD
    | {
        "table": "gold.toy_notes_daily",
        "layout": "daily",
        "partition": ["ds"],
        "key": ["ds", "note"],
        "columns": [column("ds", "date"), column("note", "string")],
        "checks": [],
    },
}
SHELF = {
    "silver.toy_shelf": HEAD
    | {
        "table": "silver.toy_shelf",
        "layout": "cache",
        "partition": [],
        "key": ["item_id"],
        "columns": [column("item_id", "string")],
        "checks": [],
    },
}


def write_contracts(folder: Path, contracts: dict[str, dict[str, object]]) -> None:
    for name, contract in contracts.items():
        path = folder / f"{name.replace('.', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(contract), encoding="utf-8")


def register() -> None:
    """Register the toy's table functions; the caller restores the registry."""

    @table(
        "silver.toy",
        reads={"received": Read("bronze.toy", pending=True), "held": Read("silver.toy")},
        accounts_for="received",
    )
    def toy(run: Run, received: DataFrame, held: DataFrame) -> Outcome:
        known = held.select("item_id", F.col("row_hash").alias("held_hash"))
        joined = received.join(known, "item_id", "left")
        broken = F.col("price").isNull()
        same = F.col("row_hash") == F.coalesce("held_hash", F.lit(""))
        rejected = joined.where(broken).select(
            "source_file",
            F.col("source_row").cast("string").alias("row_id"),
            F.lit("price").alias("column"),
            F.lit("price is missing").alias("reason"),
            F.to_json(F.struct("item_id", "price")).alias("payload"),
        )
        rows = joined.where(~broken & ~same).select(
            "item_id", F.col("ingest_ds").alias("valid_from"), "price", "row_hash"
        )
        return Outcome(rows, quarantined=rejected, folded=joined.where(~broken & same))

    @table("gold.toy_daily", reads={"items": Read("silver.toy")})
    def toy_daily(run: Run, items: DataFrame) -> DataFrame:
        return items.select("item_id", "price")


def receive(lake: Lake, day: date, prices: dict[str, float | None]) -> None:
    """Put a day's rows into bronze and record the day as taken in."""
    spark: SparkSession = lake.spark
    rows = [
        (item, price, day, f"toy-{day}.csv", number, f"{item}:{price}")
        for number, (item, price) in enumerate(prices.items())
    ]
    frame = spark.createDataFrame(rows, schema=lake.tables.schema("bronze.toy"))
    lake.tables.replace("bronze.toy", frame, f"ingest_ds = '{day}'")
    record_published(lake, "bronze.toy", day, len(rows))


def record_published(lake: Lake, name: str, day: date, rows: int) -> None:
    from jobs.lake.oplog import PUBLISHED, RunRecord

    lake.log.record_run(RunRecord(f"{name}-{day}", name, "", day, day, PUBLISHED, rows_out=rows))
