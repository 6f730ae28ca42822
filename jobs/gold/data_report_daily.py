"""gold.data_report_daily: what the log is like, one row per (ds, measure).

The facts of `jobs.recall.facts` as of the day. Settings that nobody has set follow some of them
(`jobs.recall.following`). An audit holds that the events' items are in the catalogue.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Read, Run, table
from jobs.recall.facts import told
from jobs.recall.measuring import facts_of


@table(
    "gold.data_report_daily",
    reads={"interactions": Read("silver.interactions"), "items": Read("silver.items")},
)
def data_report_daily(run: Run, interactions: DataFrame, items: DataFrame) -> DataFrame:
    """measure string, value double, text string or null."""
    facts, said = facts_of(interactions, items, run.scratch)
    return items.sparkSession.createDataFrame(
        told(facts, said), "measure string, value double, text string"
    )
