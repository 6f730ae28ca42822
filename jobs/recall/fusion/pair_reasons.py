"""Sentences of the LLM about an item and its neighbor, for the pairs that are seen most.

A pair is of two contents, so that sizes of one product share an answer. The day's own candidates
decide which pairs the day asks about; earlier answers never do.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.llm.contents import has_text
from jobs.llm.selection import first_rows
from jobs.llm.status import SUCCESS
from jobs.recall.fusion.settings import PairReasonsSettings

KEY = ("content_hash", "neighbor_content_hash")


def most_used(popularity: DataFrame, items: DataFrame, budget: int) -> DataFrame:
    """item_id string, score double: the `budget` most used items of the catalogue.

    popularity: item_id string, score double (users of the item lately). items: item_id string.
    Score descending, ties by item_id.
    """
    known = popularity.join(items.select("item_id"), "item_id", "left_semi")
    return known.orderBy(F.desc("score"), "item_id").limit(budget).select("item_id", "score")


def head_pairs(
    neighbors: DataFrame,
    heads: DataFrame,
    items: DataFrame,
    budget: int,
    settings: PairReasonsSettings,
) -> DataFrame:
    """The `budget` pairs of contents that are seen most: nearest neighbors of the most used items.

    neighbors: item_id, neighbor_item_id string, rank int from 1, without neighbors that only fill a
    list. heads: as `most_used` returns them. items: item_id, content_hash, title, category string.
    Returns content_hash, neighbor_content_hash, title, category, neighbor_title, neighbor_category
    string, rank int (1 is best): for each item, those of its first `settings.neighbors` neighbors
    that have a title and another content. Order: score of the content's most used head descending,
    content_hash, nearest rank, neighbor_content_hash.
    """
    titled = items.where(has_text("title"))
    titled = titled.select("item_id", "content_hash", "title", "category")
    use = F.max("score").over(Window.partitionBy("content_hash")).alias("use")
    of_heads = heads.join(titled, "item_id").select(*titled.columns, use)
    of_neighbors = titled.toDF(*(f"neighbor_{name}" for name in titled.columns))
    texts = ("title", "category", "neighbor_title", "neighbor_category")
    contents = (
        neighbors.where(F.col("rank") <= settings.neighbors)
        .select("item_id", "neighbor_item_id", F.col("rank").alias("place"))
        .join(F.broadcast(of_heads), "item_id")
        .join(of_neighbors, "neighbor_item_id")
        .where("content_hash != neighbor_content_hash")
        .groupBy(*KEY, "use")
        .agg(*(F.min(name).alias(name) for name in texts), F.min("place").alias("place"))
    )
    order = [F.desc("use"), F.asc("content_hash"), F.asc("place"), F.asc("neighbor_content_hash")]
    return first_rows(contents, order, budget).select(*KEY, *texts, "rank")


def written_reasons(asked: DataFrame, answers: DataFrame, items: DataFrame) -> DataFrame:
    """The accepted sentences, for every two items of the contents that were asked about.

    asked: content_hash, neighbor_content_hash string, unique. answers: the columns of asked,
    status, reason, prompt_version, model string, of the prompt version and model in use. items:
    item_id, content_hash string.
    Returns item_id, neighbor_item_id, sentence (without its full stop), reason_prompt_version,
    reason_model string, each pair once.
    """
    passed = answers.where(F.col("status") == SUCCESS).join(F.broadcast(asked), [*KEY], "left_semi")
    said = passed.select(
        *KEY,
        F.regexp_replace("reason", r"[.\s]+$", "").alias("sentence"),
        F.col("prompt_version").alias("reason_prompt_version"),
        F.col("model").alias("reason_model"),
    )
    contents = items.select("item_id", "content_hash")
    of_neighbors = contents.toDF("neighbor_item_id", "neighbor_content_hash")
    return (
        said.join(contents, "content_hash").join(of_neighbors, "neighbor_content_hash").drop(*KEY)
    )


def with_written_reasons(rows: DataFrame, written: DataFrame) -> DataFrame:
    """The rows with the LLM's sentence before the template reason, and the sentence's author.

    rows: item_id, neighbor_item_id, reason string, and any other columns. written: as
    `written_reasons` returns it.
    Returns the columns of rows and reason_prompt_version, reason_model string, null where the
    reason is the template alone.
    """
    return (
        rows.join(written, ["item_id", "neighbor_item_id"], "left")
        .withColumn("reason", F.concat_ws("; ", "sentence", "reason"))
        .drop("sentence")
    )
