"""The items whose texts a search finds near a text.

Many items share one text (sizes and colors of one product), so an index of items would answer with
a crowd of equal hits. So the search is for near *texts*: each text is asked once, the index answers
with one item of each near text, and each of these texts is expanded to its items in id order. A
list then holds several products, and the same ones on every run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake.scratch import Scratch
from jobs.vectors.hits import TextHits, TextSearch

_VECTORS_AT_ONCE = 20_000
_COMPARED_AT_ONCE = 1_000
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
            best = np.argsort(-cosines, axis=1, kind="stable")[:, :depth]
            found += [[ids[place] for place in row] for row in best]
            scores += np.take_along_axis(cosines, best, axis=1).tolist()
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


def find_hits(
    vectors: DataFrame, key: str, search: TextSearch, depth: int, scratch: Scratch
) -> DataFrame:
    """Ask the index for the texts near each vector.

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
