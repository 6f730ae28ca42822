"""gold.recall_metrics_daily: the quality of earlier lists, by what users took next.

One row per (ds, horizon_days, table, channel, slice, metric). Lists made a horizon before `ds` are
measured on the days up to ds (`jobs.judging.published`). So lists are judged when their horizon is
over, and only by what is known then.
"""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.judging.published import FUSED, SCHEMA, measure
from jobs.judging.settings import LONGEST_HORIZON_DAYS
from jobs.lake import Read, Run, table


@table(
    "gold.recall_metrics_daily",
    reads={
        "recalled": Read("gold.user_recall_daily", days_back=LONGEST_HORIZON_DAYS),
        "candidates": Read("silver.user_candidates", days_back=LONGEST_HORIZON_DAYS),
        "fused": Read("gold.i2i_daily", days_back=LONGEST_HORIZON_DAYS),
        "neighbors": Read("silver.i2i_candidates", days_back=LONGEST_HORIZON_DAYS),
        "interactions": Read("silver.interactions"),
    },
    settings=("metrics",),
)
def recall_metrics_daily(
    run: Run,
    recalled: DataFrame,
    candidates: DataFrame,
    fused: DataFrame,
    neighbors: DataFrame,
    interactions: DataFrame,
) -> DataFrame:
    """The metrics of every horizon that ends on the day; none where no lists were published."""
    settings = run.settings.metrics
    found = []
    for horizon in settings.horizon_days:
        as_of = run.ds - timedelta(days=horizon)
        if run.last_event_day <= as_of:
            continue  # nobody took anything since
        of_day = F.col("ds") == F.lit(as_of)
        user_lists = {
            "gold.user_recall_daily": recalled.where(of_day).withColumn("channel", F.lit(FUSED)),
            "silver.user_candidates": candidates.where(of_day),
        }
        item_lists = {
            "gold.i2i_daily": fused.where(of_day).withColumn("channel", F.lit(FUSED)),
            "silver.i2i_candidates": neighbors.where(of_day).withColumnRenamed("method", "channel"),
        }
        found.append(
            measure(
                {
                    t: f.select("user_id", "item_id", "rank", "channel")
                    for t, f in user_lists.items()
                },
                {
                    t: f.select("item_id", "neighbor_item_id", "rank", "channel")
                    for t, f in item_lists.items()
                },
                interactions,
                as_of,
                horizon,
                settings,
            )
        )
    rows = pa.concat_tables([SCHEMA.empty_table(), *found])
    return interactions.sparkSession.createDataFrame(rows, schema=_SPARK_SCHEMA)


_SPARK_SCHEMA = (
    "as_of date, horizon_days int, table string, channel string, slice string, metric string, "
    "value double, low double, high double, users bigint"
)
