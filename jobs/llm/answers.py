"""The LLM's answers in tables: which of them count for a prompt version and model."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.step import Run
from jobs.llm.prompt import Prompt
from jobs.llm.status import SUCCESS


def of_version(answers: DataFrame, prompt: Prompt, model: str) -> DataFrame:
    """The answers to one prompt version by one model."""
    return answers.where(
        (F.col("prompt_version") == prompt.prompt_version) & (F.col("model") == model)
    )


def accepted_answers(enrichments: DataFrame, prompt_version: str, model: str) -> DataFrame:
    """The answers that passed the gate, to one prompt version by one model."""
    return enrichments.where(
        (F.col("status") == SUCCESS)
        & (F.col("prompt_version") == prompt_version)
        & (F.col("model") == model)
    )


def answered_keys(
    run: Run, answers: DataFrame, prompt: Prompt, key: Sequence[str]
) -> DataFrame | None:
    """The keys that a selection leaves out: those with an answer, if the run asks for
    only_unanswered; else none."""
    if not run.params.only_unanswered:
        return None
    return of_version(answers, prompt, run.settings.llm.llm_model).select(*key)
