"""What the LLM says about each distinct item content: plain name, sentence, search words, uses.

One row per (content_hash, prompt_version, model). The day selects the contents that are most worth
it (`jobs.llm.selection`) and pays for those that were never answered; nothing that was answered is
asked again.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import EffectResult, Read, Run, Sink, effect
from jobs.llm.daily import enrich_day, of_version, work_list
from jobs.llm.prompt import prompt_of
from jobs.llm.selection import select_item_contents

TABLE = "silver.item_enrichments"


@effect(
    TABLE,
    reads={
        "items": Read("silver.items"),
        "interactions": Read("silver.interactions"),
        "enrichments": Read(TABLE),
        "ledger": Read("ops.llm_ledger"),
    },
)
def enrich_items(
    run: Run,
    sink: Sink,
    items: DataFrame,
    interactions: DataFrame,
    enrichments: DataFrame,
    ledger: DataFrame,
) -> EffectResult:
    """Describe the day's `item_budget` most urgent contents; commits in chunks through `sink`."""
    prompt, key, model = prompt_of("item", run.settings), ("content_hash",), run.settings.llm_model
    answered = None
    if run.params.only_unanswered:
        answered = of_version(enrichments, prompt, model).select(*key)
    budget = run.params.item_budget
    selected = select_item_contents(items, interactions, run.ds, budget, answered=answered)
    work = work_list(selected, key, *key, prompt, enrichments, model)
    return enrich_day(run, sink, TABLE, prompt, work, enrichments, ledger)
