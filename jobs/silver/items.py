"""Every version of every catalogue item, one row per (item_id, valid_from).

A record that repeats the version before it is folded. Of several records of one item and day the
last in file order counts; an earlier one that says something else goes to quarantine.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Outcome, Read, Run, table
from jobs.lake.hashing import hash_columns
from jobs.lake.history import VERDICT, Verdict, judge_versions, superseded
from jobs.lake.scratch import computed_once

# What an LLM prompt depends on; size and price may change without a new answer.
CONTENT = ("title", "category", "department", "brand", "description")
COLUMNS = ("item_id", *CONTENT, "size", "price", "is_sellable")


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
    judged = computed_once(versions, f"{run.scratch}/items")
    new = judged.where(F.col(VERDICT) == Verdict.new.value)
    return Outcome(
        rows=new.select(
            *COLUMNS,
            F.col("ingest_ds").alias("valid_from"),
            hash_columns(*(F.col(name) for name in CONTENT)).alias("content_hash"),
            "row_hash",
        ),
        quarantined=superseded(judged, list(COLUMNS)),
        folded=judged.where(F.col(VERDICT) == Verdict.unchanged.value),
    )
