"""Items whose users come faster than usual.

A user counts once for each day on which they took the item, and less for days longer ago: by a
short half-life for the recent pace, by a long one for the usual pace. The score is the
`jobs.recall.lists.lift` of the recent over the usual pace. 1 is the pace of all items together, so
a busy week of the whole shop makes no item trend. Days are counted, not users: for an item that is
bought every week, each user's last day is always recent.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.recall.kernels.strength import decay
from jobs.recall.lists.lift import lifted_items
from jobs.recall.lists.popular import uses_by_segment
from jobs.recall.settings.lists import PopularSettings, TrendingSettings


def trending_items(
    interactions: DataFrame,
    items: DataFrame,
    users: DataFrame,
    ds: date,
    settings: TrendingSettings,
    popular: PopularSettings,
) -> DataFrame:
    """Columns and order of `jobs.recall.lists.lift.lifted_items`; users_count is of the window.

    interactions: user_id, item_id string, event_date date ≤ ds, weight double.
    items: item_id string, is_sellable boolean. users: user_id string, attributes map<string,string>
    popular: says which segments there are.
    """
    first_day = F.date_sub(F.lit(ds), settings.window_days - 1)
    days = (
        interactions.where((F.col("event_date") >= first_day) & (F.col("weight") > 0))
        .select("user_id", "item_id", "event_date")
        .distinct()
    )
    uses = days.select(
        "user_id",
        "item_id",
        decay(F.col("event_date"), ds, settings.short_half_life_days).alias("part"),
        decay(F.col("event_date"), ds, settings.long_half_life_days).alias("whole"),
    )
    by_segment = uses_by_segment(uses, users, popular)
    return lifted_items(by_segment, items, settings.smoothing, settings.min_users, settings.items)
