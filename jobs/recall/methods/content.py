"""Item similarity by the meaning of texts: neighbors are items whose text is near."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.kernels.text_search import (
    distinct_texts,
    expand_texts,
    item_texts_with_vectors,
    nearest_texts,
    places_in_texts,
)
from jobs.recall.sources.methods import ContentSettings
from jobs.vectors.hits import TextSearch


def content_neighbors(
    item_texts: DataFrame, search: TextSearch | None, settings: ContentSettings, scratch: Scratch
) -> DataFrame:
    """The sellable items whose text is nearest, for every sellable item that has a vector.

    item_texts: item_id string, text_hash string, embedding array<float> of each sellable item.
    search: the day's index if it is an approximate one, else None. scratch: must live until the
    result is read.
    Returns item_id string, rank int from 1, neighbor_item_id string, score double (cosine),
    support long, always null. At most `settings.neighbors` rows an item and
    `settings.items_per_text` for one text. Order: score descending, neighbor_item_id ascending.

    All items of a text have the same list, except for the item itself. So there is one list a text,
    with one row more than needed, and each item leaves out one row: itself or, if it is not among
    the first items of its text, the one item too many of that text.
    """
    places = scratch.once(places_in_texts(item_texts))
    texts = scratch.once(distinct_texts(item_texts))
    asked = texts.select(F.col("text_hash").alias("query_hash"), "embedding")
    # The own text, and one more text for each neighbor: every text has at least one item.
    depth = settings.neighbors + 1
    hits = nearest_texts(asked, "query_hash", texts, search, depth, scratch)
    near_texts = hits.where(F.col("score") >= settings.min_score)
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


def candidates(
    run: Run, items: DataFrame, texts: DataFrame, embeddings: DataFrame, search: TextSearch
) -> DataFrame:
    """The neighbors of every sellable item with text."""
    from jobs.vectors.encoder import Encoder

    encoder = Encoder.of(run.settings.encoder).name
    item_texts = item_texts_with_vectors(texts, embeddings, items, encoder)
    index = search if run.settings.milvus.is_approximate else None
    return content_neighbors(item_texts, index, run.settings.content, run.scratch)
