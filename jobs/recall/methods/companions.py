"""Companions of rare items: the LLM chooses, among items with near texts, what buyers also want.

About an item that few users took, behavior knows nothing, and content only finds items that are
alike. The LLM sees the item and candidates, and says which candidates go with the item. A
candidate's text is near enough to be of the same world (`min_cosine`), but not so near that it is
the same thing in another size (`max_cosine`). The gate keeps only names from the list. Each kept
name makes a synthetic pair, which `jobs.recall.methods.discriminator` judges.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.llm.selection import select_item_contents
from jobs.llm.status import SUCCESS
from jobs.recall.kernels.text_search import find_hits, item_texts_with_vectors
from jobs.recall.sources.methods import AugmentedSettings
from jobs.vectors.hits import TextSearch

SEPARATOR = "; "


def companion_candidates(
    contents: DataFrame,
    items: DataFrame,
    item_texts: DataFrame,
    search: TextSearch,
    settings: AugmentedSettings,
    scratch: Scratch,
) -> DataFrame:
    """The candidates of each content, nearest first.

    contents: content_hash, title string (unique contents). items: item_id, title, content_hash
    string, is_sellable boolean. item_texts: item_id string, embedding array<float> of sellable
    items. search: the day's index. scratch: must live until the result is read.
    Returns content_hash string, place int from 1, name string (the title in lower case, unique in
    each content), neighbor_item_id string. At most `settings.candidates` of a content. Order: score
    descending, then name.
    """
    first = F.min_by("embedding", "item_id").alias("embedding")
    asked = (
        contents.select("content_hash")
        .join(items.select("item_id", "content_hash"), "content_hash")
        .join(item_texts.select("item_id", "embedding"), "item_id")
        .groupBy("content_hash")
        .agg(first)
    )
    # More than needed, because some texts are too near and some items share a name.
    hits = find_hits(asked, "content_hash", search, 4 * settings.candidates, scratch)
    named = items.where("is_sellable").select("item_id", name_of("title").alias("name"))
    own = contents.select("content_hash", name_of("title").alias("own_name"))
    near = (
        hits.where(F.col("score").between(settings.min_cosine, settings.max_cosine))
        .join(named, "item_id")
        .join(own, "content_hash")
        .where("name != own_name AND length(name) > 1")
        .groupBy("content_hash", "name")
        .agg(
            F.max("score").alias("score"),
            F.min_by("item_id", F.struct(-F.col("score"), "item_id")).alias("neighbor_item_id"),
        )
    )
    order = Window.partitionBy("content_hash").orderBy(F.desc("score"), "name")
    return (
        near.withColumn("place", F.row_number().over(order))
        .where(F.col("place") <= settings.candidates)
        .select("content_hash", "place", "name", "neighbor_item_id")
    )


def questions(contents: DataFrame, candidates: DataFrame) -> DataFrame:
    """The contents with two or more candidates, and `candidates` string as the prompt shows them.

    contents: content_hash and any other columns. candidates: as `companion_candidates` returns
    them.
    """
    listed = F.array_sort(F.collect_list(F.struct("place", "name")))
    shown = candidates.groupBy("content_hash").agg(
        F.array_join(F.transform(listed, lambda row: row["name"]), SEPARATOR).alias("candidates"),
        F.count("*").alias("count"),
    )
    return contents.join(shown.where("count >= 2").drop("count"), "content_hash")


def companion_pairs(
    asked: DataFrame, candidates: DataFrame, answers: DataFrame, items: DataFrame
) -> DataFrame:
    """item_id, neighbor_item_id string: pairs that the LLM put together, in one direction, unique.

    asked: content_hash, candidates string, as `questions` returns them. candidates: as
    `companion_candidates` returns them. answers: content_hash, candidates, status string, also
    array<string>, of the prompt version and model in use. items: item_id, content_hash string.
    """
    chosen = (
        answers.where(F.col("status") == SUCCESS)
        .join(asked.select("content_hash", "candidates"), ["content_hash", "candidates"])
        .select("content_hash", F.explode("also").alias("said"))
        .select("content_hash", F.lower(F.trim("said")).alias("name"))
        .distinct()
    )
    return (
        chosen.join(candidates, ["content_hash", "name"])
        .join(items.select("item_id", "content_hash"), "content_hash")
        .where("item_id != neighbor_item_id")
        .select("item_id", "neighbor_item_id")
        .distinct()
    )


def name_of(title: str) -> Column:
    """A title as the prompt shows it: lower case, without the characters that separate names."""
    plain = F.regexp_replace(F.lower(F.coalesce(title, F.lit(""))), r'[;"\\{}\[\]<>]+', " ")
    return F.trim(F.regexp_replace(plain, r"\s+", " "))


def rare_contents(
    run: Run,
    items: DataFrame,
    interactions: DataFrame,
    texts: DataFrame,
    embeddings: DataFrame,
    search: TextSearch,
) -> tuple[DataFrame, DataFrame]:
    """The contents that the day asks about, as of `select_item_contents`, and their candidates."""
    from jobs.vectors.encoder import Encoder

    settings = run.settings.augmented
    contents = select_item_contents(
        items,
        interactions,
        run.last_event_day,
        run.params.companion_budget,
        max_users=settings.max_users,
    )
    candidates = companion_candidates(
        contents,
        items,
        item_texts_with_vectors(texts, embeddings, items, Encoder.of(run.settings.encoder).name),
        search,
        settings,
        run.scratch,
    )
    return contents, candidates
