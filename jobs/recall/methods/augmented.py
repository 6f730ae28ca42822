"""Items that the LLM described alike, as neighbors for items that few users took.

    score(i, j) = Σ_{t ∈ T_i ∩ T_j} idf(t) / Σ_{t ∈ T_i ∪ T_j} idf(t),   idf(t) = ln(1 + N / N_t)

the weighted Jaccard index of the tags T, the names in the LLM's answer about an item: standard
name, search words, attribute values and occasions. N is the number of distinct descriptions and N_t
the number of those with tag t, so a rare tag says more. A tag of more than `tag_descriptions`
descriptions says too little and is left out everywhere. A description is a set of tags; items with
the same description (sizes and colors of a product) share one list, from which each leaves out
itself.

No user stands behind a pair: the relation is synthetic, and the reason of a row says so.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.llm.answers import of_version
from jobs.llm.prompt import prompt_of
from jobs.recall.kernels.ranking import exact_sum, top_k
from jobs.recall.methods.companions import companion_pairs, questions, rare_contents
from jobs.recall.methods.discriminator import plausible_pairs
from jobs.recall.sources.methods import AugmentedSettings
from jobs.vectors.hits import TextSearch

_IDF_BITS = 32
_SEPARATOR = "\x1f"


def described_items(texts: DataFrame, enrichments: DataFrame) -> DataFrame:
    """The tags of each item, from the LLM answers that the day's texts use.

    texts: item_id, content_hash, prompt_version, model string, the last two null where no answer
    is part of the text (silver.item_texts of the day, which decides what the day may use).
    enrichments: content_hash, prompt_version, model string and the answer's fields, all answers
    ever given. Returns item_id string, tags array<string>.
    """
    said = enrichments.select("content_hash", "prompt_version", "model", tags().alias("tags"))
    return texts.join(said, ["content_hash", "prompt_version", "model"]).select("item_id", "tags")


def tags() -> Column:
    """The tags of an LLM answer: lower case, single spaces, never empty.

    Of the columns standard_name string, keywords array<string>, attributes map<string,string>,
    occasions array<string>, each of which may be null. One word in two fields is one tag.
    """
    nothing = F.array().cast("array<string>")
    fields = (
        F.array("standard_name"),
        F.col("keywords"),
        F.map_values("attributes"),
        F.col("occasions"),
    )
    said = F.concat(*(F.coalesce(field, nothing) for field in fields))
    plain = F.transform(said, lambda tag: F.lower(F.trim(F.regexp_replace(tag, r"\s+", " "))))
    return F.filter(plain, lambda tag: F.length(tag) > 0)


def augmented_neighbors(
    described: DataFrame,
    items: DataFrame,
    interactions: DataFrame,
    settings: AugmentedSettings,
    pairs: DataFrame | None = None,
) -> DataFrame:
    """The sellable items that are described most like each item that few users took.

    described: item_id string (unique), tags array<string> in any order. items: item_id string,
    is_sellable boolean. interactions: user_id, item_id string, weight double; rows with a weight of
    0 or less count no user. pairs: item_id, neighbor_item_id string, score double in (0, 1]: pairs
    that the LLM put together (`jobs.recall.methods.discriminator`); if a pair is also described
    alike, the larger score counts. Returns item_id string, rank int from 1,
    neighbor_item_id string, score double in (0, 1], support long, always null. At most
    `settings.neighbors` rows an item and `settings.items_per_description` for one description, in
    item_id order. Order: score descending, then neighbor_item_id ascending. An item without tags or
    pairs, or with more users than `max_users`, has no rows.
    """
    keyed = (
        described.where(F.size("tags") > 0)
        .select("item_id", F.array_sort(F.array_distinct("tags")).alias("tags"))
        .withColumn("description", F.concat_ws(_SEPARATOR, "tags"))
    )
    alike = similar_descriptions(keyed.select("description", "tags").distinct(), settings)
    in_order = Window.partitionBy("description").orderBy("item_id")
    offered = (
        keyed.join(items.where("is_sellable").select("item_id"), "item_id", "left_semi")
        .withColumn("place", F.row_number().over(in_order))
        .where(F.col("place") <= settings.items_per_description)
        .select(F.col("description").alias("other"), F.col("item_id").alias("neighbor_item_id"))
    )
    # One row more than a list needs: an item leaves out itself.
    lists = top_k(
        alike.join(offered, "other"),
        ["description"],
        settings.neighbors + 1,
        item="neighbor_item_id",
    ).drop("rank")
    popular = (
        interactions.where(F.col("weight") > 0)
        .groupBy("item_id")
        .agg(F.count_distinct("user_id").alias("users"))
        .where(F.col("users") > settings.max_users)
    )
    rare = keyed.join(popular, "item_id", "left_anti").select("item_id", "description")
    found = (
        rare.join(lists, "description")
        .where("item_id != neighbor_item_id")
        .select("item_id", "neighbor_item_id", "score")
    )
    if pairs is not None:
        chosen = (
            pairs.join(popular, "item_id", "left_anti")
            .join(
                items.where("is_sellable").select(F.col("item_id").alias("neighbor_item_id")),
                "neighbor_item_id",
                "left_semi",
            )
            .select("item_id", "neighbor_item_id", "score")
        )
        found = (
            found.unionByName(chosen)
            .groupBy("item_id", "neighbor_item_id")
            .agg(F.max("score").alias("score"))
        )
    best = top_k(found, ["item_id"], settings.neighbors, item="neighbor_item_id")
    return best.select(
        "item_id",
        "rank",
        "neighbor_item_id",
        "score",
        F.lit(None).cast("long").alias("support"),
    )


def similar_descriptions(descriptions: DataFrame, settings: AugmentedSettings) -> DataFrame:
    """Every two descriptions that share a tag, in both directions, and each with itself.

    descriptions: description string (unique), tags array<string>.
    Returns description, other string, score double from `settings.min_score` to 1. The pairs are
    bounded by tags × tag_descriptions².
    """
    tagged = descriptions.select("description", F.explode("tags").alias("tag"))
    everything = descriptions.agg(F.count("*").alias("all_descriptions"))
    idf = F.log(1 + F.col("all_descriptions") / F.col("tag_descriptions"))
    known = (
        tagged.groupBy("tag")
        .agg(F.count("*").alias("tag_descriptions"))
        .where(F.col("tag_descriptions") <= settings.tag_descriptions)
        .crossJoin(F.broadcast(everything))
        .select("tag", idf.alias("idf"))
    )
    weighted = tagged.join(known, "tag")
    whole = weighted.groupBy("description").agg(exact_sum(F.col("idf"), _IDF_BITS).alias("whole"))
    others = weighted.select("tag", F.col("description").alias("other"))
    union = F.col("whole") + F.col("other_whole") - F.col("shared")
    return (
        weighted.join(others, "tag")
        .groupBy("description", "other")
        .agg(exact_sum(F.col("idf"), _IDF_BITS).alias("shared"))
        .join(whole, "description")
        .join(
            whole.select(F.col("description").alias("other"), F.col("whole").alias("other_whole")),
            "other",
        )
        .select("description", "other", (F.col("shared") / union).alias("score"))
        .where(F.col("score") >= settings.min_score)
    )


def candidates(
    run: Run,
    interactions: DataFrame,
    items: DataFrame,
    texts: DataFrame,
    embeddings: DataFrame,
    enrichments: DataFrame,
    companions: DataFrame,
    search: TextSearch,
) -> DataFrame:
    """The neighbors of every item that few users took and that the LLM described.

    companions: answers of silver.item_companions, read only if the run has a `companion_budget`.
    """
    settings = run.settings.augmented
    described = described_items(texts, enrichments)
    pairs = None
    if run.params.companion_budget:
        contents, near = rare_contents(run, items, interactions, texts, embeddings, search)
        llm = run.settings.llm
        answers = of_version(companions, prompt_of("companion", llm), llm.llm_model)
        chosen = companion_pairs(questions(contents, near), near, answers, items)
        pairs = plausible_pairs(chosen, items, interactions, settings.min_lift)
    return augmented_neighbors(described, items, interactions, settings, pairs)
