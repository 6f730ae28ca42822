"""Every version of every catalogue item, one row per (item_id, valid_from).

A record that repeats the version before it is folded. If one item has several records on one day,
the last in file order counts; an earlier record that differs goes to quarantine. An item that a
complete delivery lacks has a version that is not sellable from the day of that delivery, and so has
an item of which none is left. Readers see an item as sellable only on its days of sale.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import Outcome, Read, Run, View, table
from jobs.lake.file_bounds import Bounds
from jobs.lake.hashing import hash_columns
from jobs.lake.intake.landing import SALE_DAYS, is_sold, row_hash
from jobs.lake.intake.mapping import Entity
from jobs.lake.settings import Sections
from jobs.lake.versions import (
    STANDING,
    Standing,
    judge_versions,
    missing_from_deliveries,
    superseded,
)
from jobs.llm.contents import CONTENT_FIELDS

# In the place of a file, of records that no source sent.
MADE = ""
COLUMNS = ("item_id", *CONTENT_FIELDS, "size", "price", "is_sellable", *SALE_DAYS)


def on_sale(rows: DataFrame, ds: date, settings: Sections, bounds: Bounds) -> DataFrame:
    """The catalogue as readers see it on a day: `is_sellable` is false outside the days of sale,
    both of which belong to the sale."""
    if not has_days_of_sale(bounds):
        return rows
    return rows.withColumn("is_sellable", F.col("is_sellable") & is_day_of_sale(ds))


def is_day_of_sale(ds: date) -> Column:
    """Whether a day lies within an item's days of sale; an open end is no end."""
    first, last = (F.col(name) for name in SALE_DAYS)
    return (first.isNull() | (first <= F.lit(ds))) & (last.isNull() | (last >= F.lit(ds)))


def has_days_of_sale(bounds: Bounds) -> bool:
    """Whether any row of the catalogue may have a day of sale."""
    return any(bounds(name) != (None, None) for name in SALE_DAYS)


@table(
    "silver.items",
    reads={
        "received": Read("bronze.items", pending=True),
        "held": Read("silver.items"),
        "delivered": Read("bronze.items"),
    },
    accounts_for="received",
    views={"": View(on_sale, by_day=has_days_of_sale)},
)
def items(run: Run, received: DataFrame, held: DataFrame, delivered: DataFrame) -> Outcome:
    """item_id, valid_from date, the catalogue's columns, content_hash, row_hash.

    received: records not taken in yet. held: the newest version of each item. delivered: all
    records.
    """
    records = received
    # All records are looked through only where a complete delivery came in.
    if not received.where("complete_source IS NOT NULL").isEmpty():
        records = received.unionByName(no_longer_sold(delivered, run.watermark))
    records = records.withColumn("is_sellable", is_sold())
    judged = run.scratch.once(judge_versions(records, held, "item_id"))
    is_made = F.col("source_file") == MADE
    new = judged.where(F.col(STANDING) == Standing.new.value)
    judged = judged.where(~is_made)
    return Outcome(
        rows=new.select(
            *COLUMNS,
            F.col("ingest_ds").alias("valid_from"),
            hash_columns(*(F.col(name) for name in CONTENT_FIELDS)).alias("content_hash"),
            "row_hash",
        ),
        quarantined=superseded(judged, list(COLUMNS)),
        folded=judged.where(F.col(STANDING) == Standing.unchanged.value),
        added=new.where(is_made),
    )


def no_longer_sold(delivered: DataFrame, after: date | None) -> DataFrame:
    """A record that is not sellable for each sold item that a complete delivery lacks.

    delivered, after: as `jobs.lake.versions.missing_from_deliveries` takes them. The columns of
    delivered come back; source_file is MADE.
    """
    missing = missing_from_deliveries(delivered, "item_id", after).where("is_sellable")
    unsold = missing.withColumns(
        {
            "is_sellable": F.lit(False),
            "source_file": F.lit(MADE),
            "source_row": F.lit(0).cast("long"),
        }
    )
    return unsold.withColumn("row_hash", row_hash(Entity.items))
