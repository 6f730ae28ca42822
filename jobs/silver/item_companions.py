"""What the LLM says that buyers of a rare item also want, of items with near texts.

One row per (content, candidates, prompt_version, model). A day asks about the contents that sell
most of those that few users took, up to its `companion_budget`, which is 0 unless a run says
otherwise. The method `augmented` of silver.i2i_candidates makes pairs of the answers.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import EffectResult, Read, Run, Sink, effect
from jobs.llm.daily import enrich_day, work_list
from jobs.llm.prompt import prompt_of
from jobs.llm.selection import select_item_contents
from jobs.recall.methods.companions import companion_candidates, questions
from jobs.recall.methods.content import item_texts_with_vectors, search_of_day

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
    },
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
) -> EffectResult:
    """Ask about the day's `companion_budget` most urgent rare contents."""
    if not run.params.companion_budget:
        return EffectResult(0, 0)
    contents, candidates = rare_contents(run, items, interactions, texts, embeddings)
    prompt, key = prompt_of("companion", run.settings), ("content_hash", "candidates")
    asked = questions(contents, candidates)
    work = work_list(asked, key, "content_hash", prompt, companions, run.settings.llm_model)
    return enrich_day(run, sink, TABLE, prompt, work, companions, ledger)


def rare_contents(
    run: Run, items: DataFrame, interactions: DataFrame, texts: DataFrame, embeddings: DataFrame
) -> tuple[DataFrame, DataFrame]:
    """What the day asks about, as `select_item_contents` returns it, and the candidates of each."""
    from jobs.vectors.encoder import Encoder

    settings = run.settings.recall.augmented
    contents = select_item_contents(
        items, interactions, run.ds, run.params.companion_budget, max_users=settings.max_users
    )
    candidates = companion_candidates(
        contents,
        items,
        item_texts_with_vectors(texts, embeddings, items, Encoder.of(run.settings).name),
        search_of_day(run.settings, run.ds),
        settings,
        f"{run.scratch}/companion_hits",
    )
    return contents, candidates
