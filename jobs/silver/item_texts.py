"""The text of each item for the encoder: its own words and, if accepted, the LLM's.

One row per (ds, item_id) of every sellable item that has a title. The day's selection
(`jobs.llm.selection`) decides which contents may use an LLM answer, so that a rerun of a day shows
the same texts whatever was paid since.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import Read, Run, table
from jobs.lake.hashing import hash_columns
from jobs.llm.answers import accepted_answers
from jobs.llm.contents import has_text, words
from jobs.llm.prompt import prompt_of
from jobs.llm.selection import select_item_contents

TEMPLATE = "template"
ENRICHED = "enriched"


@table(
    "silver.item_texts",
    reads={
        "items": Read("silver.items"),
        "interactions": Read("silver.interactions"),
        "enrichments": Read("silver.item_enrichments"),
    },
    settings=("llm",),
)
def item_texts(
    run: Run, items: DataFrame, interactions: DataFrame, enrichments: DataFrame
) -> DataFrame:
    """item_id, text, text_hash, text_source, content_hash, prompt_version?, model?.

    items: the newest version of each item. enrichments: all answers ever given; those by the
    current prompt version and model count, and only for contents that the day selects.
    """
    llm = run.settings.llm
    selected = select_item_contents(items, interactions, run.last_event_day, run.params.item_budget)
    answers = accepted_answers(
        enrichments, prompt_of("item", llm).prompt_version, llm.llm_model
    ).join(selected.select("content_hash"), "content_hash", "left_semi")
    described = answers.select(
        "content_hash",
        "prompt_version",
        "model",
        F.concat_ws(" ", "summary", F.array_join("keywords", ", ")).alias("said"),
    )
    sellable = items.where(F.col("is_sellable") & has_text("title"))
    return (
        sellable.join(described, "content_hash", "left")
        .withColumn("text", F.concat_ws(" ", own_words(), "said"))
        .withColumn("text_hash", hash_columns(F.col("text")))
        .withColumn("text_source", text_source())
        .select(
            "item_id",
            "text",
            "text_hash",
            "text_source",
            "content_hash",
            "prompt_version",
            "model",
        )
    )


def own_words() -> Column:
    """The template text: title, category, department, brand, size and description, as far as known.

    Catalogue codes such as `BREAD:ITALIAN/FRENCH` are written with spaces and in lower case.
    """
    names = [words(name) for name in ("title", "category", "department")]
    brand = F.when(has_text("brand"), F.concat(words("brand"), F.lit(" brand")))
    stops = F.concat_ws(". ", *names, brand, words("size"), present("description"))
    return F.concat(stops, F.lit("."))


def present(name: str) -> Column:
    return F.when(has_text(name), F.trim(name))


def text_source() -> Column:
    """`enriched` where an LLM answer is part of the text, else `template`."""
    return F.when(F.col("model").isNotNull(), ENRICHED).otherwise(TEMPLATE)
