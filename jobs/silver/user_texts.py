"""The text of each active user for the encoder: the profile and, if accepted, the LLM's words.

One row per (ds, user_id) of `silver.user_profiles`. As in `silver.item_texts`, the day's selection
decides whose text may use an LLM answer.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Read, Run, table
from jobs.lake.hashing import hash_columns
from jobs.llm.answers import accepted_answers
from jobs.llm.prompt import prompt_of
from jobs.llm.selection import select_user_profiles
from jobs.silver.item_texts import text_source


@table(
    "silver.user_texts",
    reads={
        "user_profiles": Read("silver.user_profiles"),
        "enrichments": Read("silver.user_enrichments"),
    },
    settings=("llm",),
)
def user_texts(run: Run, user_profiles: DataFrame, enrichments: DataFrame) -> DataFrame:
    """user_id, text, text_hash, text_source, profile_hash, prompt_version?, model?."""
    llm = run.settings.llm
    selected = select_user_profiles(user_profiles, run.params.user_budget)
    answers = accepted_answers(
        enrichments, prompt_of("user", llm).prompt_version, llm.llm_model
    ).join(selected.select("user_id", "profile_hash"), ["user_id", "profile_hash"], "left_semi")
    said = F.concat_ws(
        ", ",
        F.array_join("interests", ", "),
        F.array_join("search_phrases", ", "),
        F.array_join("next_products", ", "),
    )
    described = answers.select(
        "user_id", "profile_hash", "prompt_version", "model", said.alias("said")
    )
    return (
        user_profiles.join(described, ["user_id", "profile_hash"], "left")
        .withColumn("text", F.concat_ws(" ", "profile", "said"))
        .withColumn("text_hash", hash_columns(F.col("text")))
        .withColumn("text_source", text_source())
        .select(
            "user_id",
            "text",
            "text_hash",
            "text_source",
            "profile_hash",
            "prompt_version",
            "model",
        )
    )
