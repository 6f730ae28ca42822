"""gold.item_bundles_daily: rules between the items of a basket, one row per (ds, rule_id).

Association rules over the sessions of the window (`jobs.recall.lists.bundles`), with confidence,
lift, and the number of baskets and users behind each rule.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Read, Run, table
from jobs.recall.lists.bundles import item_bundles


@table(
    "gold.item_bundles_daily",
    reads={"interactions": Read("silver.interactions"), "items": Read("silver.items")},
    settings=("bundles",),
)
def item_bundles_daily(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """The day's best rules from one or two items to one that goes with them."""
    return item_bundles(interactions, items, run.last_event_day, run.settings.bundles, run.scratch)
