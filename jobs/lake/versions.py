"""Which received records are new versions for a history table."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

STANDING = "standing"


class Standing(StrEnum):
    """new: a version to keep. unchanged: repeats the version before. superseded: a later record in
    file order, of the same id and day, says something else.
    """

    new = "new"
    unchanged = "unchanged"
    superseded = "superseded"


def judge_versions(received: DataFrame, held: DataFrame, id: str) -> DataFrame:
    """Every received record with its standing.

    received: `id`, ingest_ds, source_file, source_row, row_hash and any other columns; days after
    those of `held`. held: `id`, row_hash; the newest version of each id.
    Returns the columns of `received` and standing. For one id and day, the last record by
    (source_file, source_row) counts. Days are taken in order, so that a change and a change back
    within one run are two versions.
    """
    day = Window.partitionBy(id, "ingest_ds").orderBy(F.desc("source_file"), F.desc("source_row"))
    by_day = Window.partitionBy(id).orderBy("ingest_ds")
    ranked = received.withColumns(
        {"_place": F.row_number().over(day), "_last_hash": F.first("row_hash").over(day)}
    )
    known = held.select(id, F.col("row_hash").alias("_held_hash"))
    last = (
        ranked.where("_place = 1")
        .join(known, id, "left")
        .withColumn("_before", F.coalesce(F.lag("row_hash").over(by_day), F.col("_held_hash")))
    )
    same = F.col("row_hash").eqNullSafe(F.col("_before"))
    repeats = F.col("row_hash") == F.col("_last_hash")
    judged_last = last.withColumn(STANDING, _either(same, Standing.new))
    judged_rest = ranked.where("_place > 1").withColumn(
        STANDING, _either(repeats, Standing.superseded)
    )
    columns = [*received.columns, STANDING]
    return judged_last.select(*columns).unionByName(judged_rest.select(*columns))


def missing_from_deliveries(delivered: DataFrame, id: str, after: date | None) -> DataFrame:
    """Of each id that a complete delivery lacks, the record by which it was known until then.

    delivered: all records ever received: `id`, ingest_ds, source_file, source_row, complete_source
    (the source, if each of its deliveries holds all that it has, else null) and any other columns.
    after: deliveries of this day and before are not looked at again; None for the first run.
    Returns the columns of `delivered`, with the day of the delivery as ingest_ds. An id that
    another source has delivered since is not missing.
    """
    day = Window.partitionBy(id, "ingest_ds").orderBy(F.desc("source_file"), F.desc("source_row"))
    by_day = Window.partitionBy(id).orderBy("ingest_ds")
    of_source = Window.partitionBy("complete_source").orderBy("ingest_ds")
    known = (
        delivered.withColumn("_place", F.row_number().over(day))
        .where("_place = 1")
        .withColumn("_again", F.lead("ingest_ds").over(by_day))
        .where("complete_source IS NOT NULL")
    )
    days = known.select("complete_source", "ingest_ds").distinct()
    next_days = days.withColumn("_next", F.lead("ingest_ds").over(of_source))
    is_new = F.lit(True) if after is None else F.col("_next") > F.lit(after)
    is_missing = F.col("_again").isNull() | (F.col("_again") > F.col("_next"))
    return (
        known.join(next_days, ["complete_source", "ingest_ds"])
        .where(is_new & is_missing & F.col("_next").isNotNull())
        .withColumn("ingest_ds", F.col("_next"))
        .select(*delivered.columns)
    )


def _either(unchanged: Column, otherwise: Standing) -> Column:
    return F.when(unchanged, Standing.unchanged.value).otherwise(otherwise.value)


def superseded(judged: DataFrame, columns: list[str]) -> DataFrame:
    """The superseded records as quarantine rows; `columns` go into the payload."""
    return judged.where(F.col(STANDING) == Standing.superseded.value).select(
        "source_file",
        F.col("source_row").cast("string").alias("row_id"),
        F.lit(None).cast("string").alias("column"),
        F.lit("a later row of the same day says something else").alias("reason"),
        F.to_json(F.struct(*columns), {"ignoreNullFields": "false"}).alias("payload"),
    )
