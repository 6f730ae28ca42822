"""Channel `product_names`: products that the LLM expects a user to buy next, in two stages.

Stage one matches names: each named product g with the names p of the catalogue whose vectors are
near, f(p, g) = cosine ≥ theta. Stage two selects items: of the items with a matched name, those
that suit the user, EE(p, item) ≥ epsilon, with

    EE(p, item) = Σ_k w_k · part_k / Σ_k w_k, over the parts that are known

    text         cosine of the name and the item's text, at least 0
    popularity   decayed users of the item / those of the most used item of the name
    brand        share of the item's brand in the user's decayed use of items with a brand
    price        e^-|l(item) - l(user)|; l(item) is the logarithm of the price, less its mean in the
                 item's category, l(user) its mean over the user's decayed use of priced items

    score(u, item) = max_(g, p) d^place(g) · f(p, g) · EE(p, item)

The part brand or price is unknown for an item without one, and for a user who took no item with
one. The two thresholds are those of LLM4CB; the parts come from catalogue and interactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial, reduce
from operator import add

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import Run
from jobs.lake.scratch import Scratch
from jobs.llm.contents import words
from jobs.recall.channels.eligible import best_sellable_unseen, seen_items
from jobs.recall.channels.q2i import EncodeWords, answers_of_day, named_in_order, plain
from jobs.recall.kernels.ranking import exact_sum, top_k
from jobs.recall.kernels.text_search import (
    find_hits,
    item_texts_with_vectors,
    matrix_of,
    search_among_all,
)
from jobs.recall.lists.popular import count_uses, recent_uses
from jobs.recall.sources.channels import ProductNamesSettings
from jobs.vectors.hits import TextSearch

_USE_BITS = 24


@dataclass(frozen=True)
class NamedProducts:
    """The inputs of both stages, which do not depend on theta and epsilon.

    wanted: user_id, name string, weight double: products that a user may buy next, weighted
    d^place. named: as `used_names` returns it. vectors: name string (unique; of wanted products and
    of the catalogue), embedding array<float>. search: over the catalogue's names. item_vectors:
    item_id string, embedding array<float>. uses: user_id, item_id string, use double in 0 to 1.
    """

    wanted: DataFrame
    named: DataFrame
    vectors: DataFrame
    search: TextSearch
    item_vectors: DataFrame
    uses: DataFrame


def compare_names(
    wanted: DataFrame,
    names: DataFrame,
    item_vectors: DataFrame,
    encode: EncodeWords,
    interactions: DataFrame,
    ds: date,
    settings: ProductNamesSettings,
    scratch: Scratch,
) -> NamedProducts:
    """The vectors of all names, and a search over the catalogue's names.

    wanted, item_vectors: as in `NamedProducts`. names: item_id, name string of the catalogue.
    encode: encodes each distinct name, at most `settings.catalogue_names` beside the wanted names.
    interactions: user_id, item_id string, event_date date ≤ ds, weight double. scratch: must live
    until the channel's rows are read.
    """
    wanted = scratch.once(wanted)
    if wanted.isEmpty():  # then no name of the catalogue has to be encoded
        names = names.limit(0)
    uses = scratch.once(recent_uses(interactions, ds, settings))
    named = scratch.once(used_names(names, uses, settings))
    both = wanted.select("name").unionByName(named.select("name"))
    vectors = scratch.once(encode(both, "name"))
    search = name_search(vectors.join(named, "name", "left_semi"))
    return NamedProducts(wanted, named, vectors, search, item_vectors, uses)


def recall_named(
    products: NamedProducts,
    interactions: DataFrame,
    items: DataFrame,
    ds: date,
    settings: ProductNamesSettings,
    scratch: Scratch,
) -> DataFrame:
    """The columns and the order of `jobs.recall.channels.eligible`; because_item_id is always null.

    interactions, scratch: as in `compare_names`. items: item_id, brand, category string, price
    double, is_sellable boolean.
    """
    matches = match_names(products.wanted, products.vectors, products.search, settings, scratch)
    return recall_matched(matches, products, interactions, items, ds, settings)


def recall_matched(
    matches: DataFrame,
    products: NamedProducts,
    interactions: DataFrame,
    items: DataFrame,
    ds: date,
    settings: ProductNamesSettings,
) -> DataFrame:
    """The part of `recall_named` after stage one. matches: as `match_names` returns them."""
    matched = products.named.join(matches, "name", "left_semi")
    texts = text_cosines(matched, products.vectors, products.item_vectors)
    described = matched.join(texts, ["item_id", "name"])
    scored = select_items(matches, described, products.uses, items, settings).withColumn(
        "because_item_id", F.lit(None).cast("string")
    )
    seen = seen_items(interactions, ds, settings.exclude_seen_days)
    return best_sellable_unseen(scored, items, seen, settings.items)


def used_names(names: DataFrame, uses: DataFrame, settings: ProductNamesSettings) -> DataFrame:
    """The names of the catalogue to compare, each with its most used items.

    names: item_id, name string. uses: user_id, item_id string, use double in 0 to 1.
    Returns item_id, name string, popularity double in 0 to 1 (as a share of the name's most used
    item): the `settings.catalogue_names` most used names, ties by name; for each, the
    `settings.skus` most used items, ties by item_id.
    """
    used = names.join(count_uses(uses), "item_id", "left").na.fill({"score": 0.0})
    by_name = used.groupBy("name").agg(
        exact_sum(F.col("score"), _USE_BITS).alias("name_score"), F.max("score").alias("most")
    )
    kept = by_name.orderBy(F.desc("name_score"), "name").limit(settings.catalogue_names)
    items = used.select("item_id", "name", "score").join(kept.select("name", "most"), "name")
    share = F.when(F.col("most") > 0, F.col("score") / F.col("most")).otherwise(F.lit(0.0))
    best = top_k(items, ["name"], settings.skus, item="item_id")
    return best.select("item_id", "name", share.alias("popularity"))


def name_search(vectors: DataFrame) -> TextSearch:
    """A search for the nearest names that compares with all; answers are names, best first.

    vectors: name string (unique), embedding array<float>; they come to this process. Ties by name.
    """
    table = vectors.select("name", "embedding").orderBy("name").toArrow()
    return search_among_all(table["name"].to_pylist(), matrix_of(table["embedding"]))


def match_names(
    wanted: DataFrame,
    vectors: DataFrame,
    search: TextSearch,
    settings: ProductNamesSettings,
    scratch: Scratch,
) -> DataFrame:
    """Stage one: user_id, name string (of the catalogue), match double above 0, each pair once.

    wanted: user_id, name string, weight double. vectors: name string (unique), embedding
    array<float>. search: over the catalogue's names. scratch: shared with the executors.
    match: d^place · f of the formula, the best of the user's named products.
    """
    asked = vectors.join(wanted, "name", "left_semi").withColumnRenamed("name", "wanted")
    hits = find_hits(asked, "wanted", search, settings.matches, scratch)
    near = hits.where((F.col("score") >= settings.theta) & (F.col("score") > 0))
    return (
        wanted.withColumnRenamed("name", "wanted")
        .join(near.withColumnRenamed("item_id", "name"), "wanted")
        .groupBy("user_id", "name")
        .agg(F.max(F.col("score") * F.col("weight")).alias("match"))
    )


def text_cosines(items: DataFrame, name_vectors: DataFrame, item_vectors: DataFrame) -> DataFrame:
    """item_id, name string, text double in 0 to 1: the cosine of a name and the text of its item.

    items: item_id, name string. name_vectors: name string, embedding array<float>. item_vectors:
    item_id string, embedding array<float>; items without one do not come back.
    """
    pairs = items.join(
        name_vectors.select("name", F.col("embedding").alias("name_vector")), "name"
    ).join(item_vectors.select("item_id", "embedding"), "item_id")
    return pairs.select("item_id", "name", "name_vector", "embedding").mapInArrow(
        _cosines, "item_id string, name string, text double"
    )


def _cosines(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            by_name, of_item = matrix_of(batch["name_vector"]), matrix_of(batch["embedding"])
            cosines = np.clip(np.einsum("ij,ij->i", by_name, of_item), 0, 1).astype(np.float64)
            columns = [batch["item_id"], batch["name"], pa.array(cosines)]
            yield pa.RecordBatch.from_arrays(columns, ["item_id", "name", "text"])


def brand() -> Column:
    """The brand of an item in lower case, or null."""
    return F.nullif(F.lower(F.trim("brand")), F.lit(""))


def brand_habits(uses: DataFrame, items: DataFrame) -> DataFrame:
    """user_id string, brand_shares map<string,double>: shares of the user's use of items with a
    brand.

    uses: user_id, item_id string, use double in 0 to 1. items: item_id, brand string.
    """
    use = exact_sum(F.col("use"), _USE_BITS)
    branded = items.select("item_id", brand().alias("brand")).where("brand IS NOT NULL")
    by_brand = uses.join(branded, "item_id").groupBy("user_id", "brand").agg(use.alias("use"))
    total = F.sum("use").over(Window.partitionBy("user_id"))
    shares = by_brand.select("user_id", F.struct("brand", F.col("use") / total).alias("share"))
    return shares.groupBy("user_id").agg(
        F.map_from_entries(F.collect_list("share")).alias("brand_shares")
    )


def price_levels(items: DataFrame) -> DataFrame:
    """item_id string, level double: the logarithm of the price, less its mean in the category.

    items: item_id, category string, price double; those without a price above 0 do not come back.
    """
    priced = items.where("price > 0").select(
        "item_id",
        F.coalesce("category", F.lit("")).alias("category"),
        F.log("price").alias("log_price"),
    )
    mean = exact_sum(F.col("log_price"), _USE_BITS) / F.count("*")
    means = priced.groupBy("category").agg(mean.alias("mean"))
    return priced.join(means, "category").select(
        "item_id", (F.col("log_price") - F.col("mean")).alias("level")
    )


def price_habits(uses: DataFrame, levels: DataFrame) -> DataFrame:
    """user_id string, user_level double: the mean level of the items that the user took, by use.

    uses: user_id, item_id string, use double in 0 to 1. levels: item_id string, level double.
    """
    total = exact_sum(F.col("use") * F.col("level"), _USE_BITS)
    return (
        uses.join(levels, "item_id")
        .groupBy("user_id")
        .agg((total / exact_sum(F.col("use"), _USE_BITS)).alias("user_level"))
    )


def select_items(
    matches: DataFrame,
    named: DataFrame,
    uses: DataFrame,
    items: DataFrame,
    settings: ProductNamesSettings,
) -> DataFrame:
    """Stage two: user_id, item_id string, score double above 0, each pair once.

    matches: as `match_names` returns them. named: item_id, name string, popularity, text double.
    uses: user_id, item_id string, use double in 0 to 1. items: item_id, brand, category string,
    price double. Of each name, the `settings.items_per_name` best items of the user.
    """
    own = uses.join(matches.select("user_id").distinct(), "user_id", "left_semi")
    levels = price_levels(items)
    pairs = (
        matches.join(named, "name")
        .join(items.select("item_id", brand().alias("brand")), "item_id")
        .join(levels, "item_id", "left")
        .join(price_habits(own, levels), "user_id", "left")
        .join(brand_habits(own, items), "user_id", "left")
    )
    share = F.coalesce(F.try_element_at("brand_shares", "brand"), F.lit(0.0))
    parts = {
        "text": F.col("text"),
        "popularity": F.col("popularity"),
        "brand": F.when(F.col("brand").isNotNull() & F.col("brand_shares").isNotNull(), share),
        "price": F.exp(-F.abs(F.col("level") - F.col("user_level"))),
    }
    suits = weighted_mean(parts, settings.weights)
    selected = (
        pairs.select("user_id", "name", "item_id", "match", suits.alias("suits"))
        .where(F.col("suits") >= settings.epsilon)
        .withColumn("score", F.col("match") * F.col("suits"))
        .where("score > 0")
    )
    best = top_k(selected, ["user_id", "name"], settings.items_per_name, item="item_id")
    return best.groupBy("user_id", "item_id").agg(F.max("score").alias("score"))


def weighted_mean(parts: Mapping[str, Column], weights: Mapping[str, float]) -> Column:
    """The weighted mean of the parts that are not null; null if none of these has a weight."""
    known = [F.when(part.isNotNull(), weights[name]).otherwise(0.0) for name, part in parts.items()]
    values = [F.coalesce(part * weights[name], F.lit(0.0)) for name, part in parts.items()]
    return reduce(add, values) / F.nullif(reduce(add, known), F.lit(0.0))


def catalogue_names(
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
    """The products that the day's answers name, and the catalogue's names, before any threshold."""
    from jobs.vectors.embeddings import encode_words
    from jobs.vectors.encoder import Encoder

    settings, encoder = run.settings.product_names, Encoder.of(run.settings.encoder)
    answers = answers_of_day(user_texts, user_enrichments)
    return compare_names(
        named_in_order(answers, "next_products", settings.name_decay),
        catalogue_names(items, item_texts, item_enrichments),
        item_texts_with_vectors(item_texts, item_embeddings, items, encoder.name),
        partial(encode_words, encoder=encoder, scratch=run.scratch),
        interactions,
        run.last_event_day,
        settings,
        run.scratch,
    )


def candidates(
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
    settings = run.settings.product_names
    return recall_named(products, interactions, items, run.last_event_day, settings, run.scratch)
