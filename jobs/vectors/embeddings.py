"""The steps that embedding tables share: find new texts, encode each once, give it to its ids."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.vectors.encoder import Encoder

# The fewest texts of a task. Loading the model takes a worker process as long as some thousand
# short texts, so few texts are not spread over many processes. Fewer are encoded in this process.
TEXTS_OF_A_TASK = 1_000
# The most tasks, and so the most cores that encode at once.
MOST_TASKS = 64


def embeddings_to_add(
    texts: DataFrame, kept: DataFrame, id_column: str, encoder: Encoder, scratch: Scratch
) -> DataFrame:
    """The (id, text) pairs of the day that have no vector by this encoder yet, with their vectors.

    texts: `id_column`, text, text_hash string; one row an id. kept: the embedding table so far.
    scratch: must live until the result is read.
    Returns `id_column`, text_hash, encoder string, embedding array<float>. A text that the table
    has for any id is not encoded again; every other distinct text is encoded once.
    """
    kept = kept.where(F.col("encoder") == encoder.name)
    missing = texts.join(kept, [id_column, "text_hash"], "left_anti")
    known = (
        kept.join(missing, "text_hash", "left_semi")
        .groupBy("text_hash")
        .agg(F.min_by("embedding", id_column).alias("embedding"))
    )
    new = missing.join(known, "text_hash", "left_anti")
    vectors = known.unionByName(encode_distinct(new, encoder, scratch))
    return (
        missing.select(id_column, "text_hash")
        .join(vectors, "text_hash")
        .select(id_column, "text_hash", F.lit(encoder.name).alias("encoder"), "embedding")
    )


def encode_distinct(texts: DataFrame, encoder: Encoder, scratch: Scratch) -> DataFrame:
    """One row for each distinct text_hash: many texts are encoded on the executors, few here.

    texts: text, text_hash string. scratch: must live until the result is read. Returns text_hash
    string, embedding array<float>.
    """
    # Computed once, so that counting does not find them a second time.
    distinct = scratch.computed(texts.groupBy("text_hash").agg(F.min("text").alias("text")))
    count = distinct.frame.count()
    if count <= TEXTS_OF_A_TASK:
        parts = [_encoded(distinct.to_arrow(), encoder)] if count else []
        return scratch.from_arrow(texts.sparkSession, parts, _ENCODED)

    def encode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield from _encoded(pa.table(batch), encoder).to_batches()

    tasks = min(MOST_TASKS, -(-count // TEXTS_OF_A_TASK))
    return distinct.frame.repartition(tasks).mapInArrow(
        encode, "text_hash string, embedding array<float>"
    )


_ENCODED = pa.schema([("text_hash", pa.string()), ("embedding", pa.list_(pa.float32()))])


def _encoded(texts: pa.Table, encoder: Encoder) -> pa.Table:
    """text_hash, embedding of some texts, at least one."""
    vectors = encoder.encode(texts["text"].to_pylist())
    flat = pa.array(vectors.reshape(-1))
    offsets = pa.array(range(0, len(flat) + 1, vectors.shape[1]), pa.int32())
    embedding = pa.ListArray.from_arrays(offsets, flat)
    return pa.table([texts["text_hash"].cast(pa.string()), embedding], schema=_ENCODED)


def encode_words(words: DataFrame, column: str, encoder: Encoder, scratch: Scratch) -> DataFrame:
    """One row for each distinct word or phrase, encoded on the executors: `column`, embedding.

    words: `column` string, the key. scratch: as in `embeddings_to_add`.
    """
    texts = words.select(F.col(column).alias("text"), F.col(column).alias("text_hash"))
    return encode_distinct(texts, encoder, scratch).withColumnRenamed("text_hash", column)
