"""Channel `vector`: items whose text is near to the text of the user
(columns: `jobs.recall.channels.eligible`)."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.channels.eligible import best_sellable_unseen, seen_items
from jobs.recall.kernels.text_search import (
    distinct_texts,
    expand_texts,
    item_texts_with_vectors,
    nearest_texts,
    places_in_texts,
)
from jobs.recall.sources.channels import VectorSettings
from jobs.recall.sources.methods import ContentSettings
from jobs.vectors.hits import TextSearch


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


def recall_hits(
    user_vectors: DataFrame,
    item_texts: DataFrame,
    search: TextSearch | None,
    settings: ContentSettings,
    scratch: Scratch,
) -> DataFrame:
    """The sellable items whose text is nearest to each user's text.

    user_vectors: user_id string, embedding array<float>. item_texts: item_id, text_hash string,
    embedding array<float>. search: the day's index if it is an approximate one, else None.
    Returns user_id, item_id string, score double (cosine), at most `settings.items_per_text`
    items for one text.
    """
    depth = settings.user_search_depth
    texts = distinct_texts(item_texts)
    hits = nearest_texts(user_vectors, "user_id", texts, search, depth, scratch)
    near_texts = hits.where(F.col("score") >= settings.min_score)
    near = expand_texts(near_texts, places_in_texts(item_texts), "user_id", settings.items_per_text)
    return near.select("user_id", "item_id", "score")


def recall_by_vector(
    hits: DataFrame,
    interactions: DataFrame,
    items: DataFrame,
    ds: date,
    settings: VectorSettings,
) -> DataFrame:
    """The nearest sellable items that the user did not take lately.

    hits: user_id, item_id string, score double (cosine); interactions: user_id, item_id string,
    event_date date ≤ ds; items: item_id string, is_sellable boolean.
    """
    scored = hits.where("score > 0").withColumn("because_item_id", F.lit(None).cast("string"))
    seen = seen_items(interactions, ds, settings.exclude_seen_days)
    return best_sellable_unseen(scored, items, seen, settings.items)


def candidates(
    run: Run,
    interactions: DataFrame,
    items: DataFrame,
    item_texts: DataFrame,
    item_embeddings: DataFrame,
    user_texts: DataFrame,
    user_embeddings: DataFrame,
    search: TextSearch,
) -> DataFrame:
    """Items whose text is near to the user's text."""
    from jobs.vectors.encoder import Encoder

    encoder = Encoder.of(run.settings.encoder).name
    vectors = user_vectors(user_texts, user_embeddings, encoder)
    texts = item_texts_with_vectors(item_texts, item_embeddings, items, encoder)
    index = search if run.settings.milvus.is_approximate else None
    hits = recall_hits(vectors, texts, index, run.settings.content, run.scratch)
    return recall_by_vector(hits, interactions, items, run.last_event_day, run.settings.vector)
