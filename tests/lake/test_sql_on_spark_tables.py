"""What Spark writes, SQL without Spark reads: types, comments, empty tables, replaced days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from jobs.lake import Lake
from jobs.lake.schema import arrow_schema
from jobs.lake.sql import LakeSql

D29, D30 = date(2017, 12, 29), date(2017, 12, 30)


def reader(lake: Lake) -> LakeSql:
    return LakeSql(lake.settings.lake, lake.settings.contracts)


def append(lake: Lake, table: str, rows: list[dict[str, Any]]) -> None:
    """Write rows with Spark, as a run does."""
    arrow = pa.Table.from_pylist(rows, schema=arrow_schema(lake.contracts[table]))
    frame = lake.tables.from_arrow(table, arrow)
    frame.write.format("delta").mode("append").save(lake.tables.path(table))


def test_every_table_that_spark_creates_can_be_read(lake: Lake) -> None:
    sql = reader(lake)
    for contract in lake.contracts:
        answer = sql.query(f"SELECT * FROM {contract.table}")
        assert (answer.columns, answer.rows) == (contract.column_names, []), contract.table
        assert sql.count(contract.table) == 0


def test_column_comments_survive(lake: Lake) -> None:
    fields = {field.name: field for field in reader(lake).open("gold.i2i_daily").schema().fields}
    described = {
        column.name: column.description for column in lake.contracts["gold.i2i_daily"].columns
    }
    for name, field in fields.items():
        assert described[name] in field.metadata["comment"]


def test_timestamps_dates_maps_and_arrays_come_back_as_written(lake: Lake) -> None:
    event: dict[str, Any] = {
        "user_id": "ann",
        "item_id": "milk",
        "event_ts": datetime(2017, 12, 30, 23, 59, 59, 123456, tzinfo=UTC),
        "event_type": "purchase",
        "event_date": D30,
        "weight": 1.0,
        "quantity": 2.0,
        "amount": None,
        "session_id": None,
        "ingest_ds": D30,
    }
    neighbor: dict[str, Any] = {
        "ds": D30,
        "item_id": "milk",
        "rank": 1,
        "neighbor_item_id": "bread",
        "score": 0.75,
        "methods": ["content", "cooccurrence"],
        "method_scores": {"content": 0.5, "cooccurrence": 1.0},
        "reason": "bought together",
        "reason_prompt_version": None,
        "reason_model": None,
    }
    append(lake, "silver.interactions", [event])
    append(lake, "gold.i2i_daily", [neighbor])
    sql = reader(lake)
    assert sql.query("SELECT * FROM silver.interactions").records() == [event]
    assert sql.query("SELECT * FROM gold.i2i_latest").records() == [neighbor]


def test_a_replaced_day_is_read_once(lake: Lake) -> None:
    def day(ds: date, item_id: str) -> dict[str, Any]:
        return {
            "ds": ds,
            "kind": "popular",
            "segment": "all",
            "rank": 1,
            "item_id": item_id,
            "score": 1.0,
            "users_count": 3,
        }

    table = "gold.popular_items_daily"
    append(lake, table, [day(D29, "milk"), day(D30, "milk")])
    arrow = pa.Table.from_pylist([day(D30, "tea")], schema=arrow_schema(lake.contracts[table]))
    lake.tables.replace(table, lake.tables.from_arrow(table, arrow), f"ds = '{D30}'")
    sql = reader(lake)
    assert sql.query(f"SELECT ds, item_id FROM {table} ORDER BY ds").rows == [
        (D29, "milk"),
        (D30, "tea"),
    ]
    assert (sql.newest_ds(table), sql.count(table)) == (D30, 2)
