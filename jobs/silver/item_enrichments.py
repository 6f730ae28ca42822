"""What the LLM says about each distinct item content: plain name, sentence, search words, uses.

One row per (content_hash, prompt_version, model). The day selects the contents that are most worth
describing (`jobs.llm.selection`), and pays only for those that were never answered.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import EffectResult, Read, Run, Sink, effect
from jobs.llm.answers import answered_keys
from jobs.llm.daily import enrich_day, work_list
from jobs.llm.prompt import prompt_of
from jobs.llm.selection import select_item_contents

TABLE = "silver.item_enrichments"


def reads_of_contents(table: str) -> dict[str, Read]:
    """The inputs of an effect that asks a prompt about contents and keeps answers in `table`."""
    return {
        "items": Read("silver.items"),
        "interactions": Read("silver.interactions"),
        "enrichments": Read(table),
        "ledger": Read("ops.llm_ledger"),
    }


@effect(TABLE, reads=reads_of_contents(TABLE), settings=("llm", "encoder"))
def enrich_items(
    run: Run,
    sink: Sink,
    items: DataFrame,
    interactions: DataFrame,
    enrichments: DataFrame,
    ledger: DataFrame,
) -> EffectResult:
    """Describe the day's `item_budget` most urgent contents; commits in chunks through `sink`."""
    return enrich_contents(run, sink, TABLE, "item", items, interactions, enrichments, ledger)


def enrich_contents(
    run: Run,
    sink: Sink,
    table: str,
    name: str,
    items: DataFrame,
    interactions: DataFrame,
    enrichments: DataFrame,
    ledger: DataFrame,
) -> EffectResult:
    """Ask the prompt `name` about the day's most urgent contents; the body of the effect."""
    llm, key = run.settings.llm, ("content_hash",)
    prompt = prompt_of(name, llm)
    answered = answered_keys(run, enrichments, prompt, key)
    budget = run.params.item_budget
    selected = select_item_contents(
        items, interactions, run.last_event_day, budget, answered=answered
    )
    work = work_list(selected, key, *key, prompt, enrichments, llm.llm_model)
    return enrich_day(run, sink, table, prompt, work, enrichments, ledger)
