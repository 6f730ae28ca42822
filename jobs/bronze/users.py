"""User records as their sources sent them, less personal columns (`jobs.lake.intake.mapping`)."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Run, table
from jobs.lake.intake.drops import Drops


@table("bronze.users", reads={"drops": Drops("users")}, accounts_for="drops")
def users(run: Run, drops: DataFrame) -> DataFrame:
    """All usable rows of the users drops that are due."""
    return drops
