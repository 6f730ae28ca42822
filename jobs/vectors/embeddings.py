"""The embedding tables' shared steps: which texts are new, encode each once, give it to its ids."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.vectors.encoder import Encoder

# New texts are spread over this many tasks, which is the most cores that encode at once. A task
# without texts costs next to nothing: the model is loaded by the first text of a worker process.
ENCODING_TASKS = 16


def embeddings_to_add(
    texts: DataFrame, kept: DataFrame, id_column: str, encoder: Encoder
) -> DataFrame:
    """The (id, text) pairs of the day that have no vector by this encoder yet, with their vectors.

    texts: `id_column`, text, text_hash string; one row an id. kept: the embedding table so far.
    Returns `id_column`, text_hash, encoder string, embedding array<float>. A text that is kept
    for any id is not encoded again, and of the others each distinct one is encoded once.
    """
    kept = kept.where(F.col("encoder") == encoder.name)
    missing = texts.join(kept, [id_column, "text_hash"], "left_anti")
    known = (
        kept.join(missing, "text_hash", "left_semi")
        .groupBy("text_hash")
        .agg(F.min_by("embedding", id_column).alias("embedding"))
    )
    new = missing.join(known, "text_hash", "left_anti")
    vectors = known.unionByName(encode_distinct(new, encoder))
    return (
        missing.select(id_column, "text_hash")
        .join(vectors, "text_hash")
        .select(id_column, "text_hash", F.lit(encoder.name).alias("encoder"), "embedding")
    )


def encode_distinct(texts: DataFrame, encoder: Encoder) -> DataFrame:
    """One row for each distinct text_hash, encoded on the executors.

    texts: text, text_hash string. Returns text_hash string, embedding array<float>.
    """

    def encode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            vectors = encoder.encode(batch.column("text").to_pylist())
            flat = pa.array(vectors.reshape(-1))
            offsets = pa.array(range(0, len(flat) + 1, vectors.shape[1]), pa.int32())
            embedding = pa.ListArray.from_arrays(offsets, flat)
            yield pa.RecordBatch.from_arrays(
                [batch.column("text_hash"), embedding], ["text_hash", "embedding"]
            )

    distinct = texts.groupBy("text_hash").agg(F.min("text").alias("text"))
    return distinct.repartition(ENCODING_TASKS, "text_hash").mapInArrow(
        encode, "text_hash string, embedding array<float>"
    )
