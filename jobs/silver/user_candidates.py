"""silver.user_candidates: each recall channel's own list for every active user,
(ds, channel, user, item).

i2i: neighbors of what the user took lately, from gold.i2i_daily.
similar_users: what the users most like a user took.
repurchase: what the user takes again and again.
vector: items whose text is near to the user's text, asked of the day's Milvus collection.
popular: what many users take lately; it alone has a full list for everyone.
Scores compare within one channel; gold.user_recall_daily fuses them.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Read, Run, table
from jobs.recall.channels import (
    recall_by_history,
    recall_by_vector,
    recall_popular,
    seen_items,
)
from jobs.recall.content import (
    item_texts_with_vectors,
    recall_hits,
    search_of_day,
    user_vectors,
)
from jobs.recall.popular import segments_listed
from jobs.recall.repurchase import recall_repurchases
from jobs.recall.similar_users import recall_by_similar_users

TABLE = "silver.user_candidates"


@table(
    TABLE,
    slice={"channel": "i2i"},
    reads={
        "interactions": Read("silver.interactions"),
        "neighbors": Read("gold.i2i_daily"),
        "items": Read("silver.items"),
        "profiles": Read("silver.user_profiles"),
    },
)
def i2i(
    run: Run,
    interactions: DataFrame,
    neighbors: DataFrame,
    items: DataFrame,
    profiles: DataFrame,
) -> DataFrame:
    """Items like those that the user took lately."""
    return recall_by_history(
        interactions,
        neighbors,
        items,
        profiles,
        run.ds,
        run.settings.recall.item_history,
        run.scratch,
    )


@table(
    TABLE,
    slice={"channel": "similar_users"},
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "profiles": Read("silver.user_profiles"),
    },
)
def similar_users(
    run: Run, interactions: DataFrame, items: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items that users with the same taste took."""
    settings = run.settings.recall.similar_users
    return recall_by_similar_users(interactions, items, profiles, run.ds, settings, run.scratch)


@table(
    TABLE,
    slice={"channel": "repurchase"},
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "profiles": Read("silver.user_profiles"),
    },
)
def repurchase(
    run: Run, interactions: DataFrame, items: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items that the user took before and that are due again."""
    settings = run.settings.recall.repurchase
    return recall_repurchases(interactions, items, profiles, run.ds, settings)


@table(
    TABLE,
    slice={"channel": "vector"},
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "item_texts": Read("silver.item_texts"),
        "item_embeddings": Read("silver.item_embeddings"),
        "user_texts": Read("silver.user_texts"),
        "user_embeddings": Read("silver.user_embeddings"),
    },
)
def vector(
    run: Run,
    interactions: DataFrame,
    items: DataFrame,
    item_texts: DataFrame,
    item_embeddings: DataFrame,
    user_texts: DataFrame,
    user_embeddings: DataFrame,
) -> DataFrame:
    """Items whose text is near to the user's text."""
    from jobs.vectors.encoder import Encoder

    recall, encoder = run.settings.recall, Encoder.of(run.settings).name
    vectors = user_vectors(user_texts, user_embeddings, encoder)
    texts = item_texts_with_vectors(item_texts, item_embeddings, items, encoder)
    search = search_of_day(run.settings, run.ds)
    hits = recall_hits(vectors, texts, search, recall.content, run.scratch)
    return recall_by_vector(hits, interactions, items, run.ds, recall.vector)


@table(
    TABLE,
    slice={"channel": "popular"},
    reads={
        "interactions": Read("silver.interactions"),
        "popular": Read("gold.popular_items_daily"),
        "users": Read("silver.users"),
        "profiles": Read("silver.user_profiles"),
    },
)
def popular(
    run: Run,
    interactions: DataFrame,
    popular: DataFrame,
    users: DataFrame,
    profiles: DataFrame,
) -> DataFrame:
    """Popular items of the user's segment, continued by those of all users: a full list."""
    recall = run.settings.recall
    segments = segments_listed(users, popular, recall.popular)
    seen = seen_items(interactions, run.ds, recall.popular.exclude_seen_days)
    return recall_popular(popular, segments, profiles, seen, recall.user.popular_items)
