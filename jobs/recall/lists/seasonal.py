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
from jobs.recall.lists.uses import Measure, in_units
from jobs.recall.settings.lists import SeasonalSettings

_YEAR_DAYS = 52 * 7


def seasonal_measure(ds: date, settings: SeasonalSettings) -> Measure:
    """A user's days with an item in earlier years: the part in the seasons of the whole years."""
    from_middle = F.datediff(F.lit(ds), F.col("event_date")) + _YEAR_DAYS // 2
    in_years = F.floor(from_middle / _YEAR_DAYS).between(1, settings.years)
    off_date = F.abs(F.pmod(from_middle, F.lit(_YEAR_DAYS)) - _YEAR_DAYS // 2)
    in_season = in_years & (off_date <= settings.window_days)
    one = in_units(F.lit(1.0))
    return Measure(
        part=F.sum(F.when(in_season, one)),
        whole=F.sum(F.when(in_years, one)),
        is_user=F.count_if(in_season) > 0,
        is_active=F.count_if(in_years) > 0,
    )


def seasonal_items(counts: DataFrame, items: DataFrame, settings: SeasonalSettings) -> DataFrame:
    """Columns and order of `jobs.recall.lists.lift.lifted_items`; users_count is of the seasons.

    counts: of `seasonal_measure`, as `jobs.recall.lists.uses.counted_uses` returns them; without
    any day of an earlier year there are no rows. items: item_id string, is_sellable boolean.
    """
    return lifted_items(counts, items, settings.smoothing, settings.min_users, settings.items)
