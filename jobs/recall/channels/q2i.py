"""Channel `q2i`: items by phrases that the LLM expects a user to search for.

    score(u, j) = max_p cosine(p, text of j) · d^place(p) · (1, or w for an interest)

p runs over the user's search phrases and interests, best first; d is the phrase decay. If the LLM
gave an interest a weight, a fifth of the weight replaces d^place. Each distinct phrase is encoded
once and searched once in the day's Milvus collection, as the channel `vector` does with a user's
text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.recall.channels.eligible import best_sellable_unseen, seen_items
from jobs.recall.kernels.text_search import expand_texts, find_hits, places_in_texts
from jobs.recall.sources.channels import Q2ISettings
from jobs.vectors.hits import TextSearch

HIGHEST_WEIGHT = 5
# From a frame and the name of a column of strings: each distinct one, with embedding array<float>.
EncodeWords = Callable[[DataFrame, str], DataFrame]


def user_phrases(answers: DataFrame, settings: Q2ISettings) -> DataFrame:
    """user_id, phrase string (lower case), weight double above 0, each pair once.

    answers: user_id string, search_phrases, interests array<string> or null, best first,
    interest_weights map<string,double> of 1 to 5, or null.
    """
    searched = named_in_order(answers, "search_phrases", settings.phrase_decay)
    given = answers.select(
        "user_id", F.explode("interest_weights").alias("given_name", "given")
    ).select("user_id", plain(F.col("given_name")).alias("name"), "given")
    liked = (
        named_in_order(answers, "interests", settings.phrase_decay)
        .join(given, ["user_id", "name"], "left")
        .select(
            "user_id",
            "name",
            (
                F.coalesce(F.col("given") / HIGHEST_WEIGHT, "weight")
                * F.lit(settings.interest_weight)
            ).alias("weight"),
        )
    )
    return (
        searched.unionByName(liked)
        .where("weight > 0")
        .groupBy("user_id", F.col("name").alias("phrase"))
        .agg(F.max("weight").alias("weight"))
    )


def named_in_order(answers: DataFrame, column: str, decay: float) -> DataFrame:
    """user_id, name string, weight double: names given by the LLM, weighted decay^place from 0.

    answers: user_id string and `column` array<string>, best first. Names are in lower case; empty
    ones are left out.
    """
    places = answers.select("user_id", F.posexplode(column).alias("place", "name"))
    return places.select(
        "user_id",
        plain(F.col("name")).alias("name"),
        F.pow(F.lit(decay), F.col("place")).alias("weight"),
    ).where("name != ''")


def plain(name: Column) -> Column:
    """A name in lower case, with single spaces."""
    return F.trim(F.regexp_replace(F.lower(name), r"\s+", " "))


def recall_by_phrases(
    phrases: DataFrame,
    encode: EncodeWords,
    item_texts: DataFrame,
    search: TextSearch,
    interactions: DataFrame,
    items: DataFrame,
    ds: date,
    settings: Q2ISettings,
    scratch: Scratch,
) -> DataFrame:
    """The columns and the order of `jobs.recall.channels.eligible`; because_item_id is always null.

    phrases: as `user_phrases` returns them. encode: encodes each distinct phrase. item_texts:
    item_id, text_hash string of the day. search: the day's index.
    interactions: user_id, item_id string, event_date date ≤ ds. items: item_id string,
    is_sellable boolean. scratch: must live until the result is read.
    """
    phrases = scratch.once(phrases)
    vectors = scratch.once(encode(phrases, "phrase"))
    hits = find_hits(vectors, "phrase", search, settings.search_depth, scratch)
    near_texts = hits.where(F.col("score") >= settings.min_score)
    near = expand_texts(near_texts, places_in_texts(item_texts), "phrase", settings.items_per_text)
    scored = (
        phrases.join(near, "phrase")
        .groupBy("user_id", "item_id")
        .agg(F.max(F.col("score") * F.col("weight")).alias("score"))
        .where("score > 0")
        .withColumn("because_item_id", F.lit(None).cast("string"))
    )
    seen = seen_items(interactions, ds, settings.exclude_seen_days)
    return best_sellable_unseen(scored, items, seen, settings.items)


def answers_of_day(user_texts: DataFrame, user_enrichments: DataFrame) -> DataFrame:
    """The LLM's answers in the day's texts; answers that were paid later are not among them.

    Returns user_id string, interests, search_phrases, next_products array<string>,
    interest_weights map<string,double>.
    """
    used = user_texts.select("user_id", "profile_hash", "prompt_version", "model")
    return user_enrichments.join(
        used, ["user_id", "profile_hash", "prompt_version", "model"], "left_semi"
    ).select("user_id", "interests", "interest_weights", "search_phrases", "next_products")


def candidates(
    run: Run,
    interactions: DataFrame,
    items: DataFrame,
    item_texts: DataFrame,
    user_texts: DataFrame,
    user_enrichments: DataFrame,
    search: TextSearch,
) -> DataFrame:
    """Items whose text is near to a phrase that the LLM expects the user to search for."""
    from jobs.vectors.embeddings import encode_words
    from jobs.vectors.encoder import Encoder

    settings, encoder = run.settings.q2i, Encoder.of(run.settings.encoder)
    return recall_by_phrases(
        user_phrases(answers_of_day(user_texts, user_enrichments), settings),
        partial(encode_words, encoder=encoder, scratch=run.scratch),
        item_texts,
        search,
        interactions,
        items,
        run.last_event_day,
        settings,
        run.scratch,
    )
