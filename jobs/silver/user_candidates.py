"""silver.user_candidates: each recall channel's own list for every active user,
(ds, channel, user, item).

i2i: neighbors of what the user took lately, from gold.i2i_daily.
similar_users: what the users most like a user took.
repurchase: what the user takes again and again.
vector: items whose text is near to the user's text, asked of the day's Milvus collection.
popular: what many users take lately; it alone has a full list for everyone.
trending, new, seasonal: the other lists of gold.popular_items_daily.
newcomer: what users with the same attributes take, for users with a short history.
q2i: items whose text is near to a phrase that the LLM expects the user to search for.
product_names: items of the products that the LLM expects the user to buy next.
Scores compare within one channel; gold.user_recall_daily fuses them.
"""

from __future__ import annotations

from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Read, Run, table
from jobs.recall.channels.i2i import (
    recall_by_history,
    recall_by_vector,
    recall_listed,
    recall_popular,
    seen_items,
)
from jobs.recall.channels.newcomer import recall_newcomers
from jobs.recall.channels.product_names import NamedProducts, compare_names, recall_named
from jobs.recall.channels.q2i import named_in_order, plain, recall_by_phrases, user_phrases
from jobs.recall.channels.repurchase import recall_repurchases
from jobs.recall.channels.similar_users import recall_by_similar_users
from jobs.recall.lists.popular import POPULAR, of_kind, segments_listed
from jobs.recall.methods.content import (
    item_texts_with_vectors,
    recall_hits,
    search_of_day,
    user_vectors,
)
from jobs.recall.settings import ListedChannelSettings
from jobs.silver.item_texts import words

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


_LISTED = {
    "interactions": Read("silver.interactions"),
    "listed": Read("gold.popular_items_daily"),
    "users": Read("silver.users"),
    "profiles": Read("silver.user_profiles"),
}


@table(TABLE, slice={"channel": "popular"}, reads=_LISTED)
def popular(
    run: Run,
    interactions: DataFrame,
    listed: DataFrame,
    users: DataFrame,
    profiles: DataFrame,
) -> DataFrame:
    """Popular items of the user's segment, continued by those of all users: a full list."""
    recall, of_all = run.settings.recall, of_kind(listed, POPULAR)
    segments = segments_listed(users, of_all, recall.popular)
    seen = seen_items(interactions, run.ds, recall.popular.exclude_seen_days)
    return recall_popular(of_all, segments, profiles, seen, recall.user.popular_items)


@table(TABLE, slice={"channel": "trending"}, reads=_LISTED)
def trending(
    run: Run, interactions: DataFrame, listed: DataFrame, users: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items whose users come faster than usual."""
    settings = run.settings.recall.trending
    return _listed(run, "trending", settings, interactions, listed, users, profiles)


@table(TABLE, slice={"channel": "new"}, reads=_LISTED)
def new(
    run: Run, interactions: DataFrame, listed: DataFrame, users: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items that the shop has not had for long."""
    settings = run.settings.recall.new
    return _listed(run, "new", settings, interactions, listed, users, profiles)


@table(TABLE, slice={"channel": "seasonal"}, reads=_LISTED)
def seasonal(
    run: Run, interactions: DataFrame, listed: DataFrame, users: DataFrame, profiles: DataFrame
) -> DataFrame:
    """Items of these weeks in earlier years."""
    settings = run.settings.recall.seasonal
    return _listed(run, "seasonal", settings, interactions, listed, users, profiles)


def _listed(
    run: Run,
    kind: str,
    settings: ListedChannelSettings,
    interactions: DataFrame,
    listed: DataFrame,
    users: DataFrame,
    profiles: DataFrame,
) -> DataFrame:
    """The list of one kind for each active user, without what they took lately."""
    own = of_kind(listed, kind)
    segments = segments_listed(users, own, run.settings.recall.popular)
    seen = seen_items(interactions, run.ds, settings.exclude_seen_days)
    return recall_listed(own, segments, profiles, seen, settings.items)


@table(
    TABLE,
    slice={"channel": "newcomer"},
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "users": Read("silver.users"),
        "profiles": Read("silver.user_profiles"),
    },
)
def newcomer(
    run: Run, interactions: DataFrame, items: DataFrame, users: DataFrame, profiles: DataFrame
) -> DataFrame:
    """What users with the same attributes take, for users with a short history."""
    settings = run.settings.recall.newcomer
    return recall_newcomers(interactions, items, users, profiles, run.ds, settings, run.scratch)


@table(
    TABLE,
    slice={"channel": "q2i"},
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "item_texts": Read("silver.item_texts"),
        "user_texts": Read("silver.user_texts"),
        "user_enrichments": Read("silver.user_enrichments"),
    },
)
def q2i(
    run: Run,
    interactions: DataFrame,
    items: DataFrame,
    item_texts: DataFrame,
    user_texts: DataFrame,
    user_enrichments: DataFrame,
) -> DataFrame:
    """Items whose text is near to a phrase that the LLM expects the user to search for."""
    from jobs.vectors.embeddings import encode_words
    from jobs.vectors.encoder import Encoder

    settings, encoder = run.settings.recall.q2i, Encoder.of(run.settings)
    return recall_by_phrases(
        user_phrases(_answers_of_day(user_texts, user_enrichments), settings),
        partial(encode_words, encoder=encoder, scratch=run.scratch),
        item_texts,
        search_of_day(run.settings, run.ds),
        interactions,
        items,
        run.ds,
        settings,
        run.scratch,
    )


@table(
    TABLE,
    slice={"channel": "product_names"},
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "item_texts": Read("silver.item_texts"),
        "item_embeddings": Read("silver.item_embeddings"),
        "item_enrichments": Read("silver.item_enrichments"),
        "user_texts": Read("silver.user_texts"),
        "user_enrichments": Read("silver.user_enrichments"),
    },
)
def product_names(
    run: Run,
    interactions: DataFrame,
    items: DataFrame,
    item_texts: DataFrame,
    item_embeddings: DataFrame,
    item_enrichments: DataFrame,
    user_texts: DataFrame,
    user_enrichments: DataFrame,
) -> DataFrame:
    """Items of the products that the LLM expects the user to buy next."""
    settings = run.settings.recall.product_names
    products = named_products(
        run,
        interactions,
        items,
        item_texts,
        item_embeddings,
        item_enrichments,
        user_texts,
        user_enrichments,
    )
    return recall_named(products, interactions, items, run.ds, settings, run.scratch)


def named_products(
    run: Run,
    interactions: DataFrame,
    items: DataFrame,
    item_texts: DataFrame,
    item_embeddings: DataFrame,
    item_enrichments: DataFrame,
    user_texts: DataFrame,
    user_enrichments: DataFrame,
) -> NamedProducts:
    """What the day's answers name and what the catalogue is called, before any threshold."""
    from jobs.vectors.embeddings import encode_words
    from jobs.vectors.encoder import Encoder

    settings, encoder = run.settings.recall.product_names, Encoder.of(run.settings)
    answers = _answers_of_day(user_texts, user_enrichments)
    return compare_names(
        named_in_order(answers, "next_products", settings.name_decay),
        _catalogue_names(items, item_texts, item_enrichments),
        item_texts_with_vectors(item_texts, item_embeddings, items, encoder.name),
        partial(encode_words, encoder=encoder, scratch=run.scratch),
        interactions,
        run.ds,
        settings,
        run.scratch,
    )


def _answers_of_day(user_texts: DataFrame, user_enrichments: DataFrame) -> DataFrame:
    """The LLM's answers that the day's texts are made with; what was paid later is not among them.

    Returns user_id string, interests, search_phrases, next_products array<string>,
    interest_weights map<string,double>.
    """
    used = user_texts.select("user_id", "profile_hash", "prompt_version", "model")
    return user_enrichments.join(
        used, ["user_id", "profile_hash", "prompt_version", "model"], "left_semi"
    ).select("user_id", "interests", "interest_weights", "search_phrases", "next_products")


def _catalogue_names(
    items: DataFrame, item_texts: DataFrame, item_enrichments: DataFrame
) -> DataFrame:
    """item_id, name string of each item with a text: the LLM's standard name if the day's text is
    made with its answer, else the item's title."""
    answer = ["content_hash", "prompt_version", "model"]
    standard = F.nullif(plain(F.col("standard_name")), F.lit(""))
    return (
        item_texts.select("item_id", *answer)
        .join(item_enrichments.select(*answer, "standard_name"), answer, "left")
        .join(items.select("item_id", "title"), "item_id")
        .select("item_id", F.coalesce(standard, words("title")).alias("name"))
        .where("name != ''")
    )
