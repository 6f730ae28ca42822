"""Items by the meaning of their text: what the vector index finds near a text.

Many items share one text (sizes and colours of one product), so an index of items answers with a
crowd of equal hits, in no stable order. What counts here is which *texts* are near: each is asked
once, its hits are read as texts, and those are expanded to their items in id order. A list then
holds several products, and the same ones on every run.
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

from jobs.recall.ranking import top_k
from jobs.recall.settings import ContentSettings

if TYPE_CHECKING:
    from jobs.settings import Settings

# (ids, cosines): for each vector that was asked, its nearest items, best first.
Hits = tuple[Sequence[Sequence[str]], Sequence[Sequence[float]]]
# From vectors, float32 (n, dimension), and how many hits each is to have.
Search = Callable[[NDArray[np.float32], int], Hits]

_VECTORS_AT_ONCE = 20_000
_HITS_SCHEMA = pa.schema(
    [
        pa.field("query_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("score", pa.float64()),
    ]
)
_SCORE_PLACES = 6


def search_of_day(settings: Settings, ds: date) -> Search:
    """A search over the item vectors of `ds` in Milvus, whatever is live there.

    It connects when it is first asked, so a day without texts needs no index.
    """
    from jobs.vectors.index import ItemIndex

    def search(vectors: NDArray[np.float32], depth: int) -> Hits:
        with ItemIndex(settings).of_day(ds) as find:
            return find(vectors, depth)

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
    """Ask the index for the items near each vector; the answers go to files in `folder`.

    vectors: `key` string (unique), embedding array<float>. depth: items asked for each vector.
    folder: must be shared with the executors and not exist yet.
    Returns `key` string, item_id string, score double (cosine, to six places: the index computes
    in single precision). Vectors come to this process in parts of some 20,000.
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
            flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            yield table[key], flat.reshape(table.num_rows, -1).astype(np.float32, copy=False)


def _hits_table(
    keys: pa.ChunkedArray, ids: Sequence[Sequence[str]], scores: Sequence[Sequence[float]]
) -> pa.Table:
    sizes = [len(found) for found in ids]
    queries = keys.take(pa.array(np.repeat(np.arange(len(sizes)), sizes)))
    items = pa.array([item for found in ids for item in found], pa.string())
    cosines = np.array([score for found in scores for score in found], dtype=np.float64)
    rounded = pa.array(np.clip(np.round(cosines, _SCORE_PLACES), -1, 1))
    return pa.table([queries, items, rounded], schema=_HITS_SCHEMA)


def expand_texts(
    hits: DataFrame, item_texts: DataFrame, key: str, settings: ContentSettings
) -> DataFrame:
    """Read hits as texts, and list the items of each text.

    hits: `key` string, item_id string, score double. item_texts: item_id, text_hash string.
    Returns `key` string, item_id string, text_hash string, place int (from 1 within the text, in
    item_id order), score double ≥ `settings.min_score`. Of each text at most items_per_text + 1
    items come, so that one of them may be the item that asks.
    """
    within_text = Window.partitionBy("text_hash").orderBy("item_id")
    members = (
        item_texts.select("item_id", "text_hash")
        .withColumn("place", F.row_number().over(within_text))
        .where(F.col("place") <= settings.items_per_text + 1)
    )
    near_texts = (
        hits.where(F.col("score") >= settings.min_score)
        .join(item_texts.select("item_id", "text_hash"), "item_id")
        .groupBy(key, "text_hash")
        .agg(F.max("score").alias("score"))
    )
    return near_texts.join(members, "text_hash").select(
        key, "item_id", "text_hash", "place", "score"
    )


def content_neighbors(
    item_texts: DataFrame, search: Search, settings: ContentSettings, scratch: str
) -> DataFrame:
    """The sellable items whose text is nearest, for every sellable item that has a vector.

    item_texts: item_id, text_hash string, embedding array<float> (`item_texts_with_vectors`).
    search: the day's index of sellable items. scratch: shared with the executors.
    Returns item_id string, rank int from 1, neighbor_item_id string, score double (cosine),
    support long, always null. At most `settings.neighbors` rows an item and
    `settings.items_per_text` for one text. Order: score descending, neighbor_item_id ascending.
    """
    asked = distinct_vectors(item_texts, "text_hash").withColumnRenamed("text_hash", "query_hash")
    hits = find_hits(asked, "query_hash", search, settings.search_depth, f"{scratch}/content_hits")
    near = top_k(
        expand_texts(hits, item_texts, "query_hash", settings),
        ["query_hash"],
        settings.neighbors + settings.items_per_text + 1,
        item="item_id",
    )
    neighbors = near.select(
        "query_hash",
        F.col("item_id").alias("neighbor_item_id"),
        F.col("text_hash").alias("neighbor_hash"),
        "place",
        "score",
    )
    asks = item_texts.select("item_id", F.col("text_hash").alias("query_hash"))
    others = asks.join(neighbors, "query_hash").where("item_id != neighbor_item_id")
    within_text = Window.partitionBy("item_id", "neighbor_hash").orderBy("place")
    capped = others.withColumn("of_text", F.row_number().over(within_text)).where(
        F.col("of_text") <= settings.items_per_text
    )
    best = top_k(capped, ["item_id"], settings.neighbors, item="neighbor_item_id")
    return best.select(
        "item_id", "rank", "neighbor_item_id", "score", F.lit(None).cast("long").alias("support")
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
    hits = find_hits(user_vectors, "user_id", search, settings.search_depth, f"{scratch}/user_hits")
    near = expand_texts(hits, item_texts, "user_id", settings)
    return near.where(F.col("place") <= settings.items_per_text).select(
        "user_id", "item_id", "score"
    )
