"""The LLM's sentence on why an item goes with its neighbor, for the pairs that are seen most.

One row per (content, neighbor's content, prompt_version, model). A day asks about the nearest
neighbors of its most used items, up to its `reason_budget` (0 by default). gold.i2i_daily puts the
sentences that passed the gate before the template reasons.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import EffectResult, Read, Run, Sink, effect
from jobs.llm.daily import enrich_day, work_list
from jobs.llm.prompt import prompt_of
from jobs.recall.fusion.neighbors import best_neighbors
from jobs.recall.fusion.pair_reasons import KEY, head_pairs, most_used
from jobs.recall.lists.popular import count_uses, recent_uses

TABLE = "silver.pair_reasons"


@effect(
    TABLE,
    reads={
        "candidates": Read("silver.i2i_candidates"),
        "items": Read("silver.items"),
        "interactions": Read("silver.interactions"),
        "reasons": Read(TABLE),
        "ledger": Read("ops.llm_ledger"),
    },
    settings=("llm", "encoder", "popular", "i2i", "pair_reasons"),
)
def ask_pair_reasons(
    run: Run,
    sink: Sink,
    candidates: DataFrame,
    items: DataFrame,
    interactions: DataFrame,
    reasons: DataFrame,
    ledger: DataFrame,
) -> EffectResult:
    """Ask about the day's `reason_budget` pairs that are seen most."""
    if not run.params.reason_budget:
        return EffectResult(0, 0, settled=True)
    settings, budget = run.settings, run.params.reason_budget
    recent = count_uses(recent_uses(interactions, run.last_event_day, settings.popular))
    popularity = run.scratch.once(recent)
    heads = most_used(popularity, items, budget)
    neighbors = best_neighbors(candidates, items, popularity, settings.i2i, of=heads)
    asked = head_pairs(neighbors, heads, items, budget, settings.pair_reasons)
    prompt = prompt_of("pair", settings.llm)
    work = work_list(asked, KEY, KEY[0], prompt, reasons, settings.llm.llm_model)
    return enrich_day(run, sink, TABLE, prompt, work, reasons, ledger)
