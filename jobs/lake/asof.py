"""As-of reads: what each layout shows to a run of one day (invariant 1)."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake.contract import Contract, Layout
from jobs.lake.step import Read, Run


def as_of(frame: DataFrame, contract: Contract, read: Read, run: Run, own: bool) -> DataFrame:
    """The rows of one table that a run may see, by the table's layout.

    frame: the whole table, with the contract's columns.
    own: whether the table reads itself; it then sees its state up to its own watermark.

    received: `ingest_ds` ≤ known_on; with `read.pending` only rows after the watermark.
    events: `ingest_ds` ≤ known_on and `event_date` ≤ ds. history: for each id the row with the
    newest `valid_from` ≤ known_on. daily: `ds` in [ds - days_back, ds]. cache, log: all rows of the
    version that is read, the newest unless the read is `pinned`. answers: one row for each key.
    """
    known_on = run.watermark if own else run.known_on
    if contract.layout in (Layout.cache, Layout.log):
        return frame
    if contract.layout is Layout.answers:
        return first_answers(frame, contract)
    if contract.layout is Layout.daily:
        return frame.where(days_between(run.ds, read.days_back))
    if known_on is None:
        return frame.limit(0)
    if contract.layout is Layout.received:
        seen = F.col("ingest_ds") <= F.lit(known_on)
        if read.pending and run.watermark is not None:
            seen = seen & (F.col("ingest_ds") > F.lit(run.watermark))
        return frame.where(seen)
    if contract.layout is Layout.events:
        known = F.col("ingest_ds") <= F.lit(known_on)
        happened = F.col("event_date") <= F.lit(run.ds)
        return frame.where(known & happened)
    return newest_version(frame, contract, known_on)


def days_between(ds: date, days_back: int) -> Column:
    """The partition predicate of `days_back` earlier days and `ds` itself."""
    if days_back == 0:
        return F.col("ds") == F.lit(ds)
    return F.col("ds").between(F.date_sub(F.lit(ds), days_back), F.lit(ds))


def first_answers(frame: DataFrame, contract: Contract) -> DataFrame:
    """For each key the row that was selected first, even if another was committed first."""
    order = [F.col("selected_ds"), F.col("message_hash"), F.xxhash64("raw_text")]
    first = Window.partitionBy(*contract.key).orderBy(*order)
    numbered = frame.withColumn("_place", F.row_number().over(first))
    return numbered.where("_place = 1").drop("_place")


def newest_version(frame: DataFrame, contract: Contract, known_on: date) -> DataFrame:
    """For each id the row with the newest `valid_from` that is not after `known_on`."""
    ids = [name for name in contract.key if name != "valid_from"]
    others = [name for name in contract.column_names if name not in ids]
    newest = F.max_by(F.struct(*others), F.col("valid_from")).alias("newest")
    versions = frame.where(F.col("valid_from") <= F.lit(known_on)).groupBy(*ids).agg(newest)
    return versions.select(*ids, "newest.*").select(*contract.column_names)
