"""Every version of each user's record, one row per (user_id, valid_from).

Same rules as `silver.items`. The mapping allows only attributes that are not personal.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Outcome, Read, Run, table
from jobs.lake.versions import STANDING, Standing, judge_versions, superseded

COLUMNS = ("user_id", "attributes")


@table(
    "silver.users",
    reads={"received": Read("bronze.users", pending=True), "held": Read("silver.users")},
    accounts_for="received",
)
def users(run: Run, received: DataFrame, held: DataFrame) -> Outcome:
    """user_id, valid_from date, attributes map<string,string>, row_hash.

    received: records not taken in yet. held: the newest version of each user.
    """
    versions = judge_versions(received, held, "user_id")
    judged = run.scratch.once(versions)
    new = judged.where(F.col(STANDING) == Standing.new.value)
    return Outcome(
        rows=new.select(*COLUMNS, F.col("ingest_ds").alias("valid_from"), "row_hash"),
        quarantined=superseded(judged, list(COLUMNS)),
        folded=judged.where(F.col(STANDING) == Standing.unchanged.value),
    )
