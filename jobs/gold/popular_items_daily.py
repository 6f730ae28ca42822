"""gold.popular_items_daily: what many users took lately, one row per (ds, segment, rank).

Score: users of the item in the window, each counting half for every half-life since the last
time. The list of all users is the fallback of recall, so it never runs short.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Read, Run, table
from jobs.recall.popular import popular_items


@table(
    "gold.popular_items_daily",
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "users": Read("silver.users"),
    },
)
def popular_items_daily(
    run: Run, interactions: DataFrame, items: DataFrame, users: DataFrame
) -> DataFrame:
    """The day's popular items of all users and of each large segment."""
    return popular_items(interactions, items, users, run.ds, run.settings.recall.popular)
