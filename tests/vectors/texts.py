"""Texts of a day, put into a lake without the runs that would make them."""

from __future__ import annotations

from datetime import date

from pyspark.sql import functions as F

from jobs.lake import Lake
from jobs.lake.oplog import PUBLISHED, RunRecord

# The id and the hash that each table of texts has of its own.
_OWN_COLUMNS = {
    "silver.item_texts": ("item_id", "content_hash"),
    "silver.user_texts": ("user_id", "profile_hash"),
}


def publish_texts(lake: Lake, table: str, day: date, texts: dict[str, str]) -> None:
    """Put the day's texts, by id, into a table of texts, as its own run would."""
    id_column, hash_column = _OWN_COLUMNS[table]
    rows = lake.spark.createDataFrame(list(texts.items()), f"{id_column} string, text string")
    full = rows.withColumns(
        {
            "ds": F.lit(day),
            "text_hash": F.sha2("text", 256),
            "text_source": F.lit("template"),
            hash_column: F.lit("h"),
            "prompt_version": F.lit(None).cast("string"),
            "model": F.lit(None).cast("string"),
        }
    )
    lake.tables.replace(table, full.select(lake.contracts[table].column_names), f"ds = '{day}'")
    lake.log.record_run(RunRecord(f"{table}-{day}", table, "", day, day, PUBLISHED))
