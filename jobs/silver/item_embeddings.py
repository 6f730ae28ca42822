"""Vectors of item texts: one row per (item, text, encoder), written when the pair is first seen.

Method: docs/decisions/0006-embeddings-and-milvus.md. Source: silver.item_texts of the day.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Read, Run, table
from jobs.vectors.embeddings import embeddings_to_add
from jobs.vectors.encoder import Encoder

TABLE = "silver.item_embeddings"


@table(
    TABLE, reads={"texts": Read("silver.item_texts"), "kept": Read(TABLE)}, settings=("encoder",)
)
def item_embeddings(run: Run, texts: DataFrame, kept: DataFrame) -> DataFrame:
    """item_id, text_hash, encoder, embedding, first_ds: the day's pairs that are not kept yet.

    texts: the day's text of each item. kept: this table so far.
    """
    added = embeddings_to_add(texts, kept, "item_id", Encoder.of(run.settings.encoder), run.scratch)
    return added.withColumn("first_ds", F.lit(run.ds))
