"""The items whose texts are near a text.

Many items share one text (sizes and colors of one product), so a search among items would answer
with a crowd of equal hits. So the search is for near *texts*: each text is asked once, the answer
is one item of each near text, and each of these texts is expanded to its items in id order. A list
then holds several products, and the same ones on every run.

The texts near many vectors are found in Spark tasks that compare with every text, unless the index
is an approximate one (`nearest_texts`). The dot product of two vectors is exact
(`jobs.vectors.encoder`), so both ways give the same scores to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.recall.kernels.compiled import kernel
from jobs.recall.kernels.heap import best_of_row
from jobs.recall.kernels.mapped import map_arrays, save_arrays
from jobs.vectors.hits import TextHits, TextSearch

_VECTORS_AT_ONCE = 20_000
_COMPARED_AT_ONCE = 1_000
# The vectors of one task, and the cells of the product that it holds at once: 64 MB.
_VECTORS_IN_A_TASK = 2_000
_CELLS_AT_ONCE = 2**24
_HITS_DDL = "query_id string, item_id string, score double"
_HITS_SCHEMA = pa.schema(
    [
        pa.field("query_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("score", pa.float64()),
    ]
)
_SCORE_PLACES = 6


def search_among_all(ids: Sequence[str], matrix: NDArray[np.float32]) -> TextSearch:
    """A search that compares with every vector; ties in the order of `ids`.

    matrix: float32 (ids, dimension).
    """

    def search(vectors: NDArray[np.float32], depth: int) -> TextHits:
        if not ids:
            return [[]] * len(vectors), [[]] * len(vectors)
        found: list[list[str]] = []
        scores: list[list[float]] = []
        for start in range(0, len(vectors), _COMPARED_AT_ONCE):
            cosines = vectors[start : start + _COMPARED_AT_ONCE] @ matrix.T
            best, of_best, sizes = _best_of_rows(cosines, depth)
            for row, size in enumerate(sizes):
                found.append([ids[place] for place in best[row, :size]])
                scores.append(of_best[row, :size].tolist())
        return found, scores

    return search


def item_texts_with_vectors(
    texts: DataFrame, embeddings: DataFrame, items: DataFrame, encoder: str
) -> DataFrame:
    """Each sellable item with the text of the day and that text's vector.

    texts: item_id, text_hash string (silver.item_texts of the day). embeddings: item_id, text_hash,
    encoder string, embedding array<float>. items: item_id string, is_sellable boolean.
    Returns item_id, text_hash string, embedding array<float>.
    """
    vectors = embeddings.where(F.col("encoder") == encoder)
    sellable = items.where("is_sellable").select("item_id")
    return (
        texts.select("item_id", "text_hash")
        .join(sellable, "item_id", "left_semi")
        .join(vectors, ["item_id", "text_hash"])
        .select("item_id", "text_hash", "embedding")
    )


def nearest_texts(
    vectors: DataFrame,
    key: str,
    texts: DataFrame,
    search: TextSearch | None,
    depth: int,
    scratch: Scratch,
) -> DataFrame:
    """The texts near each of many vectors.

    vectors: `key` string (unique), embedding array<float>. texts: as `distinct_texts` returns them.
    search: an approximate index of these texts; None compares with every text, in tasks. depth:
    texts to find for each vector. scratch: must live until the result is read.
    Returns `key` string, item_id string (of the text), score double (cosine, to six places). Of
    equal scores, the text with the smaller item_id comes first. Without an index, the vectors of
    all texts come to this process at once.
    """
    if search is not None:
        return find_hits(vectors, key, search, depth, scratch)
    rows = scratch.computed(texts.select("item_id", "embedding")).to_arrow()
    folder = scratch.put(TextVectors.from_rows(rows))
    asked = scratch.computed(vectors.select(F.col(key).alias("query_id"), "embedding"))
    tasks = max(1, ceil(asked.rows / _VECTORS_IN_A_TASK))
    hits = asked.frame.repartition(tasks).mapInArrow(_compared_in_tasks(folder, depth), _HITS_DDL)
    return hits.withColumnRenamed("query_id", key)


@dataclass(frozen=True)
class TextVectors:
    """One item of each text and the text's vector.

    item_ids: ascending. vectors: float32 (texts, dimension).
    """

    item_ids: pa.StringArray
    vectors: NDArray[np.float32]

    @classmethod
    def from_rows(cls, rows: pa.Table) -> TextVectors:
        """rows: item_id string (unique), perhaps dictionary-encoded, embedding list<float>."""
        item_ids = rows["item_id"].cast(pa.string()).combine_chunks()
        order = pc.array_sort_indices(item_ids)
        return cls(item_ids.take(order), matrix_of(rows["embedding"])[order.to_numpy()])

    def save(self, folder: Path) -> None:
        """Write the arrays where the tasks can map them."""
        save_arrays(folder, self.item_ids, {"vectors": self.vectors})

    @classmethod
    def load(cls, folder: Path) -> TextVectors:
        """Map saved arrays."""
        item_ids, arrays = map_arrays(folder, ("vectors",))
        return cls(item_ids, **arrays)

    def nearest(self, keys: pa.Array, asked: NDArray[np.float32], depth: int) -> pa.RecordBatch:
        """The `depth` nearest texts of each vector, in the columns of _HITS_SCHEMA.

        keys, asked: of each vector. Order: vector as given, then score descending, then item_id
        ascending.
        """
        columns, scores, sizes = _best_of_rows(asked @ self.vectors.T, depth)
        within = np.arange(columns.shape[1]) < sizes[:, None]
        rounded = np.clip(np.round(scores[within], _SCORE_PLACES), -1, 1)
        queries = keys.take(pa.array(np.repeat(np.arange(len(sizes)), sizes)))
        items = self.item_ids.take(pa.array(columns[within]))
        return pa.record_batch([queries, items, pa.array(rounded)], schema=_HITS_SCHEMA)


def _compared_in_tasks(
    folder: Path, depth: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over query_id string, embedding array<float>: the nearest texts of each.

    folder: where TextVectors were saved, readable on every executor.
    """

    def compared(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        texts = TextVectors.load(folder)
        at_once = max(1, _CELLS_AT_ONCE // max(1, len(texts.item_ids)))
        for batch in batches:
            for start in range(0, len(texts.item_ids) and len(batch), at_once):
                part = batch.slice(start, at_once)
                keys = part["query_id"].cast(pa.string())
                yield texts.nearest(keys, matrix_of(part["embedding"]), depth)

    return compared


@kernel
def _best_of_rows(
    cells: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64]]:
    """The k best cells of each row, best first: columns and scores (rows, k), and their number."""
    columns = np.empty((len(cells), k), np.int32)
    scores = np.empty((len(cells), k), np.float64)
    sizes = np.empty(len(cells), np.int64)
    for row in range(len(cells)):
        sizes[row] = best_of_row(cells[row], scores[row], columns[row])
    return columns, scores, sizes


def find_hits(
    vectors: DataFrame, key: str, search: TextSearch, depth: int, scratch: Scratch
) -> DataFrame:
    """Ask an index for the texts near each vector.

    vectors: `key` string (unique), embedding array<float>. depth: texts to find for each vector.
    scratch: must live until the result is read.
    Returns `key` string, item_id string (one item of the text), score double (cosine, to six
    places: the index computes in single precision). At most 20,000 vectors come to this process at
    once.
    """
    asked = scratch.computed(vectors.select(key, "embedding"))
    found = (
        _hits_table(part[key], *search(matrix_of(part["embedding"]), depth))
        for part in asked.parts(_VECTORS_AT_ONCE)
    )
    hits = scratch.from_arrow(vectors.sparkSession, found, _HITS_SCHEMA)
    return hits.withColumnRenamed("query_id", key)


def matrix_of(vectors: pa.Array | pa.ChunkedArray) -> NDArray[np.float32]:
    """Vectors of one length as rows, float32 (n, dimension); without a vector, one empty row."""
    whole = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    flat = whole.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(max(len(whole), 1), -1)


def _hits_table(
    keys: pa.ChunkedArray, ids: Sequence[Sequence[str]], scores: Sequence[Sequence[float]]
) -> pa.Table:
    sizes = [len(found) for found in ids]
    queries = keys.take(pa.array(np.repeat(np.arange(len(sizes)), sizes)))
    items = pa.array([item for found in ids for item in found], pa.string())
    cosines = np.array([score for found in scores for score in found], dtype=np.float64)
    rounded = pa.array(np.clip(np.round(cosines, _SCORE_PLACES), -1, 1))
    return pa.table([queries, items, rounded], schema=_HITS_SCHEMA)


def distinct_texts(item_texts: DataFrame) -> DataFrame:
    """item_id, text_hash string, embedding array<float>: of each text, its first item in id order.

    item_texts: item_id, text_hash string, embedding array<float>.
    """
    first = F.min_by(F.struct("item_id", "embedding"), "item_id").alias("first")
    return item_texts.groupBy("text_hash").agg(first).select("text_hash", "first.*")


def places_in_texts(item_texts: DataFrame) -> DataFrame:
    """item_id, text_hash string, place int: from 1 within the text, in item_id order."""
    within_text = Window.partitionBy("text_hash").orderBy("item_id")
    return item_texts.select(
        "item_id", "text_hash", F.row_number().over(within_text).alias("place")
    )


def expand_texts(hits: DataFrame, places: DataFrame, key: str, most: int) -> DataFrame:
    """The first `most` items of each text that was hit.

    hits: `key` string, item_id string (one item of the text), score double. places: as
    `places_in_texts` returns them. Returns `key`, item_id, text_hash string, place int, score.
    """
    texts = hits.join(places.select("item_id", "text_hash"), "item_id").drop("item_id")
    return texts.join(places.where(F.col("place") <= most), "text_hash").select(
        key, "item_id", "text_hash", "place", "score"
    )
