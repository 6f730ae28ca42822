"""Items that are used more in these weeks of a year than in its other weeks.

A year is 52 weeks here, so that weekdays agree. The season of an earlier year is the days up to
`window_days` from the day's date; its year is half a year on either side. The score is the
`jobs.recall.lists.lift` of an item's days of use in the seasons over its days of use in the whole
years, where a user counts once a day. The season lies in the middle of the year, so that an item
that only grew or faded does not look seasonal, as far as the data reaches.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.recall.lists.lift import lifted_items
from jobs.recall.lists.popular import uses_by_segment
from jobs.recall.settings.lists import PopularSettings, SeasonalSettings

_YEAR_DAYS = 52 * 7


def seasonal_items(
    interactions: DataFrame,
    items: DataFrame,
    users: DataFrame,
    ds: date,
    settings: SeasonalSettings,
    popular: PopularSettings,
) -> DataFrame:
    """Columns and order of `jobs.recall.lists.lift.lifted_items`; users_count is of the seasons.

    interactions: user_id, item_id string, event_date date ≤ ds, weight double; without any of an
    earlier year there are no rows. items: item_id string, is_sellable boolean.
    users: user_id string, attributes map<string,string>. popular: says which segments there are.
    """
    from_middle = F.datediff(F.lit(ds), F.col("event_date")) + _YEAR_DAYS // 2
    year = F.floor(from_middle / _YEAR_DAYS)
    off_date = F.abs(F.pmod(from_middle, F.lit(_YEAR_DAYS)) - _YEAR_DAYS // 2)
    days = (
        interactions.where(year.between(1, settings.years) & (F.col("weight") > 0))
        .select("user_id", "item_id", "event_date")
        .distinct()
    )
    uses = days.select(
        "user_id",
        "item_id",
        (off_date <= settings.window_days).cast("double").alias("part"),
        F.lit(1.0).alias("whole"),
    )
    by_segment = uses_by_segment(uses, users, popular)
    return lifted_items(by_segment, items, settings.smoothing, settings.min_users, settings.items)
