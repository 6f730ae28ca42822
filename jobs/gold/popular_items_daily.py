"""gold.popular_items_daily: what many users take, one row per (ds, kind, segment, rank).

popular: items that most users took lately. The list of all users is the fallback of recall, so it
never runs short.
trending: items that users take more often lately than usual (`jobs.recall.lists.trending`).
new: items that the shop has not had for long (`jobs.recall.lists.new_items`).
seasonal: items that users took in these weeks of earlier years (`jobs.recall.lists.seasonal`).
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Read, Run, table
from jobs.recall.lists.new_items import new_items
from jobs.recall.lists.popular import POPULAR, popular_items, recent_measure
from jobs.recall.lists.seasonal import seasonal_items, seasonal_measure
from jobs.recall.lists.trending import trending_items, trending_measure
from jobs.recall.lists.uses import counted_uses


@table(
    "gold.popular_items_daily",
    reads={
        "interactions": Read("silver.interactions"),
        "items": Read("silver.items"),
        "users": Read("silver.users"),
    },
    settings=("popular", "trending", "new", "seasonal"),
)
def popular_items_daily(
    run: Run, interactions: DataFrame, items: DataFrame, users: DataFrame
) -> DataFrame:
    """The day's lists of each kind, of all users and of each large segment."""
    settings = run.settings
    measures = {
        POPULAR: recent_measure(run.last_event_day, settings.popular),
        "trending": trending_measure(run.last_event_day, settings.trending),
        "new": recent_measure(run.last_event_day, settings.new),
        "seasonal": seasonal_measure(run.last_event_day, settings.seasonal),
    }
    counts = counted_uses(interactions, users, measures, settings.popular, run.scratch)
    lists = {
        POPULAR: popular_items(counts[POPULAR], items, settings.popular),
        "trending": trending_items(counts["trending"], items, settings.trending),
        "new": new_items(counts["new"], items, run.last_event_day, settings.new),
        "seasonal": seasonal_items(counts["seasonal"], items, settings.seasonal),
    }
    named = (rows.withColumn("kind", F.lit(kind)) for kind, rows in lists.items())
    return reduce(DataFrame.unionByName, named)
