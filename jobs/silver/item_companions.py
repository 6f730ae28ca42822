"""Companions of rare items: which items with near texts, the LLM says, their buyers also want.

One row per (content, candidates, prompt_version, model). A day asks about contents that few users
took, those that sell most first, up to its `companion_budget` (0 by default). The method
`augmented` of silver.i2i_candidates makes pairs of the answers.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import EffectResult, Read, Run, Search, Sink, effect
from jobs.llm.daily import enrich_day, work_list
from jobs.llm.prompt import prompt_of
from jobs.recall.methods.companions import questions, rare_contents
from jobs.vectors.hits import TextSearch

TABLE = "silver.item_companions"


@effect(
    TABLE,
    reads={
        "items": Read("silver.items"),
        "interactions": Read("silver.interactions"),
        "texts": Read("silver.item_texts"),
        "embeddings": Read("silver.item_embeddings"),
        "companions": Read(TABLE),
        "ledger": Read("ops.llm_ledger"),
        "search": Search("milvus.items"),
    },
    settings=("llm", "encoder", "augmented"),
)
def ask_companions(
    run: Run,
    sink: Sink,
    items: DataFrame,
    interactions: DataFrame,
    texts: DataFrame,
    embeddings: DataFrame,
    companions: DataFrame,
    ledger: DataFrame,
    search: TextSearch,
) -> EffectResult:
    """Ask about the day's `companion_budget` most urgent rare contents."""
    if not run.params.companion_budget:
        return EffectResult(0, 0, settled=True)
    contents, candidates = rare_contents(run, items, interactions, texts, embeddings, search)
    prompt, key = prompt_of("companion", run.settings.llm), ("content_hash", "candidates")
    asked = questions(contents, candidates)
    work = work_list(asked, key, "content_hash", prompt, companions, run.settings.llm.llm_model)
    return enrich_day(run, sink, TABLE, prompt, work, companions, ledger)
