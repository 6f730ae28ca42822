"""gold.user_recall_daily: what to recommend to a user, one row per (ds, user_id, rank).

The lists of every channel in silver.user_candidates, fused by weight
(`jobs.recall.fusion.user_lists`). Every active user (a row in silver.user_profiles of the day) gets
a full list. A day is not published when its code and settings would have made clearly worse lists
than those published in the trailing week (`jobs.judging.regression`).
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.judging.regression import RUNBOOK, judge_user_lists
from jobs.lake import PublishGate, Read, Run, table
from jobs.recall.fusion.user_lists import fuse_channels
from jobs.recall.lists.popular import POPULAR, of_kind
from jobs.recall.lists.uses import ALL_USERS
from jobs.recall.sources.source import FACTS


@table(
    "gold.user_recall_daily",
    reads={
        "candidates": Read("silver.user_candidates"),
        "items": Read("silver.items"),
        "profiles": Read("silver.user_profiles"),
        "popular": Read("gold.popular_items_daily"),
        "neighbors": Read("gold.i2i_daily"),
        "unwanted": Read("silver.interactions", view="unwanted"),
    },
    settings=("user", "metrics"),
    follows=FACTS,
    gate=PublishGate(
        judge_user_lists,
        reads={"interactions": Read("silver.interactions")},
        rebuilds=True,
        runbook=RUNBOOK,
    ),
)
def user_recall_daily(
    run: Run,
    candidates: DataFrame,
    items: DataFrame,
    profiles: DataFrame,
    popular: DataFrame,
    neighbors: DataFrame,
    unwanted: DataFrame,
) -> DataFrame:
    """The day's list of every active user."""
    popularity = of_kind(popular, POPULAR).where(F.col("segment") == ALL_USERS)
    settings = run.settings.user
    return fuse_channels(
        candidates,
        items,
        profiles,
        popularity,
        neighbors,
        unwanted,
        run.last_event_day,
        settings,
        run.scratch,
    )
