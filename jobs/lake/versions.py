"""Which received records are new versions for a history table."""

from __future__ import annotations

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
