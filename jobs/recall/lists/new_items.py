"""Items that the shop has not had for long.

An item is new for `window_days` from the day on which it was first taken or, if its record is older
or nobody took it yet, from the day of its record. A run reads only the newest record of each item,
so a changed record counts from its change. Records of the first drop say nothing about age, and if
the data does not reach back twice the window, no item is new.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.recall.lists.popular import best_used
from jobs.recall.lists.uses import ALL_USERS
from jobs.recall.settings.lists import NewSettings


def new_items(counts: DataFrame, items: DataFrame, ds: date, settings: NewSettings) -> DataFrame:
    """The `settings.items` new sellable items with the most users, of all and of large segments.

    counts: of a `jobs.recall.lists.popular.recent_measure`, as `counted_uses` returns them.
    items: item_id string, is_sellable boolean, valid_from date or null where no record has a day.
    Returns segment string, rank int, item_id string, score double (users, each halved for every
    half-life since the last time), users_count long. Order: score descending, item_id ascending;
    in the list of all users, items that nobody took yet come last with score 0.
    """
    return best_used(counts, _new_sellable(counts, items, ds, settings.window_days), settings.items)


def _new_sellable(counts: DataFrame, items: DataFrame, ds: date, days: int) -> DataFrame:
    """item_id string of the sellable items that are new for less than `days`."""
    first_day = F.date_sub(F.lit(ds), days - 1)
    taken = counts.where(F.col("segment") == ALL_USERS)
    first_taken = taken.select("item_id", F.col("first_date").alias("first_taken"))
    beginning = taken.agg(F.min("first_date").alias("first_event"))
    first_drop = items.agg(F.min("valid_from").alias("first_drop"))
    is_of_late = F.least("first_taken", "valid_from") >= first_day
    is_known_since = F.col("first_taken").isNotNull() | (F.col("valid_from") > F.col("first_drop"))
    reaches_back = F.col("first_event") <= F.date_sub(F.lit(ds), 2 * days)
    return (
        items.where("is_sellable")
        .join(first_taken, "item_id", "left")
        .crossJoin(beginning)
        .crossJoin(first_drop)
        .where(is_of_late & is_known_since & reaches_back)
        .select("item_id")
    )
