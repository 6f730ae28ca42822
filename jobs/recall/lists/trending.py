"""Items whose users come faster than usual.

A user counts once for each day on which they took the item, and less for days longer ago: by a
short half-life for the recent pace, by a long one for the usual pace. The score is the
`jobs.recall.lists.lift` of the recent over the usual pace. 1 is the pace of all items together, so
a busy week of the whole shop makes no item trend. Days are counted, not users: for an item that is
bought every week, each user's last day is always recent.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.recall.kernels.strength import decay
from jobs.recall.lists.lift import lifted_items
from jobs.recall.lists.uses import Measure, in_units
from jobs.recall.settings.lists import TrendingSettings


def trending_measure(ds: date, settings: TrendingSettings) -> Measure:
    """A user's days with an item in the window, by the short half-life; the whole by the long."""
    day = F.col("event_date")
    in_window = day >= F.date_sub(F.lit(ds), settings.window_days - 1)

    def pace(half_life_days: float) -> Column:
        return F.sum(F.when(in_window, in_units(decay(day, ds, half_life_days))))

    used = F.count_if(in_window) > 0
    return Measure(
        part=pace(settings.short_half_life_days),
        whole=pace(settings.long_half_life_days),
        is_user=used,
        is_active=used,
    )


def trending_items(counts: DataFrame, items: DataFrame, settings: TrendingSettings) -> DataFrame:
    """Columns and order of `jobs.recall.lists.lift.lifted_items`; users_count is of the window.

    counts: of `trending_measure`, as `jobs.recall.lists.uses.counted_uses` returns them. items:
    item_id string, is_sellable boolean.
    """
    return lifted_items(counts, items, settings.smoothing, settings.min_users, settings.items)
