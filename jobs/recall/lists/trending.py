"""Items whose users come faster than usual.

Each user counts once a day on which they took the item, less the longer ago: by a short half-life
for the pace of late, by a long one for the usual pace. The score is the `jobs.recall.lists.lift` of
the first over the second, so 1 is the pace of all items together, and a busy week of the whole shop
makes nothing trend. Days and not users are counted: of what is bought every week, each user's last
time is always recent.
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
    """Columns and order of `jobs.recall.lists.lift.lifted_items`, users of the window counted.

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
