"""The columns of every recall channel, and the items that may stand in its lists.

Every channel returns user_id string, rank int from 1, item_id string, score double and
because_item_id string (the item of the history that brought the row, or null). Order: score
descending, then item_id ascending. Only sellable items are returned.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.recall.kernels.ranking import top_k

COLUMNS = ("user_id", "rank", "item_id", "score", "because_item_id")


def seen_items(interactions: DataFrame, ds: date, days: int) -> DataFrame:
    """The distinct (user_id, item_id) of the last `days` days, `ds` included; 0 days: none."""
    after = F.date_sub(F.lit(ds), days)
    return interactions.where(F.col("event_date") > after).select("user_id", "item_id").distinct()


def best_sellable_unseen(scored: DataFrame, items: DataFrame, seen: DataFrame, k: int) -> DataFrame:
    """The k best rows of each user with a sellable item that is not among the seen items."""
    allowed = scored.join(items.where("is_sellable").select("item_id"), "item_id", "left_semi")
    fresh = allowed.join(seen, ["user_id", "item_id"], "left_anti")
    return top_k(fresh, ["user_id"], k, item="item_id").select(*COLUMNS)
