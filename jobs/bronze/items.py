"""Catalogue records as their sources sent them: one row per usable record of an items drop."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Run, table
from jobs.lake.intake.drops import Drops


@table("bronze.items", reads={"drops": Drops("items")}, accounts_for="drops")
def items(run: Run, drops: DataFrame) -> DataFrame:
    """All usable rows of the items drops that are due."""
    return drops
