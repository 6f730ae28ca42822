"""Items by the meaning of their text: what the vector index finds near a text.

Many items share one text (sizes and colours of one product), so an index of items would answer
with a crowd of equal hits. What counts here is which *texts* are near: each text is asked once, the
index answers with one item of each near text, and those are expanded to their items in id order.
A list then holds several products, and the same ones on every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.recall.settings import ContentSettings

if TYPE_CHECKING:
    from jobs.settings import Settings

# (ids, cosines): for each vector that was asked, its nearest items, best first.
Hits = tuple[Sequence[Sequence[str]], Sequence[Sequence[float]]]
# From vectors, float32 (n, dimension), and how many texts each is to find: one item of each text.
Search = Callable[[NDArray[np.float32], int], Hits]

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


def search_of_day(settings: Settings, ds: date) -> Search:
    """A search over the item texts of `ds` in Milvus, whatever is live there.

    It connects when it is first asked, so a day without texts needs no index.
    """
    from jobs.vectors.index import ItemIndex

    def search(vectors: NDArray[np.float32], depth: int) -> Hits:
        with ItemIndex(settings).of_day(ds) as find:
            return find(vectors, depth)

    return search


def search_among_all(ids: Sequence[str], matrix: NDArray[np.float32]) -> Search:
    """A search that compares with every vector; ties in the order of `ids`.

    matrix: float32 (ids, dimension).
    """

    def search(vectors: NDArray[np.float32], depth: int) -> Hits:
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


def user_vectors(texts: DataFrame, embeddings: DataFrame, encoder: str) -> DataFrame:
    """Each active user with the vector of the day's text.

    texts: user_id, text_hash string (silver.user_texts of the day). embeddings: user_id, text_hash,
    encoder string, embedding array<float>. Returns user_id string, embedding array<float>.
    """
    vectors = embeddings.where(F.col("encoder") == encoder)
    return (
        texts.select("user_id", "text_hash")
        .join(vectors, ["user_id", "text_hash"])
        .select("user_id", "embedding")
    )


def distinct_vectors(vectors: DataFrame, key: str) -> DataFrame:
    """One row for each distinct value of `key`, with its vector.

    vectors: `key` string, embedding array<float>, equal on all rows of one key.
    """
    return vectors.groupBy(key).agg(F.min("embedding").alias("embedding"))


def find_hits(vectors: DataFrame, key: str, search: Search, depth: int, folder: str) -> DataFrame:
    """Ask the index for the texts near each vector; the answers go to files in `folder`.

    vectors: `key` string (unique), embedding array<float>. depth: texts asked for each vector.
    folder: must be shared with the executors and not exist yet.
    Returns `key` string, item_id string (one item of the text), score double (cosine, to six
    places: the index computes in single precision). Vectors come to this process in parts of some
    20,000.
    """
    Path(folder).mkdir(parents=True)
    for number, (keys, matrix) in enumerate(_parts(vectors, key)):
        ids, scores = search(matrix, depth)
        pq.write_table(_hits_table(keys, ids, scores), f"{folder}/hits-{number:05d}.parquet")
    spark = vectors.sparkSession
    hits = spark.read.schema("query_id string, item_id string, score double").parquet(folder)
    return hits.withColumnRenamed("query_id", key)


def _parts(vectors: DataFrame, key: str) -> Iterator[tuple[pa.ChunkedArray, NDArray[np.float32]]]:
    """The vectors in parts that fit in memory, each in key order."""
    parts = -(-vectors.count() // _VECTORS_AT_ONCE)
    for part in range(parts):
        bucket = F.pmod(F.xxhash64(key), F.lit(parts)) == part
        table = vectors.where(bucket).orderBy(key).select(key, "embedding").toArrow()
        if table.num_rows:
            yield table[key], matrix_of(table["embedding"])


def matrix_of(vectors: pa.Array | pa.ChunkedArray) -> NDArray[np.float32]:
    """Vectors of one length as rows, float32 (n, dimension); one row of no length for none."""
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

    hits: `key` string, item_id string (one of the text), score double. places: as
    `places_in_texts` returns them. Returns `key`, item_id, text_hash string, place int, score.
    """
    texts = hits.join(places.select("item_id", "text_hash"), "item_id").drop("item_id")
    return texts.join(places.where(F.col("place") <= most), "text_hash").select(
        key, "item_id", "text_hash", "place", "score"
    )


def content_neighbors(
    item_texts: DataFrame, search: Search, settings: ContentSettings, scratch: str
) -> DataFrame:
    """The sellable items whose text is nearest, for every sellable item that has a vector.

    item_texts: item_id string, text_hash string, embedding array<float> of each sellable item.
    search: the day's index. scratch: shared with the executors.
    Returns item_id string, rank int from 1, neighbor_item_id string, score double (cosine),
    support long, always null. At most `settings.neighbors` rows an item and
    `settings.items_per_text` for one text. Order: score descending, neighbor_item_id ascending.

    All items of a text have the same list, but for themselves. So there is one list a text, which
    has one row more than needed, and each item leaves out one: itself, or, when it is not among
    the first of its text, the one that would be too many.
    """
    asked = distinct_vectors(item_texts, "text_hash").withColumnRenamed("text_hash", "query_hash")
    # The own text and one other for each neighbor: every text has an item at least.
    hits = find_hits(asked, "query_hash", search, settings.neighbors + 1, f"{scratch}/content_hits")
    near_texts = hits.where(F.col("score") >= settings.min_score)
    places = places_in_texts(item_texts)
    per_text = settings.items_per_text
    is_own = F.col("text_hash") == F.col("query_hash")
    near = expand_texts(near_texts, places, "query_hash", per_text + 1).where(
        is_own | (F.col("place") <= per_text)
    )
    row = F.struct((-F.col("score")).alias("least"), "item_id", is_own.alias("is_own"), "place")
    lists = near.groupBy("query_hash").agg(
        F.slice(F.array_sort(F.collect_list(row)), 1, settings.neighbors + 1).alias("list")
    )
    asks = places.select(
        "item_id",
        F.col("text_hash").alias("query_hash"),
        F.least("place", F.lit(per_text + 1)).alias("left_out"),
    )
    others = F.filter("list", lambda near: ~(near["is_own"] & (near["place"] == F.col("left_out"))))
    return (
        asks.join(lists, "query_hash")
        .select("item_id", F.posexplode(F.slice(others, 1, settings.neighbors)))
        .select(
            "item_id",
            (F.col("pos") + 1).alias("rank"),
            F.col("col.item_id").alias("neighbor_item_id"),
            (-F.col("col.least")).alias("score"),
            F.lit(None).cast("long").alias("support"),
        )
    )


def recall_hits(
    user_vectors: DataFrame,
    item_texts: DataFrame,
    search: Search,
    settings: ContentSettings,
    scratch: str,
) -> DataFrame:
    """The sellable items whose text is nearest to each user's.

    user_vectors: user_id string, embedding array<float>. item_texts: item_id, text_hash string.
    Returns user_id, item_id string, score double (cosine), at most `settings.items_per_text`
    items for one text.
    """
    depth = settings.user_search_depth
    hits = find_hits(user_vectors, "user_id", search, depth, f"{scratch}/user_hits")
    near_texts = hits.where(F.col("score") >= settings.min_score)
    near = expand_texts(near_texts, places_in_texts(item_texts), "user_id", settings.items_per_text)
    return near.select("user_id", "item_id", "score")
