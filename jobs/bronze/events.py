"""Events as their sources sent them: one row per usable record of an events drop.

Columns are parsed to our types; nothing is judged, joined or deduplicated here (see
`silver.interactions`). Rows that can't be parsed are in `ops.quarantine`.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import Run, table
from jobs.lake.intake.drops import Drops


@table("bronze.events", reads={"drops": Drops("events")}, accounts_for="drops")
def events(run: Run, drops: DataFrame) -> DataFrame:
    """All usable rows of the events drops that are due."""
    return drops
