"""gold.data_report_daily has the columns of its contract, and an audit of unknown items."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from pyspark.sql import SparkSession

from jobs.gold.data_report_daily import data_report_daily
from jobs.lake import Lake, Run
from jobs.lake.errors import AuditFailed
from jobs.lake.oplog import PUBLISHED
from tests.lake.toy import record_published
from tests.recall.shop import column_types, contract_types

DAY = date(2026, 1, 2)


def fill(lake: Lake, taken: list[str], catalogue: list[str]) -> None:
    """One event of each item, and the catalogue."""
    at = datetime(2026, 1, 2, 9, tzinfo=UTC)
    events = [("u", i, at, "purchase", DAY, 1.0, 1.0, 1.0, None, DAY) for i in taken]
    tables, spark = lake.tables, lake.spark
    tables.append(
        "silver.interactions", spark.createDataFrame(events, tables.schema("silver.interactions"))
    )
    schema = tables.schema("silver.items")
    given = {"valid_from": DAY, "is_sellable": True, "content_hash": "0" * 64, "row_hash": "0" * 64}
    rows = [tuple((given | {"item_id": i}).get(name) for name in schema.names) for i in catalogue]
    tables.append("silver.items", spark.createDataFrame(rows, schema))
    for name in ("silver.interactions", "silver.items"):
        record_published(lake, name, DAY, 1)


def test_the_columns_are_those_of_the_contract(
    make_lake: Callable[..., Lake], make_run: Callable[..., Run]
) -> None:
    lake = make_lake()
    fill(lake, ["a"], ["a"])
    found = data_report_daily(
        make_run(DAY),
        lake.read_as_of("silver.interactions", DAY),
        lake.read_as_of("silver.items", DAY),
    )
    assert column_types(found) == contract_types("gold.data_report_daily")
    values = {row.measure: row.value for row in found.collect()}
    assert (values["events"], values["catalogue_items"], values["unknown_share"]) == (1, 1, 0)


@pytest.mark.parametrize(("unknown", "warned"), [(0, False), (10, True)])
def test_items_that_the_catalogue_lacks_are_warned_of(
    make_lake: Callable[..., Lake], unknown: int, warned: bool
) -> None:
    lake = make_lake()
    known = [f"i{n}" for n in range(30)]
    fill(lake, [*known, *(f"x{n}" for n in range(unknown))], known)
    assert lake.run("gold.data_report_daily", ds=DAY).status == PUBLISHED
    audits = lake.tables.rows("ops.audits", ["check", "severity", "success"], [])
    failed = [row["severity"] for row in audits.to_pylist() if not row["success"]]
    assert failed == (["warn"] if warned else [])


def test_a_day_whose_items_the_catalogue_mostly_lacks_is_not_published(
    make_lake: Callable[..., Lake], spark: SparkSession
) -> None:
    lake = make_lake()
    fill(lake, ["1", "2", "3"], ["01", "02", "3"])
    with pytest.raises(AuditFailed, match="unknown_share"):
        lake.run("gold.data_report_daily", ds=DAY)
    assert lake.tables.read("gold.data_report_daily").count() == 0
