"""gold.i2i_daily: the items most like an item, one row per (ds, item_id, rank).

The lists of every method in silver.i2i_candidates, fused by weight (`jobs.recall.fusion`). A list
that no method fills is filled with what is popular in the item's category. A day whose neighbors
are clearly worse than those published before is not published (`jobs.evaluation.regression`).
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.evaluation.regression import judge_neighbor_lists
from jobs.lake import Gate, Read, Run, table
from jobs.recall.fusion import fuse_neighbors
from jobs.recall.popular import count_uses, recent_uses


@table(
    "gold.i2i_daily",
    reads={
        "candidates": Read("silver.i2i_candidates"),
        "items": Read("silver.items"),
        "texts": Read("silver.item_texts"),
        "interactions": Read("silver.interactions"),
    },
    gate=Gate(
        judge_neighbor_lists, reads={"interactions": Read("silver.interactions")}, rebuilds=False
    ),
)
def i2i_daily(
    run: Run, candidates: DataFrame, items: DataFrame, texts: DataFrame, interactions: DataFrame
) -> DataFrame:
    """The day's neighbors of every item that has any, full for sellable items with text."""
    recall = run.settings.recall
    popularity = count_uses(recent_uses(interactions, run.ds, recall.popular))
    return fuse_neighbors(candidates, items, texts, popularity, recall.i2i, run.scratch)
