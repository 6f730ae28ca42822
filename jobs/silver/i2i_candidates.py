"""silver.i2i_candidates: each method's own list of similar items, (ds, method, item, neighbor).

cooccurrence: the same users take both (`jobs.recall.cooccurrence`).
session: the same visits hold both (`jobs.recall.cooccurrence`).
slim: what an item says of another beside all that others say (`jobs.recall.slim`).
content: their texts mean the same (`jobs.recall.content`), asked of the day's Milvus collection.
Scores compare within one method; gold.i2i_daily fuses them.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Read, Run, table
from jobs.recall.content import content_neighbors, item_texts_with_vectors, search_of_day
from jobs.recall.cooccurrence import cooccurrence_neighbors, session_neighbors
from jobs.recall.slim import slim_neighbors

TABLE = "silver.i2i_candidates"


@table(
    TABLE,
    slice={"method": "cooccurrence"},
    reads={"interactions": Read("silver.interactions"), "items": Read("silver.items")},
)
def cooccurrence(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item that at least `min_support` users took."""
    settings = run.settings.recall.cooccurrence
    return cooccurrence_neighbors(interactions, items, run.ds, settings, run.scratch)


@table(
    TABLE,
    slice={"method": "session"},
    reads={"interactions": Read("silver.interactions"), "items": Read("silver.items")},
)
def session(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item that sessions of at least `min_support` users hold."""
    return session_neighbors(interactions, items, run.ds, run.settings.recall.session, run.scratch)


@table(
    TABLE,
    slice={"method": "slim"},
    reads={"interactions": Read("silver.interactions"), "items": Read("silver.items")},
)
def slim(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The neighbors of every item, weighed against each other."""
    return slim_neighbors(interactions, items, run.ds, run.settings.recall.slim, run.scratch)


@table(
    TABLE,
    slice={"method": "content"},
    reads={
        "items": Read("silver.items"),
        "texts": Read("silver.item_texts"),
        "embeddings": Read("silver.item_embeddings"),
    },
)
def content(run: Run, items: DataFrame, texts: DataFrame, embeddings: DataFrame) -> DataFrame:
    """The neighbors of every sellable item with text."""
    from jobs.vectors.encoder import Encoder

    item_texts = item_texts_with_vectors(texts, embeddings, items, Encoder.of(run.settings).name)
    search = search_of_day(run.settings, run.ds)
    return content_neighbors(item_texts, search, run.settings.recall.content, run.scratch)
