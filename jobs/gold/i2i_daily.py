"""gold.i2i_daily: the neighbors of each item, one row per (ds, item_id, rank).

The lists of every method in silver.i2i_candidates, fused by weight
(`jobs.recall.fusion.neighbors`). Popular items of the item's category fill a list that the methods
leave short. A day whose neighbors are clearly worse than those published before is not published
(`jobs.judging.regression`). With a `reason_budget`, the LLM's sentences about the day's most seen
pairs stand before the template reasons (`silver.pair_reasons`).
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.judging.regression import RUNBOOK, judge_neighbor_lists
from jobs.lake import PublishGate, Read, Run, table
from jobs.llm.answers import of_version
from jobs.llm.prompt import prompt_of
from jobs.recall.fusion.fill import FILL_METHOD
from jobs.recall.fusion.neighbors import fuse_neighbors
from jobs.recall.fusion.pair_reasons import (
    head_pairs,
    most_used,
    with_written_reasons,
    written_reasons,
)
from jobs.recall.lists.popular import count_uses, recent_uses


@table(
    "gold.i2i_daily",
    reads={
        "candidates": Read("silver.i2i_candidates"),
        "items": Read("silver.items"),
        "texts": Read("silver.item_texts"),
        "interactions": Read("silver.interactions"),
        "reasons": Read("silver.pair_reasons"),
    },
    settings=("i2i", "popular", "pair_reasons", "llm", "metrics"),
    gate=PublishGate(
        judge_neighbor_lists,
        reads={"interactions": Read("silver.interactions")},
        rebuilds=False,
        runbook=RUNBOOK,
    ),
)
def i2i_daily(
    run: Run,
    candidates: DataFrame,
    items: DataFrame,
    texts: DataFrame,
    interactions: DataFrame,
    reasons: DataFrame,
) -> DataFrame:
    """The day's neighbors of every item that has any; a full list for sellable items with text.

    reasons: all answers ever given; only those count whose pair the day asked about.
    """
    settings, budget = run.settings, run.params.reason_budget
    recent = count_uses(recent_uses(interactions, run.last_event_day, settings.popular))
    popularity = run.scratch.once(recent)
    rows = fuse_neighbors(candidates, items, texts, popularity, settings.i2i, run.scratch)
    if not budget:
        nobody = F.lit(None).cast("string")
        return rows.withColumns({"reason_prompt_version": nobody, "reason_model": nobody})
    heads = most_used(popularity, items, budget)
    found = rows.where(~F.array_contains("methods", FILL_METHOD))
    asked = head_pairs(found, heads, items, budget, settings.pair_reasons)
    answers = of_version(reasons, prompt_of("pair", settings.llm), settings.llm.llm_model)
    return with_written_reasons(rows, written_reasons(asked, answers, items))
