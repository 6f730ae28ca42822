"""Every version of every catalogue item, one row per (item_id, valid_from).

A record that repeats the version before it is folded. If one item has several records on one day,
the last in file order counts; an earlier record that differs goes to quarantine.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Outcome, Read, Run, table
from jobs.lake.hashing import hash_columns
from jobs.lake.versions import STANDING, Standing, judge_versions, superseded
from jobs.llm.contents import CONTENT_FIELDS

COLUMNS = ("item_id", *CONTENT_FIELDS, "size", "price", "is_sellable")


@table(
    "silver.items",
    reads={"received": Read("bronze.items", pending=True), "held": Read("silver.items")},
    accounts_for="received",
)
def items(run: Run, received: DataFrame, held: DataFrame) -> Outcome:
    """item_id, valid_from date, the catalogue's columns, content_hash, row_hash.

    received: records not taken in yet. held: the newest version of each item.
    """
    versions = judge_versions(received, held, "item_id")
    judged = run.scratch.once(versions)
    new = judged.where(F.col(STANDING) == Standing.new.value)
    return Outcome(
        rows=new.select(
            *COLUMNS,
            F.col("ingest_ds").alias("valid_from"),
            hash_columns(*(F.col(name) for name in CONTENT_FIELDS)).alias("content_hash"),
            "row_hash",
        ),
        quarantined=superseded(judged, list(COLUMNS)),
        folded=judged.where(F.col(STANDING) == Standing.unchanged.value),
    )
